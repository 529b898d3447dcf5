"""Admission of uploads: the memory and processor time they hold, bounded and shared fairly.

Two gates. `receiving` stands before the body is read and never waits: it counts uploads
and the bytes of their bodies, from the first byte to the response. `processing` stands
between header and pixels: pictures wait there for a worker and for the memory their
decoding takes. Both refuse at once with Overloaded what is over a bound.

No user gets more than a share of either gate, and the users that wait take turns: a user
who uploads a hundred pictures delays another's single one by the picture that is being
worked on, not by the hundred. Pictures of one user keep their order, and a large picture whose
turn it is is waited for, or small ones would keep it out for ever.

State is of this process; nothing here blocks or is shared between threads.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from image_service.domain.errors import Overloaded, TooManyInFlight
from image_service.domain.limits import USER_SHARE
from image_service.domain.task_size import USUAL
from image_service.domain.time_limits import LIST_WAIT, TimeLimits
from image_service.telemetry.telemetry import Telemetry

# A page of a hundred fully described images takes 30 ms of the event loop, 180 ms of another
# thread, and up to 5 MB while it is being sent.
_LISTS_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """The bounds, those of a task and two more; `max_wait` in seconds.

    `user_share` of uploads, their bytes and what waits is the most one user gets.
    """

    workers: int = USUAL.workers
    uploads: int = USUAL.uploads
    upload_bytes: int = USUAL.upload_bytes
    decode_bytes: int = USUAL.decode_bytes
    waiting_bytes: int = USUAL.waiting_bytes
    user_share: float = USER_SHARE
    max_wait: float = TimeLimits.queue_timeout


class Admission:
    """The gates of one process."""

    def __init__(self, limits: AdmissionLimits, telemetry: Telemetry | None = None) -> None:
        share = limits.user_share
        self._uploads = _Budget(limits.uploads, share)
        self._upload_bytes = _Budget(limits.upload_bytes, share)
        self._waiting_bytes = _Budget(limits.waiting_bytes, share)
        self._workers = _Budget(limits.workers)
        self._decode_bytes = _Budget(limits.decode_bytes)
        self._lists: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._listing: Counter[str] = Counter()  # lists of a user, those that wait included
        self._max_wait = limits.max_wait
        self._line = _Line()
        self._waiting = 0
        self._telemetry = telemetry or Telemetry()
        self._show_load()

    def _show_load(self) -> None:
        """Have the gauges look whenever a scraper comes."""
        shown = self._telemetry
        shown.uploads_in_flight.set_function(lambda: self._uploads.total)
        shown.upload_bytes_admitted.set_function(lambda: self._upload_bytes.total)
        shown.pictures_waiting.set_function(lambda: self._waiting)
        shown.pictures_processing.set_function(lambda: self._workers.total)

    @contextmanager
    def receiving(self, user_id: str, body_bytes: int) -> Iterator[None]:
        """Around an upload, from before its body is read. Raises Overloaded."""
        with self._uploads.taken(user_id, 1), self._upload_bytes.taken(user_id, body_bytes):
            yield

    @asynccontextmanager
    async def listing(self, user_id: str) -> AsyncIterator[None]:
        """Around a list, until it is sent: a user's own lists wait for each other.

        Raises TooManyInFlight where they don't get through.
        """
        # The semaphore lives as long as a request holds it or waits for it.
        places = self._lists.setdefault(user_id, asyncio.Semaphore(_LISTS_AT_ONCE))
        self._listing[user_id] += 1
        try:
            try:
                async with asyncio.timeout(LIST_WAIT):
                    await places.acquire()
            except TimeoutError:
                measured = self._listing[user_id]
                raise TooManyInFlight(measured, _LISTS_AT_ONCE, of="lists") from None
            try:
                yield
            finally:
                places.release()
        finally:
            self._listing[user_id] -= 1
            if not self._listing[user_id]:
                del self._listing[user_id]

    @asynccontextmanager
    async def processing(self, user_id: str, decode_bytes: int) -> AsyncIterator[None]:
        """Around the processing of a picture; waits for its turn.

        `decode_bytes` is at most the limit of that name. Raises Overloaded where too much
        waits already, or it has waited too long.
        """
        with self._telemetry.part("queue"):
            await self._turn(user_id, decode_bytes)
        try:
            yield
        finally:
            self._give_back(user_id, decode_bytes)

    async def _turn(self, user_id: str, decode_bytes: int) -> None:
        if not self._line and self._fits(user_id, decode_bytes):
            self._take(user_id, decode_bytes)
            return
        place = _Place(user_id, decode_bytes, asyncio.get_running_loop().create_future())
        with self._waiting_bytes.taken(user_id, decode_bytes):
            self._line.join(place)
            self._waiting += 1
            try:
                async with asyncio.timeout(self._max_wait):
                    await place.called
            except BaseException as ended:
                self._leave(place)
                if isinstance(ended, TimeoutError):
                    raise Overloaded from None
                raise
            finally:
                self._waiting -= 1

    def _leave(self, place: _Place) -> None:
        if place.called.done() and not place.called.cancelled():
            # Admitted, but cancelled before it ran.
            self._give_back(place.user_id, place.decode_bytes)
        else:
            self._line.drop(place)
            self._call_next()  # it may have been the first, and too large for now

    def _give_back(self, user_id: str, decode_bytes: int) -> None:
        self._workers.release(user_id, 1)
        self._decode_bytes.release(user_id, decode_bytes)
        self._call_next()

    def _call_next(self) -> None:
        while place := self._line.first():
            if place.called.cancelled():
                self._line.drop(place)
                continue
            if not self._fits(place.user_id, place.decode_bytes):
                return
            self._line.call(place)
            self._take(place.user_id, place.decode_bytes)
            place.called.set_result(None)

    def _fits(self, user_id: str, decode_bytes: int) -> bool:
        return self._workers.fits(user_id, 1) and self._decode_bytes.fits(user_id, decode_bytes)

    def _take(self, user_id: str, decode_bytes: int) -> None:
        self._workers.take(user_id, 1)
        self._decode_bytes.take(user_id, decode_bytes)


class _Budget:
    """An amount that is given out; to one user at most a `share` of it, but always one thing."""

    def __init__(self, limit: int, share: float = 1.0) -> None:
        self._limit = limit
        self._user_limit = int(limit * share)
        self.total = 0
        self._users: Counter[str] = Counter()

    def fits(self, user_id: str, amount: int) -> bool:
        of_user = self._users[user_id]
        in_share = of_user == 0 or of_user + amount <= self._user_limit
        return in_share and self.total + amount <= self._limit

    def take(self, user_id: str, amount: int) -> None:
        self.total += amount
        self._users[user_id] += amount

    def release(self, user_id: str, amount: int) -> None:
        self.total -= amount
        self._users[user_id] -= amount
        if self._users[user_id] == 0:
            del self._users[user_id]

    @contextmanager
    def taken(self, user_id: str, amount: int) -> Iterator[None]:
        """Raises Overloaded where it does not fit."""
        if not self.fits(user_id, amount):
            raise Overloaded
        self.take(user_id, amount)
        try:
            yield
        finally:
            self.release(user_id, amount)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    user_id: str
    decode_bytes: int
    called: asyncio.Future[None]


class _Line:
    """The queue: each user's pictures in their order, the users in turn."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, deque[_Place]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._users)

    def first(self) -> _Place | None:
        return next(iter(self._users.values()))[0] if self._users else None

    def join(self, place: _Place) -> None:
        self._users.setdefault(place.user_id, deque()).append(place)

    def call(self, place: _Place) -> None:
        """Take out the first; its user's next turn comes after everybody else's."""
        self.drop(place)
        if place.user_id in self._users:
            self._users.move_to_end(place.user_id)

    def drop(self, place: _Place) -> None:
        """Take it out, wherever it stands; it may be out already."""
        places = self._users.get(place.user_id, deque())
        if place in places:
            places.remove(place)
        if not places:
            self._users.pop(place.user_id, None)


class Turns:
    """Turns at something that serves one at a time, such as the thread that reads headers.

    Users take turns, one request each, however many a user has waiting.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Around what is served; waits for the user's turn."""
        if self._taken:
            await self._called(user_id)
        self._taken = True
        try:
            yield
        finally:
            self._call_next()

    async def _called(self, user_id: str) -> None:
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(call)
        try:
            await call
        except asyncio.CancelledError:
            if call.done() and not call.cancelled():  # given the turn, but cancelled before it ran
                self._call_next()
            raise

    def _call_next(self) -> None:
        """Call the first of the user who has waited longest; that user's next is last."""
        while self._waiting:
            user_id, calls = self._waiting.popitem(last=False)
            call = calls.popleft()
            if calls:
                self._waiting[user_id] = calls
            if not call.cancelled():
                call.set_result(None)
                return
        self._taken = False
