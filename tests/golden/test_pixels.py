"""Pictures in, pixels out: what is stored shows what was uploaded."""

from __future__ import annotations

import io

import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps
from tests import pictures
from tests.golden import profiles
from tests.golden.comparing import assert_looks_like, opened, run

from image_service.domain.renditions import THUMBNAIL
from image_service.pictures.processor import VipsProcessor

SCENE = pictures.scene()
TRANSPARENT = pictures.scene(mode="RGBA")
PRESS_PROFILE: bytes = pyvips.Operation.call("profile_load", "cmyk")


def as_seen(data: bytes) -> Image.Image:
    """What a viewer shows, by Pillow: upright, in sRGB."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if profile := image.info.get("icc_profile"):
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    return image.convert("RGB")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_orientation_is_applied(
    processor: VipsProcessor, orientation: int, file_format: str
) -> None:
    data = pictures.oriented(SCENE, orientation, file_format)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    source = await processor.inspect(data)
    assert (source.width, source.height) == upright.size
    result = await run(processor, data)
    assert_looks_like(result.main, upright)
    assert_looks_like(result.pictures[THUMBNAIL], ImageOps.fit(upright, (400, 400)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(pictures.encode(SCENE, "JPEG", quality=95), SCENE, id="jpeg"),
        pytest.param(
            pictures.encode(SCENE, "JPEG", quality=95, progressive=True), SCENE, id="progressive"
        ),
        pytest.param(
            pictures.encode(SCENE, "JPEG", quality=95, subsampling="4:4:4"), SCENE, id="4:4:4"
        ),
        pytest.param(
            pictures.encode(SCENE, "JPEG", quality=95, restart_marker_rows=1),
            SCENE,
            id="restart markers",
        ),
        pytest.param(
            pictures.encode(SCENE.convert("L"), "JPEG", quality=95),
            SCENE.convert("L").convert("RGB"),
            id="grey jpeg",
        ),
        pytest.param(pictures.encode(SCENE, "PNG"), SCENE, id="png"),
        pytest.param(pictures.png_of_pixels(SCENE, interlaced=True), SCENE, id="interlaced"),
        pytest.param(pictures.png_of_pixels(SCENE, deep=True), SCENE, id="16 bits"),
        pytest.param(
            pictures.png_of_pixels(TRANSPARENT, deep=True, interlaced=True),
            TRANSPARENT,
            id="16 bits interlaced alpha",
        ),
        pytest.param(
            pictures.png_of_pixels(SCENE.convert("L"), deep=True),
            SCENE.convert("L").convert("RGB"),
            id="16 bits grey",
        ),
        pytest.param(
            pictures.encode(SCENE.quantize(64), "PNG"),
            SCENE.quantize(64).convert("RGB"),
            id="palette",
        ),
        pytest.param(
            pictures.encode(TRANSPARENT.quantize(64), "PNG"),
            TRANSPARENT.quantize(64).convert("RGBA"),
            id="palette alpha",
        ),
        pytest.param(
            pictures.encode(SCENE.convert("1"), "PNG"),
            SCENE.convert("1").convert("RGB"),
            id="1 bit",
        ),
        pytest.param(
            pictures.encode(SCENE.convert("L"), "PNG"),
            SCENE.convert("L").convert("RGB"),
            id="grey png",
        ),
        pytest.param(
            pictures.encode(pictures.scene(mode="LA"), "PNG"),
            pictures.scene(mode="LA").convert("RGBA"),
            id="grey alpha",
        ),
        pytest.param(pictures.encode(TRANSPARENT, "PNG"), TRANSPARENT, id="alpha"),
        pytest.param(pictures.encode(SCENE, "WEBP", quality=95), SCENE, id="webp"),
        pytest.param(pictures.encode(SCENE, "WEBP", lossless=True), SCENE, id="webp lossless"),
        pytest.param(
            pictures.encode(TRANSPARENT, "WEBP", quality=95), TRANSPARENT, id="webp alpha"
        ),
        pytest.param(
            pictures.encode(TRANSPARENT, "WEBP", lossless=True),
            TRANSPARENT,
            id="webp lossless alpha",
        ),
    ],
)
async def test_every_kind_of_pixel_comes_through(
    processor: VipsProcessor, data: bytes, expected: Image.Image
) -> None:
    result = await run(processor, data)
    assert_looks_like(result.main, expected)


@pytest.mark.parametrize("primaries", [pictures.DISPLAY_P3, pictures.ADOBE_RGB])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
async def test_wide_gamut_is_brought_to_srgb(
    processor: VipsProcessor, file_format: str, primaries: tuple[tuple[float, ...], ...]
) -> None:
    profile = pictures.matrix_profile(primaries)
    data = pictures.encode(SCENE, file_format, quality=95, icc_profile=profile)
    result = await run(processor, data)
    assert_looks_like(result.main, as_seen(data))
    with pytest.raises(AssertionError, match="off by"):  # unconverted it would not pass
        assert_looks_like(result.main, SCENE)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
async def test_wide_gamut_needs_no_white_point(processor: VipsProcessor, file_format: str) -> None:
    profile = pictures.matrix_profile(pictures.DISPLAY_P3)
    [start] = [at for name, at, _ in profiles.tags(profile) if name == "wtpt"]
    spoilt = profile[:start] + b"none" + profile[start + 4 :]
    sound, other = [
        await run(processor, pictures.encode(SCENE, file_format, quality=95, icc_profile=used))
        for used in (profile, spoilt)
    ]
    assert other.main.data == sound.main.data


@pytest.mark.parametrize("mode", ["RGB", "L"])
async def test_a_broken_profile_is_passed_over(processor: VipsProcessor, mode: str) -> None:
    picture = SCENE.convert(mode)
    data = pictures.encode(picture, "JPEG", quality=95, icc_profile=b"\xee" * 500)
    assert_looks_like((await run(processor, data)).main, picture.convert("RGB"))


async def test_a_profile_of_another_colour_space_is_passed_over(processor: VipsProcessor) -> None:
    grey = SCENE.convert("L")
    profile = pictures.matrix_profile(pictures.ADOBE_RGB)
    data = pictures.encode(grey, "JPEG", quality=95, icc_profile=profile)
    assert_looks_like((await run(processor, data)).main, grey.convert("RGB"))


def printed(ink: Image.Image) -> Image.Image:
    """CMYK as the press profile of libvips has it look, by way of Pillow."""
    return ImageCms.profileToProfile(
        ink,
        ImageCms.ImageCmsProfile(io.BytesIO(PRESS_PROFILE)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
    )


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(PRESS_PROFILE, id="embedded profile"),
        pytest.param(None, id="none"),
        pytest.param(b"\xee" * 500, id="broken"),
        pytest.param(pictures.matrix_profile(pictures.ADOBE_RGB), id="for RGB"),
    ],
)
async def test_cmyk_is_brought_to_srgb(processor: VipsProcessor, profile: bytes | None) -> None:
    """Pillow writes CMYK inverted and with an Adobe marker, as Photoshop does."""
    ink = SCENE.convert("CMYK")
    data = pictures.encode(ink, "JPEG", quality=95, icc_profile=profile)
    assert_looks_like((await run(processor, data)).main, printed(ink))


async def test_cmyk_counts_as_inverted_without_adobe_marker_too(processor: VipsProcessor) -> None:
    """As browsers have it: plain CMYK is hardly ever met."""
    ink = SCENE.convert("CMYK")
    data = pictures.without_adobe_marker(pictures.encode(ink, "JPEG", quality=95))
    assert_looks_like((await run(processor, data)).main, printed(ink))


@pytest.mark.parametrize("profile", [PRESS_PROFILE, None], ids=["embedded", "none"])
async def test_cmyk_shadows_stay_apart(processor: VipsProcessor, profile: bytes | None) -> None:
    """A ramp of dark ink keeps its steps; the relative intent would make them one black."""
    ramp = Image.linear_gradient("L").rotate(90).resize((400, 200)).point(lambda v: 215 + v // 8)
    ink = Image.merge("CMYK", (*[Image.new("L", ramp.size, 180)] * 3, ramp))
    data = pictures.encode(ink, "JPEG", quality=98, icc_profile=profile)
    main = opened((await run(processor, data)).main)
    left, right = (sum(main.getpixel((x, 100))) for x in (10, 390))
    assert abs(left - right) >= 12


async def test_the_first_of_several_pictures_is_taken(processor: VipsProcessor) -> None:
    others = [SCENE.transpose(Image.Transpose.ROTATE_180)]
    data = pictures.encode(SCENE, "MPO", save_all=True, append_images=others, quality=95)
    assert b"MPF\0" in data
    source = await processor.inspect(data)
    assert source.mime_type == "image/jpeg"
    assert_looks_like((await run(processor, data)).main, SCENE)


@pytest.mark.parametrize(
    ("size", "main", "side"),
    [
        ((100, 100), (100, 100), 100),
        ((640, 400), (640, 400), 400),
        ((640, 300), (640, 300), 300),
        ((8000, 100), (2048, 26), 100),
        ((100, 8000), (26, 2048), 100),
        pytest.param((2048, 2048), (2048, 2048), 400, marks=pytest.mark.slow),
        pytest.param((2049, 1000), (2048, 1000), 400, marks=pytest.mark.slow),
        pytest.param((4000, 3000), (2048, 1536), 400, marks=pytest.mark.slow),
        pytest.param((8000, 400), (2048, 102), 400, marks=pytest.mark.slow),
        pytest.param((450, 6000), (154, 2048), 400, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
async def test_sizes_and_shapes(
    processor: VipsProcessor,
    size: tuple[int, int],
    main: tuple[int, int],
    side: int,
    file_format: str,
) -> None:
    picture = pictures.scene(*size)
    result = await run(processor, pictures.encode(picture, file_format, quality=95))
    assert_looks_like(result.main, picture.resize(main, Image.Resampling.LANCZOS))
    assert_looks_like(result.pictures[THUMBNAIL], ImageOps.fit(picture, (side, side)))


@pytest.mark.parametrize("orientation", [3, 6])
async def test_sideways_and_long(processor: VipsProcessor, orientation: int) -> None:
    picture = pictures.scene(5000, 300)
    data = pictures.oriented(picture, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    result = await run(processor, data)
    main = upright.copy()
    main.thumbnail((2048, 2048))
    assert_looks_like(result.main, main)
    assert_looks_like(result.pictures[THUMBNAIL], ImageOps.fit(upright, (300, 300)))
