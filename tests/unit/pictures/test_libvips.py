"""libvips as configured, the limits, the deadline between steps, and what a child imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import pyvips
from tests import pictures

from image_service.domain.errors import InvalidDimensions, ProcessingFailed
from image_service.pictures import libvips
from image_service.pictures.header import PictureLimits
from image_service.pictures.libvips import check_vips
from image_service.pictures.steps import Steps


def test_this_libvips_passes_the_self_test() -> None:
    check_vips()


def test_the_self_test_proves_something() -> None:
    """Without `configure` every forbidden sample loads."""
    program = (
        "from image_service.pictures import libvips\n"
        "assert libvips.FORBIDDEN_SAMPLES\n"
        "print([n for n, s in libvips.FORBIDDEN_SAMPLES.items() if not libvips.loads(s)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("version", [(8, 18, 2), (8, 17, 9), (7, 99, 99)])
def test_an_old_libvips_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(pyvips, "version", lambda part: version[part])
    with pytest.raises(RuntimeError, match=r"libvips 8\.18\.3 or newer is needed, not \d"):
        check_vips()


def test_a_loader_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvips, "FORBIDDEN_SAMPLES", {"PNG": pictures.png(10, 10)})
    with pytest.raises(RuntimeError, match="libvips loads PNG, although"):
        check_vips()


def test_a_loader_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvips, "_ALLOWED_LOADERS", libvips._ALLOWED_LOADERS[:2])
    with pytest.raises(RuntimeError, match="can't load WebP"):
        check_vips()
    monkeypatch.undo()
    check_vips()


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "AVIF", "PPM", "BMP"])
def test_other_formats_never_load(file_format: str) -> None:
    libvips.configure()
    assert not libvips.loads(pictures.encode(pictures.scene(64, 64), file_format))


def test_files_are_never_read_by_name(tmp_path) -> None:
    libvips.configure()
    file = tmp_path / "picture.png"
    file.write_bytes(pictures.png(64, 64))
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_file(str(file))


@pytest.mark.parametrize("size", [(100, 100), (8000, 8000), (100, 8000)])
def test_the_limits_are_inclusive(size: tuple[int, int]) -> None:
    PictureLimits().check(*size)


@pytest.mark.parametrize(
    ("size", "remedy"),
    [
        ((99, 100), "Upload a larger version"),
        ((100, 99), "Upload a larger version"),
        ((8001, 8000), "Scale it down"),
        ((8000, 8001), "Scale it down"),
        ((8001, 99), "Crop it"),
    ],
)
def test_a_refusal_says_what_was_measured_the_limits_and_the_remedy(
    size: tuple[int, int], remedy: str
) -> None:
    with pytest.raises(InvalidDimensions, match=remedy) as refusal:
        PictureLimits().check(*size)
    assert f"{size[0]} x {size[1]}" in refusal.value.message
    assert refusal.value.details == {
        "measured": {"width": size[0], "height": size[1]},
        "limit": {"minWidth": 100, "minHeight": 100, "maxWidth": 8000, "maxHeight": 8000},
    }


def test_steps_are_timed_by_name_and_in_order() -> None:
    steps = Steps()
    assert steps.run(max, 1, 2) == 2
    assert steps.run(min, 1, 2) == 1
    assert [name for name, _ in steps.times] == ["max", "min"]
    assert all(seconds >= 0 for _, seconds in steps.times)


def test_a_failure_of_libvips_is_a_failure_to_process() -> None:
    def fail() -> None:
        raise pyvips.Error("out of memory at /some/internal/path")

    with pytest.raises(ProcessingFailed) as failure:
        Steps().run(fail)
    assert failure.value.message == ProcessingFailed.default_message


def test_a_child_imports_what_its_start_needs_and_no_more() -> None:
    """Every picture that costs a child costs its start: 0.15 s of CPU, most of it libvips'."""
    loaded = "import image_service.pictures.child, sys; print(*sys.modules)"
    command = [sys.executable, "-I", "-c", loaded]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    needless = {"asyncio", "regex", "ulid", "structlog", "pydantic", "image_service.ports"}
    assert needless & set(done.stdout.split()) == set()
