"""Image processing on libvips."""

from __future__ import annotations

from image_service.pictures.library import check_vips
from image_service.pictures.limits import EncodingOptions, PictureLimits
from image_service.pictures.processor import VipsProcessor

__all__ = ["EncodingOptions", "PictureLimits", "VipsProcessor", "check_vips"]
