"""Format and size of a file, without decoding it."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import pictures

from image_service.domain.errors import ImageTooComplex, InvalidFileType
from image_service.pictures.formats import exif, jpeg, png, webp
from image_service.pictures.formats.signatures import detect
from image_service.pictures.plan import Size

JPEG = pictures.jpeg(320, 200)
PROGRESSIVE = pictures.jpeg(320, 200, progressive=True)
PNG = pictures.png(320, 200)
WEBP = pictures.webp(320, 200)


HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + b"\0\0\0\x08meta"


def tiff(entries: dict[int, bytes], order: str = "<") -> bytes:
    """A TIFF of one directory whose entries are text, each in 32 bytes behind it."""
    behind = 8 + 2 + 12 * len(entries) + 4
    table = b"".join(
        struct.pack(order + "HHII", tag, 2, len(text), behind + 32 * at)
        for at, (tag, text) in enumerate(entries.items())
    )
    return (
        struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
        + struct.pack(order + "H", len(entries)) + table + bytes(4)
        + b"".join(text.ljust(32, b"\0") for text in entries.values())
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [(JPEG, "image/jpeg"), (PNG, "image/png"), (pictures.webp(), "image/webp")],
)
def test_supported_types_are_told_by_their_first_bytes(data: bytes, mime_type: str) -> None:
    assert detect(data) == mime_type


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GIF89a....", "image/gif"),
        (b"BM......", "image/bmp"),
        (b"II*\0....", "image/tiff"),
        (b"MM\0*....", "image/tiff"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\0\0\0\x18ftypheic....", "image/heic"),
        (b"\0\0\0\x18ftypavif....", "image/avif"),
        (b"\0\0\0\x18ftypisom....", "video/mp4"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<SVG/>", "image/svg+xml"),
        (b"<!DOCTYPE html><p>", "text/html"),
        (b"PK\x03\x04....", "application/zip"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0ABCDfmt ", "unknown"),
        (b"\xff\xd8", "unknown"),
        (b"\x89PNG\r\n\x1a", "unknown"),
        (b"hello <svg", "text/plain"),
        (b"<?xml version='1.0'?><a/>", "text/plain"),
        (b"hello\0 and more", "unknown"),
        (b"data:image/png;base64,iVBORw0KGgo", "text/base64"),
        (b" /9j/4AAQSkZJRgABAQ", "text/base64"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "application/postscript"),
        (b"\x1aE\xdf\xa3....", "video/webm"),
        (b"\0\0\0\x08wide\0\0\0\x08mdat", "video/quicktime"),
        (b"II+\0\x08\0\0\0", "image/tiff"),
        (b"II\xbc\1....", "image/jxr"),
        (b"\xff\x4f\xff\x51\0", "image/jp2"),
        (b"IIU\0....", "image/x-panasonic-rw2"),
        (b"IIRO....", "image/x-olympus-orf"),
        (b"FUJIFILMCCD-RAW 0201", "image/x-fuji-raf"),
        (b"II*\0\x10\0\0\0CR\2\0", "image/x-canon-cr2"),
        (tiff({0x010F: b"NIKON CORPORATION", 0x014A: b"...."}), "image/x-nikon-nef"),
        (tiff({0x010F: b"SONY", 0x014A: b"...."}, order=">"), "image/x-sony-arw"),
        (tiff({0x010F: b"PENTAX", 0x014A: b"...."}), "image/x-pentax-pef"),
        (tiff({0x010F: b"SAMSUNG", 0x014A: b"...."}), "image/x-samsung-srw"),
        (tiff({0x010F: b"Apple", 0xC612: b"...."}), "image/x-adobe-dng"),
        (tiff({0x010F: b"NIKON scanner"}), "image/tiff"),
        (tiff({0x010F: b"A camera", 0x014A: b"...."}), "image/tiff"),
        (tiff({})[:9], "image/tiff"),
        *((ftyp(brand), "image/heic") for brand in HEIC),
        *((ftyp(b"mif1", brand, b"miaf"), "image/heic") for brand in HEIC),
        *((ftyp(major, b"avif", b"miaf"), "image/avif") for major in (b"mif1", b"msf1", b"avif")),
        *((ftyp(brand, b"mif1"), "image/heif") for brand in (b"avci", b"j2ki", b"jpeg")),
        (ftyp(b"mif1", b"miaf"), "image/heif"),
        (b"\0\0\0\x10ftypmif3avif", "image/avif"),
        (ftyp(b"crx ", b"isom"), "image/x-canon-cr3"),
        (ftyp(b"qt  ", b"qt  "), "video/quicktime"),
        (ftyp(b"mp42", b"heic"), "video/mp4"),
    ],
)
def test_other_types_are_refused_and_named(data: bytes, name: str) -> None:
    with pytest.raises(InvalidFileType, match="Only JPEG, PNG and WebP images") as e:
        detect(data)
    assert e.value.details == {
        "measured": name,
        "limit": ["image/jpeg", "image/png", "image/webp"],
    }


@pytest.mark.parametrize(
    ("size_of", "data"),
    [
        (jpeg.declared_size, JPEG),
        (jpeg.declared_size, PROGRESSIVE),
        (jpeg.declared_size, pictures.with_all_metadata("JPEG")),
        (png.declared_size, PNG),
        (webp.declared_size, pictures.webp(320, 200)),
        (webp.declared_size, pictures.webp(320, 200, lossless=True)),
        (webp.declared_size, pictures.encode(pictures.scene(320, 200, "RGBA"), "WEBP")),
    ],
)
def test_the_declared_size_is_found(size_of: Callable[[bytes], Size | None], data: bytes) -> None:
    expected = (640, 400) if b"MARKER-EXIF" in data else (320, 200)
    assert size_of(data) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ftyp(b"heic", b"mif1"), "HEIC photo .* On an iPhone, share it .* JPEG"),
        (ftyp(b"qt  "), "QuickTime video, .* Upload a photo"),
        (b"IIU\0....", r"Panasonic raw photo \(RW2\). Export it as JPEG"),
        (b"", "this file is empty. See that the whole file"),
        (b"/9j/4AAQSkZJRgABAQ", "written as text .* Send the bytes"),
        (b"BM......", "image/bmp. Convert it"),
    ],
)
def test_a_refused_type_is_called_what_its_owner_calls_it(data: bytes, words: str) -> None:
    with pytest.raises(InvalidFileType, match=words):
        detect(data)


@given(st.sampled_from([b"II*\0", b"MM\0*", b"\0\0\0\x20ftypmif1", b"RIFF", b""]), st.binary())
def test_no_first_bytes_are_too_odd_to_be_refused(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(InvalidFileType):
        detect(start + rest)


@pytest.mark.parametrize("length", range(11))
def test_an_extended_header_that_is_cut_costs_no_error(length: int) -> None:
    head = b"VP8X" + length.to_bytes(4, "little") + bytes(length + length % 2)
    data = b"RIFF\xff\0\0\0WEBP" + head + b"EXIF\x02\0\0\0ab"
    assert webp.without_metadata(data)[12:] == head


@given(st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff", PNG[:8], b"RIFF0000WEBPVP8X"]))
def test_garbage_behind_a_signature_is_survived(garbage: bytes, signature: bytes) -> None:
    data = signature + garbage
    for module in (jpeg, png, webp):
        module.declared_size(data)
        module.orientation(data)
        module.without_metadata(data)
    png.frames(data)
    png.is_whole(data)
    webp.frames(data)
    jpeg.without_oddities(data)


@pytest.mark.parametrize(
    ("frames", "count"),
    [
        (png.frames(PNG), 1),
        (webp.frames(WEBP), 1),
        (webp.frames(pictures.encode(pictures.scene(mode="RGBA"), "WEBP")), 1),
        (png.frames(pictures.animated("PNG")), 3),
        (webp.frames(pictures.animated("WEBP")), 3),
        (png.frames(pictures.with_frames("PNG", 2)), 2),
        (webp.frames(pictures.with_frames("WEBP", 2)), 2),
        (png.frames(pictures.with_frames("PNG", 1)), 1),
        (webp.frames(pictures.with_frames("WEBP", 1)), 1),
        (png.frames(pictures.with_frames("PNG", 1, announced=0)), 1),
        (png.frames(pictures.with_frames("PNG", 1, announced=3)), 1),
        (png.frames(pictures.with_frames("PNG", 3, announced=1)), 1),
        (webp.frames(pictures.with_frames("WEBP", 0)), 1),
    ],
)
def test_frames_are_counted_without_decoding(frames: int, count: int) -> None:
    assert frames == count


def test_frames_behind_more_chunks_than_are_counted() -> None:
    data = pictures.with_frames("WEBP", 1)
    for _ in range(1_000):
        data += b"JUNK" + bytes(4)
    assert webp.frames(pictures.with_riff_size(data)) > 1


@pytest.mark.parametrize("announced", [(3, 1), (1, 3), (3, 0)])
def test_a_second_actl_hides_no_animation(announced: tuple[int, int]) -> None:
    header, *chunks = pictures.png_chunks(pictures.animated("PNG"))
    frames = [chunk for chunk in chunks if chunk[0] != b"acTL"]
    twice = [(b"acTL", struct.pack(">II", count, 0)) for count in announced]
    assert png.frames(pictures.png_of_chunks([header, *twice, *frames])) == 3


def test_an_actl_behind_the_pixels_makes_no_animation() -> None:
    chunks = pictures.png_chunks(PNG)
    late = pictures.png_of_chunks([*chunks[:-1], (b"acTL", bytes(8)), chunks[-1]])
    assert png.frames(late) == 1


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, PNG, WEBP, pictures.with_all_metadata("WEBP")])
def test_how_long_a_file_says_it_is(data: bytes) -> None:
    extent_of = {b"\xff": jpeg.extent, b"\x89": png.extent, b"R": webp.extent}[data[:1]]
    assert extent_of(data) == (True, len(data))
    assert extent_of(data + b"more") == (True, len(data))
    for end in range(16, len(data), max(1, len(data) // 300)):
        assert len(data[:end]) < extent_of(data[:end]).least_bytes <= len(data) + 12


def test_a_png_is_whole_with_its_iend() -> None:
    assert png.is_whole(PNG)
    assert png.is_whole(PNG + b"more")
    assert not png.is_whole(PNG[:-1])
    assert not png.is_whole(pictures.png_of_chunks(pictures.png_chunks(PNG)[:-1]))


@pytest.mark.parametrize("look", [png.is_whole, png.frames, png.without_metadata])
def test_an_endless_row_of_chunks_is_not_followed(look: Callable[[bytes], object]) -> None:
    chunks = pictures.png_chunks(PNG)
    many = pictures.png_of_chunks([chunks[0], *[(b"teXt", b"")] * 20_000, *chunks[1:]])
    with pytest.raises(ImageTooComplex, match="more than 20,000 chunks") as refusal:
        look(many)
    figures = {"measured": {"chunks": 20_001}, "limit": {"chunks": 20_000}}
    assert refusal.value.details == figures
    some = pictures.png_of_chunks([chunks[0], *[(b"teXt", b"")] * 10_000, *chunks[1:]])
    look(some)


def test_a_png_loses_what_no_pixel_needs() -> None:
    header, *rest = pictures.png_chunks(PNG)
    profile = b"a name\0\0" + zlib.compress(bytes(3_000_000))
    seen = [(b"gAMA", bytes(4)), (b"iCCP", profile)]
    data = pictures.png_of_chunks([header, *seen, *rest])
    assert png.without_metadata(data) == data

    unseen = [
        (b"zTXt", b"k\0\0" + zlib.compress(b"text")),
        (b"iCCP", b"k\0\0" + zlib.compress(bytes(5_000_000))),
        (b"iCCP", b"k\0\0no stream"),
        (b"iCCP", b"no end of the name"),
        (b"eXIf", b"MM" + bytes(60_000)),
        (b"prVt", b"private"),
    ]
    padded = pictures.png_of_chunks([header, unseen[0], *seen, *unseen[1:], *rest, unseen[0]])
    assert png.without_metadata(padded) == data + pictures.chunk(*unseen[0])  # behind the end
    critical = pictures.png_of_chunks([header, (b"ABCD", b"?"), *rest])
    assert png.without_metadata(critical) == critical  # for the decoder to refuse


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\0", b"?"])
def test_stray_bytes_are_passed_over_up_to_a_limit(filler: bytes) -> None:
    some, many = (JPEG[:2] + filler * times + JPEG[2:] for times in (30_000, 70_000))
    assert jpeg.declared_size(some) == jpeg.declared_size(JPEG)
    assert jpeg.declared_size(many) is None


def test_floods_of_segments_and_chunks_are_refused() -> None:
    padding = b"\xff\xfe\0\2"
    assert jpeg.held_bytes_a_pixel(PROGRESSIVE[:2] + padding * 1_000 + PROGRESSIVE[2:]) < 8
    with pytest.raises(ImageTooComplex, match="10,000 segments"):
        jpeg.held_bytes_a_pixel(PROGRESSIVE[:2] + padding * 10_000 + PROGRESSIVE[2:])
    assert webp.held_bytes_a_pixel(WEBP) == 0
    junk = (b"JUNK" + bytes(4)) * 1_001
    with pytest.raises(ImageTooComplex, match="1,000 chunks"):
        webp.held_bytes_a_pixel(pictures.with_riff_size(WEBP[:12] + junk + WEBP[12:]))


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
def test_jpegs_that_no_browser_shows_are_refused_as_a_type(marker: int) -> None:
    odd = JPEG.replace(b"\xff\xc0", bytes([0xFF, marker]))
    with pytest.raises(InvalidFileType, match="no browser shows"):
        jpeg.check_kind(odd)
    for shown in (JPEG, PROGRESSIVE, JPEG.replace(b"\xff\xc0", b"\xff\xc1")):
        jpeg.check_kind(shown)


def test_the_work_that_scans_declare_is_bounded() -> None:
    for whole in (JPEG, PROGRESSIVE, pictures.jpeg(2000, 1500, progressive=True, subsampling=0)):
        jpeg.check_work(whole)
    large = pictures.jpeg_claiming(8000, 8000)
    jpeg.check_work(large)
    scan = PROGRESSIVE.index(b"\xff\xda")
    head = PROGRESSIVE[:scan]
    frame = head.index(b"\xff\xc2") + 5
    claiming = head[:frame] + b"\x1f\x40\x1f\x40" + head[frame + 4 :]
    one = b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\0\1"
    jpeg.check_work(claiming + one * 20)
    with pytest.raises(ImageTooComplex, match="blocks of pixels in its first 31 scans"):
        jpeg.check_work(claiming + one * 40)


def directory(*entries: tuple[int, int, int, int], order: str = "<") -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    packed = b"".join(struct.pack(order + "HHIH2x", *entry) for entry in entries)
    return start + struct.pack(order + "IH", 8, len(entries)) + packed


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_is_read_from_the_first_directory(order: str, prefix: bytes) -> None:
    for value in range(1, 9):
        entries = [(0x010F, 2, 4, 0), (0x0112, 3, 1, value)]
        assert exif.orientation(prefix + directory(*entries, order=order)) == value


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        directory(),
        directory((0x0112, 3, 1, 9)),
        directory((0x0112, 3, 1, 0)),
        directory((0x0112, 4, 1, 6)),
        directory((0x0112, 3, 2, 6)),
        directory((0x0112, 3, 1, 6))[:-3],
        directory(*[(0x010F, 2, 4, 0)] * 600, (0x0112, 3, 1, 6)),
        b"II*\0\xff\xff\xff\x7f",
        b"XX*\0" + directory((0x0112, 3, 1, 6))[4:],
    ],
)
def test_what_tells_no_orientation_is_upright(block: bytes) -> None:
    assert exif.orientation(block) == 1


@given(st.binary(max_size=300))
def test_no_exif_block_fails(block: bytes) -> None:
    assert 1 <= exif.orientation(b"II*\0\x08\0\0\0" + block) <= 8


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, pictures.jpeg(restart_marker_blocks=4)])
def test_a_jpeg_without_oddities_stays_as_it_is(data: bytes) -> None:
    assert jpeg.without_oddities(data) == data


def test_oddities_go_and_nothing_else() -> None:
    scan = JPEG.index(b"\xff\xda")
    odd = pictures.with_scan_parameters(JPEG, b"\x00\x00\x00")
    odd = odd[:scan] + b"\0stray\xff\0\xff\xff" + odd[scan:] + b"appended"
    odd = odd.replace(b"JFIF\0\1", b"JFIF\0\7")
    assert jpeg.without_oddities(odd) == JPEG


def test_scan_parameters_of_a_progressive_jpeg_are_its_own() -> None:
    odd = pictures.with_scan_parameters(PROGRESSIVE, b"\x00\x00\x00")
    assert jpeg.without_oddities(odd) == odd


def test_a_missing_end_stays_missing() -> None:
    assert jpeg.without_oddities(JPEG[:-2]) == JPEG[:-2]


def test_of_several_pictures_the_first_is_kept() -> None:
    assert jpeg.without_oddities(JPEG + PROGRESSIVE) == JPEG
