"""Groups of Huffman codes in lossless WebP: as many as there is memory for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests import webp_codes
from tests.golden.comparing import run
from tests.golden.files import refuse

from image_service.domain.errors import ImageTooComplex
from image_service.pictures.processor import VipsProcessor

SIDE = 500
KINDS = {
    "a picture": webp_codes.lossless,
    "a plane of alpha": webp_codes.with_alpha,
}
MOST_IN_USE = 2_600


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
async def test_as_many_groups_as_encoders_make_are_taken(
    processor: VipsProcessor, make: Callable[..., bytes]
) -> None:
    made = await run(processor, make(SIDE, SIDE, groups=MOST_IN_USE))
    assert (made.main.width, made.main.height) == (SIDE, SIDE)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
async def test_more_than_there_is_memory_for_is_not_called_damage(
    processor: VipsProcessor, make: Callable[..., bytes]
) -> None:
    with pytest.raises(ImageTooComplex, match="MiB of memory") as refusal:
        await run(processor, make(SIDE, SIDE, groups=15_000))
    assert refusal.value.details["measured"]["memoryBytes"] >= 128 * 2**20


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
async def test_damage_is_still_called_so(
    processor: VipsProcessor, make: Callable[..., bytes]
) -> None:
    data = make(SIDE, SIDE, groups=MOST_IN_USE)
    await refuse(processor, data[:1000] + b"\xff" * 200 + data[1200:])
