"""Load that comes as it comes: each operation at moments of its own, whatever is under way.

Latency counts from the moment that an operation was due, so that one which has to wait for its
turn, here or in the service, shows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import aiohttp

from benchmarks.requests.operations import FORM_TYPE, form

READS, LISTS, EDITS, DELETIONS, UPLOADS = "reads", "lists", "edits", "deletions", "uploads"
BESIDE = {READS: 20.0, LISTS: 1.0, EDITS: 1.0, DELETIONS: 0.25}  # per second
_PAGE = "/images?limit=20"


@dataclass
class Outcome:
    """Seconds from when each was due to the end of its response; statuses of those refused."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class _Image:
    token: str
    path: str
    version: int = 1


class Load:
    """Of several users. `open` makes connections to the service as they are needed."""

    def __init__(
        self, session: aiohttp.ClientSession, tokens: Sequence[str], photos: Sequence[bytes]
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._forms = [form(photo) for photo in photos]
        self._dice = random.Random(1)
        self._images: list[_Image] = []  # none that is being changed
        self._do: Mapping[str, Callable[[], Awaitable[int]]] = {
            UPLOADS: self._upload,
            READS: self._read,
            LISTS: self._list,
            EDITS: self._edit,
            DELETIONS: self._delete,
        }

    async def fill(self, count: int) -> None:
        """Images to read, edit and delete; it also warms up all parts."""
        for number in range(count):
            status = await self._upload()
            if status != 201:
                raise SystemExit(f"upload {number} was answered with {status}")

    async def run(self, rates: Mapping[str, float], seconds: float, seed: int) -> Outcome:
        outcome = Outcome()
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for due, name in _schedule(rates, seconds, seed):
                await asyncio.sleep(began + due - time.monotonic())
                group.create_task(self._one(name, began + due, outcome))
        return outcome

    async def _one(self, name: str, due: float, outcome: Outcome) -> None:
        status = await self._do[name]()
        if status < 300:
            outcome.seconds[name].append(time.monotonic() - due)
        else:
            outcome.refused[name].append(status)

    async def _upload(self) -> int:
        token = self._dice.choice(self._tokens)
        body = self._dice.choice(self._forms)
        headers = _headers(token) | {"Content-Type": FORM_TYPE}
        async with self._session.post("/images", data=body, headers=headers) as response:
            await response.read()
            if response.status == 201:
                self._images.append(_Image(token, response.headers["Location"]))
            return response.status

    async def _read(self) -> int:
        image = self._dice.choice(self._images)
        return await self._send("GET", image.path, image.token)

    async def _list(self) -> int:
        return await self._send("GET", _PAGE, self._dice.choice(self._tokens))

    async def _edit(self) -> int:
        image = self._taken()
        change = {"title": "The gate, from the moat", "version": image.version}
        status = await self._send("PATCH", image.path, image.token, change)
        self._images.append(replace(image, version=image.version + 1))
        return status

    async def _delete(self) -> int:
        image = self._taken()
        return await self._send("DELETE", image.path, image.token)

    def _taken(self) -> _Image:
        return self._images.pop(self._dice.randrange(len(self._images)))

    async def _send(self, method: str, path: str, token: str, json: object = None) -> int:
        headers = _headers(token)
        async with self._session.request(method, path, json=json, headers=headers) as response:
            await response.read()
            return response.status


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}


def _schedule(rates: Mapping[str, float], seconds: float, seed: int) -> Iterator[tuple[float, str]]:
    """Poisson processes, one for each operation, in the order of time."""
    dice = random.Random(seed)
    due = []
    for name, rate in rates.items():
        at = dice.expovariate(rate) if rate else seconds
        while at < seconds:
            due.append((at, name))
            at += dice.expovariate(rate)
    yield from sorted(due)
