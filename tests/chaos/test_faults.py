"""Every route while something it depends on fails, and after it has come back.

All plays run at once, because most of their time is spent waiting for deadlines; each
test then looks at the outcome of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from tests.chaos.service import (
    PATIENT,
    Backends,
    Service,
    new_user,
    post,
    running_service,
    stored,
)
from tests.chaos.truth import left_wrong, truth
from tests.fault_proxy import (
    LONGEST,
    Fault,
    black_hole,
    dynamodb_error,
    garbage,
    http_answer,
    latency,
    redis_error,
    reset,
    s3_error,
    truncated,
)

ROUTES = ("upload", "get", "list", "patch", "delete")
SUCCESS = dict(zip(ROUTES, (201, 200, 200, 200, 204), strict=True))
UNAVAILABLE = dict.fromkeys(ROUTES, 503)
# To be waited for where nothing answers at all; in production they are longer.
SHORT = {"upload_deadline": 8.0, "delete_deadline": 6.0, "request_deadline": 6.0}

NETWORK: dict[str, Fault] = {
    "reset": reset,
    "black_hole": black_hole,
    "truncated": truncated,
    "garbage": garbage,
}
DYNAMODB: dict[str, Fault] = {
    **NETWORK,
    "500": dynamodb_error("InternalServerError", 500),
    "throttled": dynamodb_error("ThrottlingException"),
    "denied": dynamodb_error("AccessDeniedException"),
}
S3: dict[str, Fault] = {
    **NETWORK,
    "500": s3_error("InternalError", 500),
    "throttled": s3_error("SlowDown"),
    "denied": s3_error("AccessDenied", 403),
}
REDIS: dict[str, Fault] = {
    **NETWORK,
    "latency": latency(1.0),  # ten times what it may take
    "read-only": redis_error("READONLY You can't write against a read only replica."),
    "full": redis_error("OOM command not allowed when used memory > 'maxmemory'."),
}
JWKS: dict[str, Fault] = {
    **NETWORK,
    "500": http_answer(500),
    "throttled": http_answer(429),
    "empty": http_answer(200, b'{"keys": []}', "application/json"),
}


@dataclass(frozen=True)
class Play:
    """What fails, how, and what each route then has to answer."""

    target: str
    fault: Fault
    expected: dict[str, int]
    health: str
    code: str = "DEPENDENCY_UNAVAILABLE"
    from_start: bool = False  # before the service has spoken to it even once
    unnoticed: bool = False  # nobody asks it while the fault lasts

    @property
    def on_its_own(self) -> bool:
        return self.from_start or self.target == "redis" or self.deadlines is SHORT

    @property
    def deadlines(self) -> dict[str, float]:
        silent = self.fault is black_hole and self.target in ("dynamodb", "s3")
        return SHORT if silent else PATIENT


UPLOADS_FAIL = {**SUCCESS, "upload": 503}
PLAYS = {
    **{f"dynamodb-{n}": Play("dynamodb", f, UNAVAILABLE, "unhealthy") for n, f in DYNAMODB.items()},
    **{f"s3-{n}": Play("s3", f, UPLOADS_FAIL, "unhealthy") for n, f in S3.items()},
    **{f"redis-{n}": Play("redis", f, SUCCESS, "degraded") for n, f in REDIS.items()},
    **{
        f"jwks-{n}": Play("jwks", f, UNAVAILABLE, "healthy", "AUTH_UNAVAILABLE", from_start=True)
        for n, f in JWKS.items()
    },
    **{
        f"jwks-later-{n}": Play("jwks", f, SUCCESS, "healthy", unnoticed=True)
        for n, f in JWKS.items()
        if n in ("black_hole", "500")
    },
    **{f"{t}-latency": Play(t, latency(0.1), SUCCESS, "healthy") for t in ("dynamodb", "s3")},
}


@dataclass
class Stage:
    """Plays about one thing follow each other on one service; all things at once.

    Redis and the fetching of keys leave a service with a memory of their failure, so those
    plays have one each.
    """

    backends: Backends
    plays: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    busy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(6))
    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def play(self, name: str, play: Play) -> None:
        place = f"faults-{name.replace('_', '-') if play.on_its_own else play.target}"
        async with self.turns[place], self.busy:
            if place not in self.services:
                self.services[place] = await self.closing.enter_async_context(
                    running_service(
                        await self.backends.apart(place),
                        with_redis=play.target == "redis",
                        warm=not play.from_start,
                        **play.deadlines,
                    )
                )
            await perform(play, self.services[place])


@pytest.fixture(scope="module")
async def stage(backends: Backends) -> AsyncIterator[Stage]:
    made = Stage(backends)
    async with made.closing:
        made.plays = {
            name: asyncio.create_task(made.play(name, play)) for name, play in PLAYS.items()
        }
        yield made
        await asyncio.gather(*made.plays.values(), return_exceptions=True)


@pytest.mark.parametrize("name", PLAYS)
async def test_each_route_under_each_fault(stage: Stage, name: str):
    await stage.plays[name]


async def test_nothing_is_left_of_it(stage: Stage):
    await asyncio.gather(*stage.plays.values(), return_exceptions=True)
    await stage.closing.aclose()
    for service in stage.services.values():
        assert await left_wrong(service.place) == []


async def perform(play: Play, service: Service) -> None:
    user = new_user()
    async with service.client(user) as client:
        ids = dict.fromkeys(("get", "patch", "delete"), "01KAR0F3WJ8P5V2D7QK9T4XZ6M")
        if not play.from_start:
            ids = {route: await stored(client, tags="a", albumId="b") for route in ids}
        rule = getattr(service, play.target).add(play.fault)
        try:
            answers = await under_fault(client, ids, play)
            assert bool(rule.met) != play.unnoticed, "a play about something else"
        finally:
            service.heal()
        if not play.from_start:
            await has_recovered(client, ids, answers)
        await works(client)
    assert (await truth(service.place, user)).wrong() == []


async def under_fault(
    client: httpx.AsyncClient, ids: dict[str, str], play: Play
) -> dict[str, httpx.Response]:
    calls: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "upload": lambda: post(client, "the-key", tags="a", albumId="b"),
        "get": lambda: client.get(f"/images/{ids['get']}"),
        "list": lambda: client.get("/images?albumId=b"),
        "patch": lambda: client.patch(f"/images/{ids['patch']}", json={"title": "x", "version": 1}),
        "delete": lambda: client.delete(f"/images/{ids['delete']}"),
    }
    timed = await asyncio.gather(*(_timed(call) for call in calls.values()))
    answers = {route: answer for route, (answer, _) in zip(calls, timed, strict=True)}
    statuses = {route: answer.status_code for route, answer in answers.items()}
    assert statuses == play.expected, {route: answers[route].text for route in statuses}
    for route, (answer, seconds) in zip(calls, timed, strict=True):
        # By itself a fault ends no sooner. How much a busy machine adds is not the matter.
        assert seconds < LONGEST, f"{route} took {seconds:.1f} s"
        if answer.status_code == 503:
            is_enveloped(answer, play.code)
    await open_routes(client, play.health)
    return answers


async def _timed(
    call: Callable[[], Awaitable[httpx.Response]],
) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await call()
    return answer, time.monotonic() - began


def is_enveloped(answer: httpx.Response, code: str) -> None:
    body = answer.json()
    assert body.keys() >= {"error", "message", "code", "details", "requestId"}
    assert (body["error"], body["code"]) == ("ServiceUnavailable", code)
    assert body["requestId"] == answer.headers["x-request-id"]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"
    for secret in ("SECRET", "dynamodb", "DynamoDB", "s3", "faults-", "Traceback"):
        assert secret not in answer.text


async def open_routes(client: httpx.AsyncClient, health: str) -> None:
    live, ready, report = await asyncio.gather(
        *(client.get(f"/health{path}") for path in ("/live", "/ready", ""))
    )
    assert (live.status_code, ready.status_code) == (200, 200)
    for _ in range(20):
        if report.json()["status"] == health:
            break
        await asyncio.sleep(0.2)  # an answer is kept for a second
        report = await client.get("/health")
    assert report.json()["status"] == health, report.text
    assert report.status_code == (503 if health == "unhealthy" else 200)


async def has_recovered(
    client: httpx.AsyncClient, ids: dict[str, str], answers: dict[str, httpx.Response]
) -> None:
    """Nothing that was answered is lost, and what failed can be done again."""
    shown = await client.get(f"/images/{ids['get']}")
    assert (shown.status_code, shown.json()["version"]) == (200, 1)
    patched = await client.get(f"/images/{ids['patch']}")
    if answers["patch"].status_code == 200:
        assert await eventually(client, ids["patch"], lambda r: r.json()["title"] == "x")
    elif patched.json()["version"] == 1:
        again = await client.patch(f"/images/{ids['patch']}", json={"title": "x", "version": 1})
        assert again.status_code == 200, again.text
    if answers["delete"].status_code == 204:
        assert await eventually(client, ids["delete"], lambda r: r.status_code == 404)
    else:
        assert (await client.delete(f"/images/{ids['delete']}")).status_code in (204, 404)
    again = await repeated(client)
    if answers["upload"].status_code == 201:
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["id"] == answers["upload"].json()["id"]
    assert (await client.get("/images?albumId=b")).json()["totalCount"] == 3


async def eventually(
    client: httpx.AsyncClient, image_id: str, fits: Callable[[httpx.Response], bool]
) -> bool:
    """Where the cache missed a write, the outbox tells it later; without one, at once."""
    for _ in range(100):
        if fits(await client.get(f"/images/{image_id}")):
            return True
        await asyncio.sleep(0.1)
    return False


async def repeated(client: httpx.AsyncClient) -> httpx.Response:
    """The upload again, under its key; for a while the first try may still hold it."""
    for _ in range(100):
        answer = await post(client, "the-key", tags="a", albumId="b")
        if answer.status_code != 409:
            break
        await asyncio.sleep(0.2)
    assert answer.status_code == 201, answer.text
    return answer


async def works(client: httpx.AsyncClient) -> None:
    """Every route, as if nothing had been; where keys are to be fetched, after a moment."""
    for _ in range(30):
        answer = await client.get("/images")
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.1)
    image_id = await stored(client)
    assert (await client.get(f"/images/{image_id}")).status_code == 200
    edit = {"title": "y", "version": 1}
    assert (await client.patch(f"/images/{image_id}", json=edit)).status_code == 200
    assert (await client.delete(f"/images/{image_id}")).status_code == 204
    for _ in range(30):
        if (await client.get("/health")).json()["status"] == "healthy":
            return
        await asyncio.sleep(0.2)
    pytest.fail("still not healthy")
