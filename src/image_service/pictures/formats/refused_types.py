"""Names of refused types for people, with the way to a JPEG where there is one."""

from __future__ import annotations

from typing import Final

_CONVERT: Final = "Convert it to one of these types and upload it again."
_FROM_A_PHONE: Final = (
    "On an iPhone, share it again with Options > 'Most Compatible', which makes a JPEG, and upload "
    "that; Settings > Camera > Formats > 'Most Compatible' does so for new photos."
)
_DEVELOP: Final = (
    "Export it as JPEG from the camera, its software or a photo editor, and upload that."
)
_STILL: Final = "Upload a photo, or a still exported from it as JPEG."

# By type: its name, and the remedy.
_WORDS: Final = {
    "empty": ("this file is empty", "See that the whole file is sent."),
    "unknown": ("this file is none of them, whatever its name says", _CONVERT),
    "image/heic": ("this file is a HEIC photo (High Efficiency), as iPhones take", _FROM_A_PHONE),
    "image/heif": ("this file is a HEIF picture (High Efficiency)", _FROM_A_PHONE),
    "image/avif": ("this file is an AVIF picture", _CONVERT),
    "image/tiff": ("this file is a TIFF picture, or a camera's raw photo", _DEVELOP),
    "video/quicktime": ("this file is a QuickTime video, as of a Live Photo", _STILL),
    "video/mp4": ("this file is an MP4 video", _STILL),
    "video/webm": ("this file is a WebM or Matroska video", _STILL),
    "video/x-msvideo": ("this file is an AVI video", _STILL),
    "audio/wav": ("this file is a sound (WAV)", _CONVERT),
    "image/x-canon-cr2": ("this file is a Canon raw photo (CR2)", _DEVELOP),
    "image/x-canon-cr3": ("this file is a Canon raw photo (CR3)", _DEVELOP),
    "image/x-nikon-nef": ("this file is a Nikon raw photo (NEF)", _DEVELOP),
    "image/x-sony-arw": ("this file is a Sony raw photo (ARW)", _DEVELOP),
    "image/x-adobe-dng": ("this file is a raw photo (DNG, ProRAW)", _DEVELOP),
    "image/x-fuji-raf": ("this file is a Fujifilm raw photo (RAF)", _DEVELOP),
    "image/x-olympus-orf": ("this file is an Olympus raw photo (ORF)", _DEVELOP),
    "image/x-panasonic-rw2": ("this file is a Panasonic raw photo (RW2)", _DEVELOP),
    "image/x-pentax-pef": ("this file is a Pentax raw photo (PEF)", _DEVELOP),
    "image/x-samsung-srw": ("this file is a Samsung raw photo (SRW)", _DEVELOP),
    "text/base64": (
        "this file is a picture written as text (Base64, data URL)",
        "Send the bytes it stands for.",
    ),
    "text/plain": ("this file is text", "See that the picture itself is sent."),
    "text/html": ("this file is a web page", "Save the picture itself, and upload that."),
}


def in_words(found: str) -> str:
    """Returns what a refusal of type `found` says to a person: the cause and the remedy."""
    name, remedy = _WORDS.get(found, (f"by its contents this file is {found}", _CONVERT))
    return f"{name}. {remedy}"
