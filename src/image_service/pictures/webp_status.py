"""Status of libwebp's decoder, which libvips does not hand on: out of memory, or bad data.

A lossless WebP may have a group of Huffman codes for every 16 pixels, each 9 to 20 KB of tables.
How many it has stands in a picture of its own within the file, behind transforms that are such
pictures too, all in prefix codes: to count them takes decoding megapixels, which Python can't do in
time. So the kernel bounds them, by the memory that the child may have; and libvips calls every
failure of libwebp "unable to read pixels".

The library is the one that Pillow encodes with. Asked is only what libvips has failed on already.
"""

from __future__ import annotations

import ctypes
from typing import Final

from PIL import _webp

from image_service.pictures.formats import webp

_RGBA: Final = 1  # WEBP_CSP_MODE
_OUT_OF_MEMORY: Final = 1  # VP8StatusCode


def is_out_of_memory(data: bytes) -> bool:
    """Returns whether the decoder of `data` lacks memory, under the limits there are now."""
    lossless = webp.lossless_part(data)
    decoder = _decoder() if lossless else None
    if lossless is None or decoder is None:
        return False
    started = decoder.WebPINewRGB(_RGBA, None, 0, 0)
    if not started:
        return True
    try:
        return bool(decoder.WebPIUpdate(started, lossless, len(lossless)) == _OUT_OF_MEMORY)
    finally:
        decoder.WebPIDelete(started)


def _decoder() -> ctypes.CDLL | None:
    """Of libwebp (decode.h) what is used; None where Pillow was built in another way."""
    library = ctypes.CDLL(_webp.__file__)
    try:
        library.WebPINewRGB.restype = ctypes.c_void_p
        library.WebPINewRGB.argtypes = [
            *(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        ]
        library.WebPIUpdate.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        library.WebPIDelete.argtypes = [ctypes.c_void_p]
    except AttributeError:
        return None
    return library
