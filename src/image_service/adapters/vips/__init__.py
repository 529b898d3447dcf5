"""Image processing on libvips."""

from __future__ import annotations

from image_service.adapters.vips.library import check_vips
from image_service.adapters.vips.options import EncodingOptions, PictureLimits
from image_service.adapters.vips.processor import VipsProcessor

__all__ = ["EncodingOptions", "PictureLimits", "VipsProcessor", "check_vips"]
