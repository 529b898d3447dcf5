"""libvips as this service wants it: its global state, set in one place and proven.

Everything here is process-wide; nothing happens at import.
"""

from __future__ import annotations

import logging
from typing import Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

_REQUIRED: Final = (8, 18, 3)  # memory-safety fixes in the loaders

# Loaders from memory only: what reads files by name can't be reached at all.
_ALLOWED_LOADERS: Final = (
    "VipsForeignLoadJpegBuffer",
    "VipsForeignLoadPngBuffer",
    "VipsForeignLoadWebpBuffer",
)

# Small files that libvips loads as it comes; after `configure` it must not.
FORBIDDEN_SAMPLES: Final = {
    "GIF": bytes.fromhex("474946383961010001008000000000000000002c00000000010001000002024401003b"),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>',
    "TIFF": bytes.fromhex(  # 1x1, 8 bits, grey, uncompressed; the directory is at byte 8
        "49492a00080000000800"
        "000103000100000001000000"
        "010103000100000001000000"
        "020103000100000008000000"
        "030103000100000001000000"
        "060103000100000001000000"
        "110104000100000000000000"
        "160103000100000001000000"
        "170104000100000001000000"
        "00000000"
    ),
}


def configure() -> None:
    """Set libvips' global state. Safe to repeat.

    One thread a picture, because pictures run beside each other; no cache of operations,
    because no two uploads share any and each would hold its pixels.
    """
    pyvips.vips_lib.vips_concurrency_set(1)
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in _ALLOWED_LOADERS:
        pyvips.operation_block_set(loader, False)
    # libvips warns of errors in uploaded files: nothing an operator could fix, and a way
    # for any user to fill the log.
    logging.getLogger("pyvips").setLevel(logging.ERROR)


def version() -> str:
    """Of libvips, such as 8.18.3."""
    return _dotted(tuple(pyvips.version(part) for part in range(3)))


def check_vips() -> None:
    """Prove that libvips is new enough and runs the allowed loaders and no others.

    Configures it first. Raises RuntimeError with one line that says what is wrong.
    """
    version = tuple(pyvips.version(part) for part in range(3))
    if version < _REQUIRED:
        raise RuntimeError(
            f"libvips {_dotted(_REQUIRED)} or newer is needed, not {_dotted(version)}"
        )
    configure()
    pixel = pyvips.Image.black(1, 1)
    allowed = {
        "JPEG": pixel.jpegsave_buffer(),
        "PNG": pixel.pngsave_buffer(),
        "WebP": pixel.webpsave_buffer(),
    }
    for name, sample in allowed.items():
        if not loads(sample):
            raise RuntimeError(f"libvips can't load {name}: a build with that loader is needed")
    for name, sample in FORBIDDEN_SAMPLES.items():
        if loads(sample):
            raise RuntimeError(f"libvips loads {name}, although its loader should be blocked")


def loads(data: bytes) -> bool:
    """Returns whether libvips decodes `data` as it is configured now."""
    try:
        pyvips.Image.new_from_buffer(data, "").copy_memory()
    except pyvips.Error:
        return False
    return True


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
