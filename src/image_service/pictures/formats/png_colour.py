"""Colour spaces of PNG files as ICC profiles (PNG specification, third edition, 4.3).

cICP counts before iCCP, that before sRGB, that before gAMA and cHRM. What is not understood
leaves the word to the next. Not understood are:

- PQ and HLG (cICP transfers 16 and 18), whose range no 8-bit sRGB picture has: their numbers
  are left as they are, as are those of the logarithmic transfers;
- a cICP of a narrow range, or of anything but RGB;
- a cHRM without a gAMA, as in browsers.
"""

from __future__ import annotations

import struct
from typing import Final

from image_service.pictures.formats import png
from image_service.pictures.formats.matrix_profile import Curve, Primaries, matrix_profile

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709: Final = Primaries(_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_SMPTE170M: Final = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_P3: Final = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))

# ITU-T H.273, table 2.
_PRIMARIES: Final = {
    1: _BT709,
    4: Primaries(_C, (0.670, 0.330), (0.210, 0.710), (0.140, 0.080)),
    5: Primaries(_D65, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: _SMPTE170M,
    7: _SMPTE170M,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries((1 / 3, 1 / 3), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: Primaries(_DCI, *_P3),
    12: Primaries(_D65, *_P3),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_SRGB: Final = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Final = Curve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# The same, table 3.
_TRANSFERS: Final = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709_CURVE),
    4: Curve(2.2),
    5: Curve(2.8),
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: Curve(1.0),
    13: _SRGB,
    17: Curve(2.6, (52.37 / 48) ** (1 / 2.6)),
}
_RGB, _FULL_RANGE = 0, 1
_UNIT: Final = 100_000  # of gAMA and cHRM
_SAME_GAMMA: Final = 0.05  # libpng's measure of what can't be seen
_SAME_POINT: Final = 0.01
_STEEPEST: Final = 10.0


def profiles(data: bytes) -> list[bytes]:
    """Profiles of the picture's numbers, the first that is usable counts; none: it is sRGB."""
    said = png.ahead_of_pixels(data, (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"))
    primaries, curve = _by_cicp(said.get(b"cICP", b""))
    if primaries and curve:
        return _made(primaries, curve)
    found = [png.inflated_profile(said[b"iCCP"])] if b"iCCP" in said else []
    if b"sRGB" in said:
        return found
    return found + _by_gamma(said.get(b"gAMA", b""), said.get(b"cHRM", b""))


def _by_cicp(body: bytes) -> tuple[Primaries | None, Curve | None]:
    if len(body) != 4 or body[2:] != bytes((_RGB, _FULL_RANGE)):  # noqa: PLR2004 - four codes
        return None, None
    return _PRIMARIES.get(body[0]), _TRANSFERS.get(body[1])


def _by_gamma(gama: bytes, chrm: bytes) -> list[bytes]:
    gamma = int.from_bytes(gama, "big") / _UNIT if len(gama) == 4 else 0.0  # noqa: PLR2004
    if not 1 / _STEEPEST <= gamma <= _STEEPEST:
        return []
    primaries = _BT709
    if len(chrm) == 32:  # noqa: PLR2004 - eight numbers
        values = [value / _UNIT for value in struct.unpack(">8I", chrm)]
        primaries = Primaries(*zip(values[::2], values[1::2], strict=True))
    # What encoders write beside sRGB, for decoders that don't know it.
    if abs(gamma * 2.2 - 1) <= _SAME_GAMMA and _are_near(primaries, _BT709):
        return []
    return _made(primaries, Curve(1 / gamma)) or _made(_BT709, Curve(1 / gamma))


def _made(primaries: Primaries, curve: Curve) -> list[bytes]:
    if primaries == _BT709 and curve == _SRGB:
        return []
    profile = matrix_profile(primaries, curve)
    return [profile] if profile else []


def _are_near(one: Primaries, other: Primaries) -> bool:
    return all(
        abs(a - b) <= _SAME_POINT
        for point, beside in zip(one, other, strict=True)
        for a, b in zip(point, beside, strict=True)
    )
