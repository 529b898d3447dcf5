"""Colour profiles, sound ones taken apart and damaged; none is copied from a file."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import ImageCms

SRGB: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_TAGS = 128


def damaged(profile: bytes) -> dict[str, bytes]:
    """`profile` spoilt in every way that can be told apart, by what was done to it."""
    return dict(_damages(profile))


def _damages(profile: bytes) -> Iterator[tuple[str, bytes]]:
    for name, start, length in tags(profile):
        yield f"no {name}", _with(profile, _entry(profile, name), b"none")
        yield f"{name} of unknown type", _with(profile, start, b"abcd")
        yield f"{name} zeroed", _with(profile, start, bytes(length))
        yield f"{name} of huge numbers", _with(profile, start + 8, b"\x7f" * (length - 8))
        yield f"{name} of negative numbers", _with(profile, start + 8, b"\xff" * (length - 8))
        yield f"{name} past the end", _with(profile, _entry(profile, name) + 4, b"\x7f" * 4)
        yield f"{name} too long", _with(profile, _entry(profile, name) + 8, b"\x7f" * 4)
    for end in (0, 1, 20, 128, 132, 200, 300, len(profile) - 40, len(profile) - 1):
        cut = profile[:end]
        yield f"cut at {end}", cut
        yield f"cut at {end}, its size right", struct.pack(">I", end) + cut[4:]
    for kind in (b"scnr", b"prtr", b"spac", b"link", b"abst", b"nmcl", b"zzzz"):
        yield f"class {kind.decode()}", _with(profile, 12, kind)
    for space in (b"GRAY", b"CMYK", b"Lab ", b"XYZ ", b"HSV ", b"3CLR", b"zzzz"):
        yield f"for {space.decode()}", _with(profile, 16, space)
    for space in (b"Lab ", b"RGB ", b"zzzz"):
        yield f"connection space {space.decode()}", _with(profile, 20, space)
    for version in (b"\x00\x00", b"\x01\x00", b"\x05\x00", b"\xff\xff"):
        yield f"version {version.hex()}", _with(profile, 8, version)
    for count in (0, 1, 255, 2**32 - 1):
        yield f"{count} tags", _with(profile, _TAGS, struct.pack(">I", count))
    yield "no signature", _with(profile, 36, b"xxxx")
    yield "unknown intent", _with(profile, 64, b"\0\0\0\x09")
    yield "white of nothing", _with(profile, 68, bytes(12))
    yield "nothing but zeros", bytes(len(profile))
    yield "nothing but noise", b"\xee" * 500
    yield "text", b"not a profile at all, but " + b"text " * 200


def grey(gamma: float) -> bytes:
    """A profile for grey pictures: a white point and a curve."""
    curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    white = b"XYZ \0\0\0\0" + SRGB[68:80]
    table = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, len(curve))
    header = struct.pack(">I", 176 + len(curve)) + SRGB[4:16] + b"GRAY" + SRGB[20:128]
    return header + table + white + curve


def tags(profile: bytes) -> Iterator[tuple[str, int, int]]:
    count = int.from_bytes(profile[_TAGS : _TAGS + 4], "big")
    for entry in range(_TAGS + 4, _TAGS + 4 + 12 * count, 12):
        name, start, length = struct.unpack(">4sII", profile[entry : entry + 12])
        yield name.decode(), start, length


def _entry(profile: bytes, name: str) -> int:
    return profile.index(name.encode(), _TAGS + 4)


def _with(profile: bytes, start: int, body: bytes) -> bytes:
    return profile[:start] + body + profile[start + len(body) :]
