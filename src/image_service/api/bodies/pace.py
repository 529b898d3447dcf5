"""The slowest pace at which a body may come, so that trickling holds no place for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final

from image_service.domain.errors import UploadTimeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The slowest a body may come: seconds, and bytes a second.

    It may pause for `stall`, has to have come at `least_rate` on the whole, `stall` apart,
    and be complete after `total`. The defaults let 10 MiB pass at 300 kbit/s, a poor 3G.
    """

    stall: float = 20.0
    least_rate: float = 8 * 1024
    total: float = 300.0


# At most 128 KiB, and as a rule 200 bytes: a body that takes longer is holding a place.
JSON_PACE: Final = Pace(stall=5.0, least_rate=8 * 1024, total=10.0)


async def paced(chunks: AsyncIterable[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """`chunks` as they come. Raises UploadTimeout where they come too slowly."""
    now = asyncio.get_running_loop().time
    started, received = now(), 0
    incoming = aiter(chunks)
    while True:
        due = min(
            now() + pace.stall,
            started + pace.stall + received / pace.least_rate,
            started + pace.total,
        )
        try:
            async with asyncio.timeout_at(due):
                chunk = await anext(incoming)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UploadTimeout(_too_slow(received, now() - started, pace)) from None
        received += len(chunk)
        yield chunk


def _too_slow(received: int, seconds: float, pace: Pace) -> str:
    return (
        f"The body came too slowly: {received:,} bytes in {seconds:.0f} s. It may pause for "
        f"{pace.stall:g} s, needs {pace.least_rate:,.0f} bytes per second, and must be complete "
        f"within {pace.total:g} s; send it again, on a better connection."
    )
