"""The child process in which libvips runs: pictures in, finished files or an error out.

    python -m image_service.pictures.child PARENT_PID

Only this process and what it imports know libvips. It reads requests on stdin and writes
responses to stdout (`messages`), one at a time, until stdin ends.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import ImageServiceError
from image_service.domain.pictures import SourceInfo
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.pictures import pipeline
from image_service.pictures.confinement import confine, lift_limits, limit_picture
from image_service.pictures.heap import give_back
from image_service.pictures.libvips import check_vips, version
from image_service.pictures.messages import receive, send
from image_service.pictures.steps import Steps

_MAX_TRACE: Final = 4_000  # characters
_MEMORY: Final = re.compile("out of memory|insufficient memory|unable to allocate", re.IGNORECASE)


def main() -> None:
    requests, responses = _pipes()
    try:
        check_vips()
        _warm_up()
        confine(int(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - all that is known of it is for the parent
        send(responses, {"failed": str(error) or repr(error)})
        return
    send(responses, {"ready": version()})
    while True:
        try:
            head, data = receive(requests)
        except EOFError:
            return
        response = _response(head, data)
        lift_limits()  # or what this picture left of its time would end the next one's
        send(responses, *response)
        del head, data, response
        give_back()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout, for messages alone: whatever prints anything prints it nowhere."""
    requests, responses = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return os.fdopen(requests, "rb"), os.fdopen(responses, "wb")


def _warm_up() -> None:
    """Import, open and compile what a first picture would, before anything is limited."""
    sample = pyvips.Image.black(16, 16, bands=3).copy(interpretation="srgb").pngsave_buffer()
    pipeline.process(sample, SourceInfo("image/png", 16, 16), RENDITIONS, Steps())


def _response(head: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], Sequence[bytes]]:
    began = time.process_time()
    steps = Steps()
    source = SourceInfo(**head["source"])
    specs = [RenditionSpec(**spec) for spec in head["renditions"]]
    limit_picture(cpu_seconds=head["cpuSeconds"], memory_bytes=head["memoryBytes"])
    response: dict[str, Any]
    bodies: list[bytes] = []
    try:
        made = pipeline.process(data, source, specs, steps)
    except ImageServiceError as error:
        if _ran_out_of_memory(error):
            response = {"error": "OutOfMemory"}
        else:
            response = {
                "error": type(error).__name__,
                "message": error.message,
                "details": error.details,
            }
    except MemoryError:
        response = {"error": "OutOfMemory"}
    except Exception:  # noqa: BLE001 - ours: the parent logs it, and this child goes on
        response = {"error": "Unexpected", "message": traceback.format_exc()[-_MAX_TRACE:]}
    else:
        pictures = made.pictures.values()
        bodies = [each.data for each in pictures]
        response = {
            "pictures": [
                (each.spec.name, len(each.data), each.width, each.height) for each in pictures
            ],
            "placeholder": made.placeholder,
            "dominantColor": made.dominant_color,
        }
    response["steps"] = steps.times
    response["cpuSeconds"] = time.process_time() - began
    return response, bodies


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Returns whether that is what lies under an error; libraries say so in words only."""
    while error is not None:
        if isinstance(error, MemoryError) or _MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    main()
