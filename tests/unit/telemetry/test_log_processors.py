"""Log processors: a cause to group by in every line, and no secret in any."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
import structlog
from tests.logs import Log, watched_log

from image_service.domain.errors import DependencyUnavailable

log_line = structlog.stdlib.get_logger("image_service.some_part")
library = logging.getLogger("some_library")


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as written:
        yield written


def chained(*errors: BaseException) -> BaseException:
    """The first is raised from the second, and so on."""
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


ENDPOINT = "Could not connect to the endpoint URL"


@pytest.mark.parametrize(
    ("raised", "cause"),
    [
        ([RuntimeError("a bug")], "RuntimeError: a bug"),
        ([DependencyUnavailable("Try again.")], "DependencyUnavailable: Try again."),
        ([DependencyUnavailable(), ConnectionError(ENDPOINT), OSError("no")], "OSError: no"),
        # A timeout is what became of a cancellation, and has nothing to say for itself.
        ([DependencyUnavailable(), TimeoutError()], "TimeoutError"),
        ([ConnectionError(ENDPOINT), TimeoutError()], f"ConnectionError: {ENDPOINT}"),
        # Where the translation of one failure is the cause of another one's.
        ([RuntimeError("a bug"), DependencyUnavailable()], "RuntimeError: a bug"),
        ([ValueError("long " * 200)], ("ValueError: " + "long " * 200)[:500]),
    ],
)
def test_the_cause_is_the_innermost_that_says_something(log: Log, raised, cause):
    failure = chained(*raised)
    log_line.warning("failed", exc_info=failure)
    log_line.warning("failed", cause=failure)
    try:
        raise failure
    except type(failure):
        library.exception("failed")
    assert [line["cause"] for line in log.lines] == [cause] * 3
    with_trace, without, foreign = log.lines
    assert with_trace["exception"][0]["exc_type"] == type(raised[0]).__name__
    assert "exception" not in without
    assert foreign["logger"] == "some_library"


async def test_what_a_cancellation_became_is_the_cause(log: Log):
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    except TimeoutError:
        log_line.exception("failed")
    assert log.lines[0]["cause"] == "TimeoutError"


def test_a_context_that_was_suppressed_is_no_cause(log: Log):
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None
    except ValueError:
        log_line.exception("failed")
    assert log.lines[0]["cause"] == "ValueError: outer"


def test_errors_that_cause_each_other_end(log: Log):
    one, other = ValueError("one"), ValueError("other")
    chained(one, other, one)
    log_line.warning("failed", cause=one)
    assert log.lines[0]["cause"].startswith("ValueError: ")


def test_a_cause_in_words_stays_and_without_a_failure_there_is_none(log: Log):
    log_line.warning("left_alone", cause="no answer")
    log_line.info("fine")
    assert [line.get("cause") for line in log.lines] == ["no answer", None]


SECRET = "FwoGZXIvYXdzEJr/plan+ted=="
GIVEN_AWAY = [
    f"host:dynamodb\nx-amz-security-token:{SECRET}\nx-amz-target:Query",
    f"{{'X-Amz-Security-Token': b'{SECRET}', 'Host': 'x'}}",
    f'{{"X-Amz-Security-Token": "{SECRET}"}}',
    json.dumps(json.dumps({"x-amz-security-token": SECRET})),
    f"https://host/?X-Amz-Security-Token={SECRET.replace('/', '%2F')}&X-Amz-Date=1",
    f"Authorization: Bearer {SECRET}",
    f"BEARER  {SECRET}",
    "AWS4-HMAC-SHA256 Credential=AKIAPLANTED0PLANTED0/20260131/eu-west-1/s3/aws4_request",
    "key ASIAPLANTED0PLANTED0",
    "redis://:planted@redis:6379/0",
    'rediss://user:plan"tedé@redis',
    "redis://:pl@n@planted@redis:6379",
    f"('X-Amz-Security-Token', '{SECRET}')",
    f"[(b'X-amz-security-token', b'{SECRET}')]",
    "Authorization: Basic cGxhbjpwbGFudGVk/planted==",
]


@pytest.mark.parametrize("text", GIVEN_AWAY)
def test_no_secret_is_written(log: Log, text: str):
    class Odd:
        def __repr__(self) -> str:
            return text

    log_line.warning("said", text=text, nested=[{"key": (text,)}], odd=Odd())
    library.warning("it said %s", text)
    try:
        raise ValueError(text) from OSError(text)
    except ValueError:
        log_line.exception("failed")
    assert "plan" not in log.text.lower()
    assert log.text.count("[hidden]") == 6
    said, _, failed = log.lines
    assert said["nested"] == [{"key": [said["text"]]}]
    assert "ValueError" in failed["exception"][0]["exc_type"]


def test_on_a_terminal_there_is_none_either():
    code = (
        "from image_service.telemetry.logging import configure_logging\n"
        "import structlog\n"
        "configure_logging('info', 'console', 'test')\n"
        "try:\n"
        "    raise ValueError('Bearer plantedsecret')\n"
        "except ValueError:\n"
        "    structlog.stdlib.get_logger('a').exception('failed', url='redis://:planted@redis')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ValueError: Bearer [hidden]" in done.stdout
    assert "Traceback" in done.stdout
    assert "planted" not in (done.stdout + done.stderr).replace("plantedsecret')", "")


@pytest.mark.parametrize(
    "text",
    [
        "The Authorization header is not one 'Bearer <token>'; send exactly one of that form.",
        "send your access or ID token as 'Authorization: Bearer <token>'.",
        "a valid bearer token",
        "http://127.0.0.1:9090/metrics",
        "http://127.0.0.1:9000/images/a@b",
        "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=1",
        "arn:aws:s3:::bucket/images/AKIA.webp",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(log: Log, text: str):
    log_line.info("said", text=text, number=7, share=0.5, nothing=None, yes=True)
    [line] = log.lines
    kept = {"text": text, "number": 7, "share": 0.5, "nothing": None, "yes": True}
    assert kept.items() <= line.items()


@pytest.mark.parametrize(
    ("method", "route", "status", "ms", "code", "line"),
    [
        ("POST", "/images", 201, 1432.4, None, "POST /images 201 1.4 s"),
        ("POST", "/images/{id}", 200, 11.6, None, "POST /images/{id} 200 12 ms"),
        ("POST", "/images", 400, 999.4, "INVALID_IMAGE", "POST /images 400 999 ms INVALID_IMAGE"),
        ("POST", None, 401, 0.2, "TOKEN_MISSING", "POST (no such route) 401 0 ms TOKEN_MISSING"),
        (None, None, 400, 0.2, "MALFORMED_BODY", "(no request) 400 0 ms MALFORMED_BODY"),
    ],
)
def test_a_request_is_one_short_line_on_a_terminal(
    method: str | None, route: str | None, status: int, ms: float, code: str | None, line: str
):
    script = (
        "import structlog\n"
        "from image_service.telemetry.logging import configure_logging\n"
        "configure_logging('warning', 'console', 'test')\n"
        "log = structlog.stdlib.get_logger('image_service.access')\n"
        f"log.info('request', method={method!r}, route={route!r}, status={status}, code={code!r},"
        f" duration_ms={ms}, bytes_in=1, bytes_out=1, user_id='alice')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{line}\n"
