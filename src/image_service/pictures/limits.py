"""Limits of uploaded pictures."""

from __future__ import annotations

from dataclasses import dataclass

from image_service.domain.errors import InvalidDimensions
from image_service.domain.limits import MAX_SIDE, MIN_SIDE, PICTURE_CPU_SECONDS
from image_service.domain.renditions import RENDITIONS
from image_service.domain.task_size import USUAL
from image_service.domain.time_limits import TimeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLimits:
    """Bounds of both width and height of an uploaded picture, in pixels, inclusive.

    `max_decode_bytes` bounds the memory it is estimated to take, for which it counts how
    many pixels the largest picture made of it has. `cpu_seconds` bound its processing, and
    `timeout` bounds the seconds that it takes.
    """

    min_side: int = MIN_SIDE
    max_side: int = MAX_SIDE
    max_decode_bytes: int = USUAL.decode_bytes
    max_output_pixels: int = max(spec.side for spec in RENDITIONS) ** 2
    cpu_seconds: int = PICTURE_CPU_SECONDS
    timeout: float = TimeLimits.processing_timeout

    def check(self, width: int, height: int) -> None:
        """Raises InvalidDimensions, saying what was measured, the limits and the remedy."""
        too_small = min(width, height) < self.min_side
        too_large = max(width, height) > self.max_side
        if not too_small and not too_large:
            return
        raise InvalidDimensions(
            f"The picture measures {width} x {height} pixels; it must be at least "
            f"{self.min_side} x {self.min_side} and at most {self.max_side} x {self.max_side}. "
            + _remedy(too_small=too_small, too_large=too_large),
            details={
                "measured": {"width": width, "height": height},
                "limit": {
                    "minWidth": self.min_side,
                    "minHeight": self.min_side,
                    "maxWidth": self.max_side,
                    "maxHeight": self.max_side,
                },
            },
        )

    def check_memory(self, decode_bytes: int) -> None:
        """Raises InvalidDimensions for a picture that would never get the memory it takes."""
        if decode_bytes <= self.max_decode_bytes:
            return
        raise InvalidDimensions(
            f"The picture takes about {decode_bytes / 2**20:.0f} MiB of memory to decode as it "
            f"is saved; at most {self.max_decode_bytes / 2**20:.0f} MiB are available. Save it as "
            "a baseline JPEG or a PNG without interlacing, or scale it down, and upload it again.",
            details={
                "measured": {"decodeBytes": decode_bytes},
                "limit": {"maxDecodeBytes": self.max_decode_bytes},
            },
        )


def _remedy(*, too_small: bool, too_large: bool) -> str:
    if too_small and too_large:
        return "Crop it to a less extreme shape and upload it again."
    if too_large:
        return "Scale it down and upload it again."
    return "Upload a larger version of it."
