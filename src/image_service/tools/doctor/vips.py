"""The check that libvips is new enough and runs the allowed loaders only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pyvips  # type: ignore[import-untyped]  # as in `library`

from image_service.pictures.library import check_vips
from image_service.tools.doctor.diagnosis import Diagnosis, failed, well


class VipsCheck:
    """A `SystemCheck`: the self-test that every start begins with."""

    name = "libvips"

    async def examine(self) -> Sequence[Diagnosis]:
        try:
            await asyncio.to_thread(check_vips)
        except RuntimeError as error:  # our own words
            remedy = "install pyvips-binary as pinned in requirements/runtime.txt"
            return [failed(self.name, str(error), remedy)]
        version = ".".join(str(pyvips.version(part)) for part in range(3))
        return [well(self.name, f"{version}, loads JPEG, PNG and WebP and nothing else")]
