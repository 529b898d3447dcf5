"""Colours of a decoded picture: from what its profile says to sRGB of 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

PROFILE: Final = "icc-profile-data"
# Fields of a profile's header (ICC.1, 7.2): what it is, the colours it is for, and the
# colours it brings them to.
_CLASS, _SPACE, _CONNECTION = slice(12, 16), slice(16, 20), slice(20, 24)
_OF_DEVICES: Final = (b"scnr", b"mntr", b"prtr", b"spac")
_CONNECTIONS: Final = (b"XYZ ", b"Lab ")
_RGB, _GREY, _CMYK = b"RGB ", b"GRAY", b"CMYK"
# By libvips' interpretation: what a profile for these numbers may be for. A grey picture may
# have one for RGB, as in browsers: grey is then red, green and blue alike.
_FITTING: Final = {
    "srgb": (_RGB,),
    "rgb16": (_RGB,),
    "b-w": (_GREY, _RGB),
    "grey16": (_GREY, _RGB),
    "cmyk": (_CMYK,),
}
_IN_COLOUR: Final = {"b-w": "srgb", "grey16": "rgb16"}
# The perceptual intent keeps the shadows of CMYK apart, where others make one black of them.
_INTENT: Final = "perceptual"


def in_srgb(picture: pyvips.Image, profiles: Iterable[bytes]) -> pyvips.Image:
    """`picture` by the first of `profiles` that can be used for it, alpha kept.

    Without any, its numbers are sRGB, or the ink of a usual press. A profile is never what
    a picture is refused for: browsers pass over those that they can't use.
    """
    for profile in profiles:
        converted = _converted(picture, profile)
        if converted is not None:
            return converted
    if picture.interpretation == "cmyk":
        return picture.icc_transform("srgb", input_profile="cmyk", intent=_INTENT)
    # libvips would take 0.35 s for 12 megapixels to change nothing.
    return picture if picture.interpretation == "srgb" else picture.colourspace("srgb")


def _converted(picture: pyvips.Image, profile: bytes) -> pyvips.Image | None:
    """`picture` by `profile`; None where that is for other colours, or damaged."""
    space = profile[_SPACE]
    if (
        space not in _FITTING.get(picture.interpretation, ())
        or profile[_CLASS] not in _OF_DEVICES
        or profile[_CONNECTION] not in _CONNECTIONS
    ):
        return None
    if space == _RGB and picture.interpretation in _IN_COLOUR:
        picture = picture.colourspace(_IN_COLOUR[picture.interpretation])
    picture = picture.copy()
    picture.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    try:
        # Linked here and now, so that what fails here is the profile and no pixel.
        return picture.icc_transform("srgb", embedded=True, intent=_INTENT, depth=8)
    except pyvips.Error:
        return None
