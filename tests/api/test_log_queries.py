"""The queries that the docs put to the log, held against lines that were really written."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests import engines
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, upload
from tests.container.metric_filters import values
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.logs import Line, watched_log
from tests.unit.services.test_outbox import Parts

from image_service.adapters.dynamodb.transactions import Transactions
from image_service.adapters.redis.link import CircuitBreaker
from image_service.api.dependencies import state_of
from image_service.devstack.tokens import ADMIN_GROUP
from image_service.domain.errors import CdnBusy, DependencyUnavailable

ROOT = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:9"
THROTTLED = faults.refusal("TransactionCanceledException", reasons=("None", "ThrottlingError"))

# What the language of CloudWatch Logs Insights brings along.
LANGUAGE = {
    *("fields", "filter", "stats", "sort", "limit", "display", "by", "as", "desc", "asc"),
    *("and", "or", "not", "in", "like", "null", "true", "false"),
    *("bin", "pct", "max", "min", "avg", "sum", "count", "count_distinct", "latest", "earliest"),
    *("ispresent", "isblank", "coalesce", "strcontains", "concat"),
}
BLOCK = re.compile(r"^ *```logs-insights\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
QUERIES = [
    (page.stem, query)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if not page.stem.startswith("reconcile-")  # of a command, not of the service
    for query in BLOCK.findall(page.read_text())
]


async def failing(*_: object) -> None:
    try:
        raise ConnectionResetError("by the peer")
    except OSError as cause:
        raise DependencyUnavailable from cause


async def busy(*_: object) -> None:
    raise CdnBusy from OSError("TooManyInvalidationsInProgress")


async def requests(
    app: FastAPI, client: httpx.AsyncClient, stranger: httpx.AsyncClient, full: httpx.AsyncClient
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    image = await upload(client)
    await stranger.get(f"{IMAGES}/{image['id']}")
    with pytest.MonkeyPatch.context() as patch:
        for fault in (broken, failing):
            patch.setattr(state_of(app).services.library, "list", fault)
            await client.get(IMAGES)
    await full.post(IMAGES, files={"file": PHOTO})


async def outbox() -> None:
    """Entries are given up, and the CDN is busy."""
    for at_fault in ("files", "edges"):
        parts = Parts()
        await parts.deleted()
        if at_fault == "files":
            parts.objects.delete = failing  # type: ignore[method-assign] # for good
            await parts.rounds_until_empty()
        else:
            parts.cdn.invalidate = busy  # type: ignore[method-assign] # for good
            await parts.processor.drain()


async def throttled_transaction() -> None:
    server = FaultyServer(NOBODY)
    server.script = [THROTTLED] * 50
    async with server.running() as url, engines.dynamodb_client(url) as client:
        put = {"Put": {"TableName": "table", "Item": {"PK": {"S": "A"}}}}
        with pytest.raises(DependencyUnavailable):
            await Transactions(client, patience=0.1).run([put])  # type: ignore[list-item] # a literal


def outage() -> None:
    breaker = CircuitBreaker("redis", threshold=1)
    breaker.failed(ConnectionError("gone"))
    breaker.succeeded()


@pytest.fixture(scope="module")
async def lines(
    app: FastAPI, open_app: OpenApp, new_client: NewClient, new_machine: NewClient
) -> AsyncIterator[list[Line]]:
    """Of all that the queries ask for, as it goes to stdout."""
    with watched_log() as log:
        async with open_app(max_uploads=1) as small:
            with state_of(small).services.admission.receiving("somebody", 1):
                async with (
                    new_client("alice") as client,
                    new_client("stranger") as stranger,
                    new_client("alice", app=small) as full,
                ):
                    await requests(app, client, stranger, full)
        async with (
            new_machine(**{"On-Behalf-Of": "alice"}) as machine,
            new_client("root", groups=[ADMIN_GROUP]) as admin,
        ):
            image = await upload(machine)
            await admin.delete(f"{IMAGES}/{image['id']}?reason=Reported")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", NOBODY)
            async with open_app() as lost, new_client("alice", app=lost) as client:
                assert (await client.get(IMAGES)).status_code == 503
        await outbox()
        await throttled_transaction()
        outage()
        yield log.lines


def names_of(lines: list[Line]) -> set[str]:
    names = {name for line in lines for name in line}
    deeper = {
        f"exception.{number}.{name}"
        for line in lines
        for number, raised in enumerate(line.get("exception", ()))
        for name in raised
    }
    return names | deeper | {f"{name}.0" for name in names} | {"@timestamp", "@logStream"}


@pytest.mark.parametrize(("page", "query"), QUERIES)
def test_a_query_asks_for_what_is_in_the_lines_it_means(lines: list[Line], page: str, query: str):
    events = set(re.findall(r'event = "(\w+)"', query))
    for listed in re.findall(r"event in \[([^\]]*)\]", query):
        events |= set(re.findall(r'"(\w+)"', listed))
    meant = [line for line in lines if line["event"] in events] if events else lines
    assert {line["event"] for line in meant} >= events
    words = re.sub(r'"[^"]*"|/[^/\n]*/|\b\d+\w?\b(?!\.)', "", query)
    given = set(re.findall(r"\bas (\w+)", words))
    asked = set(re.findall(r"@?[a-zA-Z_]+(?:\.\d+)?(?:\.[a-z_]+)?", words))
    assert {name for name in asked if name.lower() not in LANGUAGE} <= names_of(meant) | given
    values = {str(value) for line in lines for value in line.values()}
    assert set(re.findall(r'"([^"]*)"', query)) <= values | {"…", "unknown"}


@pytest.mark.parametrize(
    "metric", ["Errors", "Overloaded", "UploadTime", "OutboxDelayed", "OutboxSetAside"]
)
def test_an_alarm_finds_the_lines_it_counts(lines: list[Line], metric: str):
    assert values("service", metric, map(json.dumps, lines))


def test_of_overload_only_uploads_are_counted(lines: list[Line]):
    [line] = [line for line in lines if line["event"] == "request" and line["code"] == "OVERLOADED"]
    assert line["route"] == IMAGES
    # As a connection is refused: see docs/metrics.md.
    assert values("service", "Overloaded", [json.dumps(line | {"route": None})]) == []


def test_work_is_late_when_it_has_waited_a_quarter_of_an_hour(lines: list[Line]):
    waits = [line["waited_s"] for line in lines if "waited_s" in line]
    assert {line["event"] for line in lines if "waited_s" in line} == {
        "outbox_entry_failed",
        "cdn_busy",
    }
    assert len(values("service", "OutboxDelayed", map(json.dumps, lines))) == sum(
        waited > 900 for waited in waits
    )


def test_there_are_queries():
    assert {"operations", "failures", "table-throttled"} <= {page for page, _ in QUERIES}


def test_a_throttled_transaction_is_named_as_such(lines: list[Line]):
    [line] = [line for line in lines if line["event"] == "transaction_failed"]
    assert {
        "operation": "dynamodb:TransactWriteItems",
        "kind": "TransactionCanceledException",
        "reasons": ["ThrottlingError"],
    }.items() <= line.items()
    assert line["cause"].startswith("TransactionCanceledException: An error occurred")


def test_each_failure_has_a_cause_to_group_by(lines: list[Line]):
    failed = [line for line in lines if "exception" in line]
    told = {line["event"] for line in failed}
    assert told >= {"unhandled_error", "request_failed", "outbox_round_failed"}
    assert {line["event"] for line in lines if "cause" in line} >= told | {
        *("aws_call_failed", "outbox_entry_failed", "outbox_entry_set_aside", "cdn_busy"),
    }
    for line in failed:
        assert re.match(r"\w+Error: ", line["cause"]), line
        assert not line["cause"].startswith("DependencyUnavailable")
