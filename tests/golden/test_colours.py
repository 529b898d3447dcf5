"""Colours: by profile or by the chunks of a PNG; no profile decides whether a picture is taken."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
from PIL import Image, ImageCms
from tests import pictures
from tests.golden import profiles
from tests.golden.comparing import assert_looks_like, opened, run
from tests.golden.test_pixels import PRESS_PROFILE, printed

from image_service.domain.pictures import ProcessedImage
from image_service.pictures.processor import VipsProcessor

SCENE = pictures.scene(160, 100)
DAMAGED = profiles.damaged(profiles.SRGB)
CURVED_DAMAGED = profiles.damaged(pictures.matrix_profile(pictures.ADOBE_RGB, gamma=1.8))
GREY_DAMAGED = profiles.damaged(profiles.grey(2.2))
PRESS_DAMAGED = {
    damage: profile
    for damage, profile in profiles.damaged(PRESS_PROFILE).items()
    if damage.startswith(("A2B0", "no A2B0", "cut", "class", "for", "connection", "text"))
}
# Numbers that can be computed with: what they make of a picture, browsers show as well.
STILL_USABLE = [f"{c}XYZ of {n} numbers" for c in "rgb" for n in ("huge", "negative")]
P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
BT709 = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
WHITE_WITHOUT_RED = struct.pack(">8I", 5334, 24555, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_WITH_CURVE = pictures.matrix_profile(pictures.ADOBE_RGB, gamma=1.0)


def one_in_eight(names: Iterable[str]) -> list[Any]:
    """For the inner loop; the others are slow together."""
    return [
        pytest.param(name, marks=pytest.mark.slow) if number % 8 else name
        for number, name in enumerate(names)
    ]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, matrix, full))


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"x\0\0" + zlib.compress(profile)


def with_chunks(picture: Image.Image, *chunks: tuple[bytes, bytes], deep: bool = False) -> bytes:
    return pictures.with_png_chunks(pictures.png_of_pixels(picture, deep=deep), *chunks)


def middle(result: ProcessedImage) -> tuple[int, ...]:
    image = opened(result.main)
    return image.convert("RGBA" if "A" in image.mode else "RGB").getpixel((60, 60))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damage", one_in_eight(DAMAGED))
async def test_a_damaged_profile_is_passed_over(
    processor: VipsProcessor, damage: str, file_format: str
) -> None:
    data = pictures.encode(SCENE, file_format, quality=95, icc_profile=DAMAGED[damage])
    result = await run(processor, data)
    if damage not in STILL_USABLE:
        assert_looks_like(result.main, SCENE)


@pytest.mark.parametrize("damage", one_in_eight(GREY_DAMAGED))
async def test_a_damaged_profile_of_a_grey_picture(processor: VipsProcessor, damage: str) -> None:
    picture = SCENE.convert("L")
    data = pictures.encode(picture, "JPEG", quality=95, icc_profile=GREY_DAMAGED[damage])
    result = await run(processor, data)
    if "numbers" not in damage and damage != "connection space Lab ":  # of another curve
        assert_looks_like(result.main, picture.convert("RGB"))


@pytest.mark.parametrize("damage", one_in_eight(PRESS_DAMAGED))
async def test_ink_by_a_damaged_profile_is_that_of_a_usual_press(
    processor: VipsProcessor, damage: str
) -> None:
    ink = SCENE.convert("CMYK")
    data = pictures.encode(ink, "JPEG", quality=95, icc_profile=PRESS_DAMAGED[damage])
    result = await run(processor, data)
    if "numbers" not in damage:
        assert_looks_like(result.main, printed(ink))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(profiles.grey(1.0), id="grey"),
        pytest.param(PRESS_PROFILE, id="ink"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), id="Lab"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes(), id="XYZ"),
    ],
)
async def test_a_profile_for_other_colours_than_the_pictures_is_passed_over(
    processor: VipsProcessor, profile: bytes, file_format: str
) -> None:
    data = pictures.encode(SCENE, file_format, quality=95, icc_profile=profile)
    assert_looks_like((await run(processor, data)).main, SCENE)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        pytest.param("L", ADOBE_WITH_CURVE, id="for RGB"),
        pytest.param("L", profiles.grey(1.0), id="for grey"),
        pytest.param("RGB", ADOBE_WITH_CURVE, id="colour"),
    ],
)
async def test_the_curve_of_a_profile_counts_for_grey_as_well(
    processor: VipsProcessor, mode: str, profile: bytes, file_format: str
) -> None:
    picture = Image.new("RGB", (120, 120), (128, 128, 128)).convert(mode)
    data = pictures.encode(picture, file_format, quality=95, icc_profile=profile)
    assert middle(await run(processor, data)) == pytest.approx((188, 188, 188), abs=2)


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
async def test_a_picture_of_linear_light(processor: VipsProcessor, mode: str, deep: bool) -> None:
    picture = Image.new("RGBA", (120, 120), (128, 128, 128, 200)).convert(mode)
    shown = middle(await run(processor, with_chunks(picture, gama(1.0), deep=deep)))
    assert shown == pytest.approx((188, 188, 188, 200)[: len(shown)], abs=2)
    assert len(shown) == (4 if "A" in mode else 3)


RED, GREY = (200, 60, 60), (128, 128, 128)


@pytest.mark.parametrize(
    ("colour", "chunks", "shown"),
    [
        # What Chromium shows of them.
        pytest.param(GREY, [gama(1.0)], (188, 188, 188), id="linear"),
        pytest.param(GREY, [gama(0.55556)], (146, 146, 146), id="old Macintosh"),
        pytest.param(GREY, [gama(0.45455)], GREY, id="usual gamma"),
        pytest.param(RED, [(b"cHRM", P3), gama(0.45455)], (219, 37, 49), id="P3 by cHRM"),
        pytest.param(RED, [cicp(12, 13)], (217, 42, 52), id="P3 by cICP"),
        # By the formulas of H.273.
        pytest.param(GREY, [cicp(1, 8)], (188, 188, 188), id="linear by cICP"),
        pytest.param(GREY, [cicp(1, 4)], (129, 129, 129), id="gamma 2.2 by cICP"),
        pytest.param(GREY, [cicp(9, 1)], (138, 138, 138), id="grey of BT.2020"),
        pytest.param(GREY, [cicp(1, 13)], GREY, id="sRGB by cICP"),
        # What beats what.
        pytest.param(GREY, [cicp(1, 8), iccp(profiles.SRGB)], (188,) * 3, id="cICP, iCCP"),
        pytest.param(GREY, [cicp(1, 13), iccp(ADOBE_WITH_CURVE)], GREY, id="cICP of sRGB, iCCP"),
        pytest.param(
            GREY, [iccp(ADOBE_WITH_CURVE), (b"sRGB", b"\0"), gama(0.45455)], (188,) * 3,
            id="iCCP, sRGB, gAMA",
        ),
        pytest.param(GREY, [(b"sRGB", b"\0"), gama(1.0)], GREY, id="sRGB, gAMA"),
        pytest.param(
            GREY, [(b"iCCP", b"x\0\0garbage"), gama(1.0)], (188,) * 3, id="iCCP damaged, gAMA"
        ),
        pytest.param(
            GREY, [iccp(PRESS_PROFILE), gama(1.0)], (188,) * 3, id="iCCP of ink, gAMA"
        ),
        pytest.param(
            GREY, [(b"cICP", b"\1\x08"), gama(1.0)], (188,) * 3, id="cICP cut, gAMA"
        ),
        # Left: what is not understood counts as not there.
        pytest.param(GREY, [cicp(9, 16)], GREY, id="PQ"),
        pytest.param(GREY, [cicp(9, 18)], GREY, id="HLG"),
        pytest.param(GREY, [cicp(9, 16), gama(1.0)], (188,) * 3, id="PQ, gAMA"),
        pytest.param(GREY, [cicp(9, 1, matrix=9)], GREY, id="cICP of no RGB"),
        pytest.param(GREY, [cicp(1, 8, full=0)], GREY, id="cICP of narrow range"),
        pytest.param(GREY, [cicp(200, 8)], GREY, id="cICP of unknown primaries"),
        pytest.param(RED, [(b"cHRM", P3)], RED, id="cHRM alone"),
        pytest.param(RED, [(b"cHRM", BT709), gama(0.45455)], RED, id="sRGB in two chunks"),
        pytest.param(GREY, [gama(0)], GREY, id="gamma 0"),
        pytest.param(GREY, [gama(42_000)], GREY, id="gamma of millions"),
        pytest.param(GREY, [(b"gAMA", b"\1")], GREY, id="gAMA cut"),
        pytest.param(GREY, [(b"cHRM", bytes(32)), gama(1.0)], (188,) * 3, id="cHRM of zeros"),
        pytest.param(GREY, [(b"cHRM", b"\xff" * 32), gama(1.0)], (188,) * 3, id="cHRM of ones"),
        pytest.param(GREY, [(b"cHRM", b"\1"), gama(1.0)], (188,) * 3, id="cHRM cut"),
        pytest.param(
            GREY, [(b"cHRM", WHITE_WITHOUT_RED), gama(1.0)], (188,) * 3, id="cHRM of no response"
        ),
    ],
)  # fmt: skip
async def test_a_png_shows_the_colours_its_chunks_say(
    processor: VipsProcessor,
    colour: tuple[int, ...],
    chunks: list[tuple[bytes, bytes]],
    shown: tuple[int, ...],
) -> None:
    data = with_chunks(Image.new("RGB", (120, 120), colour), *chunks)
    assert middle(await run(processor, data)) == pytest.approx(shown, abs=2)


@pytest.mark.parametrize("damage", one_in_eight(CURVED_DAMAGED))
async def test_a_damaged_profile_hides_no_other_chunk(
    processor: VipsProcessor, damage: str
) -> None:
    """Grey of 128 is 146 by the profile, 188 by the gAMA, and stays where neither is read."""
    grey = Image.new("RGB", (120, 120), GREY)
    shown = middle(await run(processor, with_chunks(grey, iccp(CURVED_DAMAGED[damage]), gama(1.0))))
    if damage not in STILL_USABLE:
        assert any(shown == pytest.approx((level,) * 3, abs=2) for level in (146, 188))


async def test_a_chunk_of_colours_whose_checksum_is_wrong_does_not_count(
    processor: VipsProcessor,
) -> None:
    data = with_chunks(Image.new("RGB", (120, 120), GREY), gama(1.0))
    at = data.index(b"gAMA") + 8
    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert middle(await run(processor, data)) == pytest.approx(GREY, abs=2)


async def test_the_shadows_of_linear_light_keep_their_16_bits(processor: VipsProcessor) -> None:
    """The lowest 1 % of the light is 3 of 255 levels, and 26 of sRGB's."""
    levels = [row * 655 // 120 for row in range(120)]
    rows = b"".join(b"\0" + struct.pack(">H", level) * 120 for level in levels)
    header = struct.pack(">IIBBBBB", 120, 120, 16, 0, 0, 0, 0)
    data = pictures.png_of_chunks(
        [(b"IHDR", header), gama(1.0), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    )
    image = opened((await run(processor, data)).main).convert("L")
    assert len({image.getpixel((60, y)) for y in range(120)}) > 20


async def test_p3_by_its_numbers_is_p3_by_a_profile(processor: VipsProcessor) -> None:
    picture = pictures.scene(160, 100)
    by_profile = pictures.matrix_profile(pictures.DISPLAY_P3)
    expected = ImageCms.profileToProfile(
        picture,
        ImageCms.ImageCmsProfile(io.BytesIO(by_profile)),
        ImageCms.createProfile("sRGB"),
    )
    data = with_chunks(picture, (b"cHRM", P3), gama(1 / 2.2))
    assert_looks_like((await run(processor, data)).main, expected)
