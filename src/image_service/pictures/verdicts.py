"""Errors of pictures that a child did not finish: who caused them, and what was measured."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import structlog

from image_service.domain import errors
from image_service.domain.pictures import SourceInfo
from image_service.pictures.header import PictureLimits

log = structlog.stdlib.get_logger(__name__)

OUT_OF_MEMORY: Final = "OutOfMemory"  # an error of the child that is none of the domain
_FROM_CHILD: Final = {kind.__name__: kind for kind in (errors.InvalidImage, errors.ImageTooComplex)}
# What of its address space a child takes besides the picture's memory: stacks, arenas; and
# libvips sets RGBA of a whole WebP aside whenever it opens one, twice at a time, unused.
_ADDRESS_SLACK: Final = 128 * 2**20
_WEBP_ADDRESSES: Final = 8  # a pixel
# Of what a picture could have had of CPU by its deadline: with less, it was not the picture that
# took the time.
_BUSY: Final = 0.5


class Loss(NamedTuple):
    """A child that ended at work: `late` past the deadline, `stopped` killed for the picture."""

    returncode: int
    seconds: float
    cpu_seconds: float
    late: bool
    stopped: bool


def of_loss(loss: Loss, source: SourceInfo, limits: PictureLimits) -> errors.ImageServiceError:
    """The error of the picture that a child was at work on when it ended."""
    if loss.late:
        return _of_late(loss, limits)
    if loss.returncode == -signal.SIGXCPU:
        cpu = limits.cpu_seconds
        return errors.ImageTooComplex.because(
            f"The picture took more than {cpu} s of processor time.", cpuSeconds=(cpu, cpu)
        )
    if not loss.stopped:
        log.error(
            "picture_child_crashed",
            exit=loss.returncode,
            mime_type=source.mime_type,
            width=source.width,
            height=source.height,
        )
    return errors.ImageTooComplex.because(
        f"The picture made its decoder fail after {loss.seconds:.1f} s."
    )


def _of_late(loss: Loss, limits: PictureLimits) -> errors.ImageServiceError:
    """Of a picture past its deadline: its own error only where it had the CPU for itself."""
    if loss.cpu_seconds < _BUSY * min(limits.cpu_seconds, limits.timeout):
        log.warning(
            "picture_starved",
            seconds=round(loss.seconds, 1),
            cpu_seconds=round(loss.cpu_seconds, 2),
        )
        return errors.Overloaded()
    return errors.ImageTooComplex.because(
        f"The picture took {loss.seconds:.0f} s to process, {loss.cpu_seconds:.1f} s of them "
        f"processor time, and may take {limits.timeout:g} s.",
        seconds=(round(loss.seconds, 1), limits.timeout),
    )


def of_response(head: Mapping[str, Any], source: SourceInfo) -> errors.ImageServiceError:
    """The error that a child's response holds."""
    if head["error"] == OUT_OF_MEMORY:
        memory = address_limit(source)
        return errors.ImageTooComplex.because(
            f"The picture took more than {memory / 2**20:.0f} MiB of memory, although "
            f"its header says {source.decode_bytes / 2**20:.0f} MiB.",
            memoryBytes=(memory, memory),
        )
    kind = _FROM_CHILD.get(head["error"])
    if kind is not None:
        return kind(head["message"], details=head["details"])
    log.error("picture_failed", cause=head["message"])
    return errors.ProcessingFailed()


def address_limit(source: SourceInfo) -> int:
    """Bytes of addresses that a child may take for a picture."""
    unused = _WEBP_ADDRESSES if source.mime_type == "image/webp" else 0
    return source.decode_bytes + _ADDRESS_SLACK + unused * source.width * source.height
