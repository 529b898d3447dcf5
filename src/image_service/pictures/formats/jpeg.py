"""The structure of a JPEG file: marker segments, as in ITU-T T.81, annex B.

Nothing here decodes a pixel. Sizes are in bytes, offsets from the start of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from image_service.domain.errors import ImageTooComplex, InvalidFileType
from image_service.pictures.formats import exif
from image_service.pictures.formats.extent import Extent
from image_service.pictures.formats.jpeg_padding import Unpadder
from image_service.pictures.plan import Size

_SOI: Final = b"\xff\xd8"
_SOF0, _SOF1, _SOS, _EOI = 0xC0, 0xC1, 0xDA, 0xD9
_APP0, _APP1, _APP2, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_METADATA: Final = frozenset({*range(_APP1, 0xF0), _COM}) - {_APP14}  # Adobe's: how colour is kept
_EXIF, _PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"
_SEQUENTIAL: Final = frozenset({_SOF0, _SOF1, 0xC9})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those are DHT, JPG, DAC
_BARE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # TEM, RSTn, SOI, EOI: no length follows
_SHOWN: Final = frozenset({_SOF0, _SOF1, 0xC2})  # by browsers
_SCAN_DATA: Final = 0  # not a marker: the entropy-coded bytes behind an SOS

_MARKER: Final = re.compile(rb"\xff([\x01-\xfe])")
# Within entropy-coded data FF00 is a stuffed FF, and RSTn markers belong to the data.
_MARKER_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_ADOBE_TRANSFORMS: Final = {3: (0, 1), 4: (0, 2)}  # by components; the last is what is assumed
_TRANSFORM: Final = 15  # where it stands in the segment

# Real files have tens, the longest ICC profiles and EXIF blocks make it hundreds.
_MAX_SEGMENTS: Final = 10_000
# Between segments, filling included: a search through megabytes would hold up everybody.
_MAX_STRAY_BYTES: Final = 2**16
_PIECE: Final = 2**18
# 15 passes over the largest picture of three components; encoders' scripts make six.
_MAX_BLOCKS: Final = 45_000_000
_MOST_HELD: Final = 8.0  # four components, none subsampled


class _Segment(NamedTuple):
    marker: int
    start: int
    end: int


def declared_size(data: bytes) -> Size | None:
    """Width and height as the frame header has them; None if there is none to be found."""
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            height = int.from_bytes(data[segment.start + 5 : segment.start + 7], "big")
            width = int.from_bytes(data[segment.start + 7 : segment.start + 9], "big")
            return Size(width, height)
    return None


def extent(data: bytes) -> Extent:
    """A JPEG says of each segment how long it is, and not of the whole: that ends in an EOI."""
    has_picture, end, last = False, len(_SOI), None
    for last in _segments(data):
        has_picture |= last.marker in _FRAMES
        end = last.end
    if last is not None and last.marker == _EOI:
        return Extent(has_picture, end)
    rest = data[end : end + 4]
    if len(rest) == len(data) - end:  # cut between segments, or in the first bytes of one
        end = len(data) + len(_SOI) if last is not None or has_picture else end
    elif rest[:1] == b"\xff" and _SOF0 <= rest[1] < 0xFF:  # noqa: PLR2004 - FF would be filling
        end += 2 + int.from_bytes(rest[2:], "big")
    return Extent(has_picture, max(end, len(data) + len(_SOI)) if has_picture else end)


def held_bytes_a_pixel(data: bytes) -> float:
    """Returns what the decoder keeps of the whole picture, while it decodes.

    Of a picture in one scan it keeps a few rows: 0. Of one in several scans, progressive or
    not, all coefficients, 2 bytes each: 6 for colour that is not subsampled. Where its
    frame and scan are not found the most is assumed.
    """
    frame = None
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            frame = segment
        elif segment.marker == _SOS and frame is not None:
            components = _byte(data, frame.start + 9)
            in_one_scan = _byte(data, segment.start + 4) == components
            if frame.marker in _SEQUENTIAL and in_one_scan:
                return 0
            return _coefficient_bytes(data[frame.start + 10 : frame.end][: 3 * components])
    return _MOST_HELD


def _byte(data: bytes, at: int) -> int:
    """0 behind the end of a file that is cut short."""
    return data[at] if at < len(data) else 0


def _coefficient_bytes(components: bytes) -> float:
    """For a pixel of the frame; three bytes a component, the second its sampling factors."""
    factors = [(factor >> 4, factor & 0x0F) for factor in components[1::3]]
    largest = max((h for h, _ in factors), default=1) * max((v for _, v in factors), default=1)
    return 2 * sum(h * v for h, v in factors) / max(largest, 1)


def orientation(data: bytes) -> int:
    """1 to 8, as the first EXIF block ahead of the pixels says."""
    for segment in _segments(data):
        if segment.marker == _SOS:
            break
        body = data[segment.start + 4 : segment.end]
        if segment.marker == _APP1 and body.startswith(_EXIF):
            return exif.orientation(body)
    return exif.UPRIGHT


def without_metadata(data: bytes) -> bytes:
    """`data` without EXIF, XMP, comments and makers' segments ahead of its pixels.

    What says how pixels are kept stays: JFIF, Adobe's segment, colour profiles.
    """
    kept, start = [], 0
    for segment in _segments(data):
        if segment.marker == _SOS:
            break
        if segment.marker in _METADATA and not (
            segment.marker == _APP2 and data.startswith(_PROFILE, segment.start + 4)
        ):
            kept.append(data[start : segment.start])
            start = segment.end
    return b"".join((*kept, data[start:])) if kept else data


def without_oddities(data: bytes) -> bytes:
    """The first picture of `data`, freed of what decoders warn of and browsers pass over.

    - Scan parameters of sequential frames are set to the only values they can have: some
      Samsung phones write others.
    - Stray and filling bytes between segments go, as does all that follows the picture.
    - The major version of a JFIF header becomes 1, the only one there is.
    - An Adobe marker's transform that its components can't have becomes what decoders take
      it for: 1 (YCbCr) of three, 2 (YCCK) of four.
    - One or two bytes that pad a restart interval or a scan go.

    All other entropy-coded data is kept byte for byte, damage included; where the end of
    the picture is missing it stays missing.
    """
    parts = [_SOI]
    sequential = False
    unpadder = Unpadder()
    components = _components(data)
    for segment in _segments(data):
        body = data[segment.start : segment.end]
        unpadder.see(segment.marker, body)
        if segment.marker in (_SOF0, _SOF1):
            sequential = True
        elif segment.marker == _SOS and sequential:
            body = body[:-3] + b"\x00\x3f\x00"  # Ss 0, Se 63, Ah and Al 0
        elif segment.marker == _APP0 and body[4:9] == b"JFIF\0":
            body = body[:9] + b"\x01" + body[10:]
        elif segment.marker == _APP14 and body[4:9] == b"Adobe":
            body = _with_known_transform(body, components)
        elif segment.marker == _SCAN_DATA and sequential:
            body = unpadder.trimmed(body)
        parts.append(body)
    return b"".join(parts)


def _components(data: bytes) -> int:
    frames = (segment for segment in _segments(data) if segment.marker in _FRAMES)
    frame = next(frames, None)
    return data[frame.start + 9] if frame and frame.end > frame.start + 9 else 0


def _with_known_transform(body: bytes, components: int) -> bytes:
    known = _ADOBE_TRANSFORMS.get(components)
    if known is None or len(body) <= _TRANSFORM or body[_TRANSFORM] in known:
        return body
    return body[:_TRANSFORM] + bytes(known[-1:]) + body[_TRANSFORM + 1 :]


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments of the first picture, EOI included; ends early where they make no sense.

    Raises ImageTooComplex past 10,000: real files have hundreds.
    """
    for number, segment in enumerate(_walk(data)):
        if number == _MAX_SEGMENTS:
            raise ImageTooComplex.because(
                f"The JPEG has more than {_MAX_SEGMENTS:,} segments.",
                segments=(number + 1, _MAX_SEGMENTS),
            )
        yield segment


def _walk(data: bytes) -> Iterator[_Segment]:
    position = len(_SOI)
    while found := _MARKER.search(data, position, position + _MAX_STRAY_BYTES):
        marker, start, position = found[1][0], found.start(), found.end()
        if marker not in _BARE:
            length = int.from_bytes(data[position : position + 2], "big")
            position += max(length, 2)
            if length < 2 or position > len(data):  # noqa: PLR2004 - a length counts itself: 2 bytes
                return
        yield _Segment(marker, start, position)
        if marker == _EOI:
            return
        if marker == _SOS:
            end = _end_of_scan(data, position)
            yield _Segment(_SCAN_DATA, position, end)
            position = end


def _end_of_scan(data: bytes, position: int) -> int:
    """Returns where entropy-coded data ends; searched in pieces: a search stops all threads."""
    for start in range(position, len(data), _PIECE):
        found = _MARKER_AFTER_SCAN.search(data, start, start + _PIECE + 1)
        if found:
            return found.start()
    return len(data)


def check_kind(data: bytes) -> None:
    """Raises InvalidFileType for what no browser shows: arithmetic coding, lossless, hierarchical.

    Arithmetic coding takes seconds to decode nothing.
    """
    for segment in _segments(data):
        if segment.marker in _FRAMES and segment.marker not in _SHOWN:
            raise InvalidFileType(
                "This JPEG is coded in a way that no browser shows (arithmetic, lossless or "
                "hierarchical). Save it as a baseline or progressive JPEG and upload it again.",
                details={
                    "measured": f"SOF{segment.marker - _SOF0}",
                    "limit": ["SOF0", "SOF1", "SOF2"],
                },
            )
        if segment.marker in (_SOS, *_SHOWN):
            return


def check_work(data: bytes) -> None:
    """Raises ImageTooComplex where scans ask for more blocks than encoders' scripts do.

    A scan costs the decoder its blocks, also where no data is behind it.
    """
    work, scans, sequential = 0, 0, True
    blocks: dict[int, int] = {}
    for segment in _segments(data):
        body = data[segment.start + 4 : segment.end]
        if segment.marker in _FRAMES:
            sequential = segment.marker in _SEQUENTIAL
            blocks = _blocks(body)
        elif segment.marker == _SOS and body:
            scans += 1
            work += sum(blocks.get(name, 0) for name in body[1 : 1 + 2 * body[0] : 2])
            if work > _MAX_BLOCKS:
                raise ImageTooComplex.because(
                    f"The JPEG has {work:,} blocks of pixels in its first {scans} scans; at most "
                    f"{_MAX_BLOCKS:,} are taken.",
                    blocks=(work, _MAX_BLOCKS),
                )
            if sequential and body[0] == len(blocks):
                return  # decoders look at no other scan


def _blocks(frame: bytes) -> dict[int, int]:
    """Returns how many blocks of 8 x 8 each component has, by its identifier."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    parts = [(frame[at], frame[at + 1]) for at in range(6, len(frame) - 2, 3)]
    widest = max((factor >> 4 for _, factor in parts), default=1) or 1
    highest = max((factor & 15 for _, factor in parts), default=1) or 1
    return {
        name: -(-width * (factor >> 4) // (8 * widest))
        * -(-height * (factor & 15) // (8 * highest))
        for name, factor in parts
    }
