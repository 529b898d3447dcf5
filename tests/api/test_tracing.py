"""The spans of real requests, read from a collector."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, upload
from tests.api.test_logs import SECRET, everything, log
from tests.logs import Log
from tests.otlp_receiver import Receiver, attributes, receiving
from tests.scraping import Samples

from image_service.api.dependencies import state_of
from image_service.bootstrap import new_telemetry
from image_service.devstack import stack
from image_service.server import uvicorn_server as server
from image_service.settings import Settings, SettingsError, load_trace_settings
from image_service.telemetry.metrics import CallOutcome

pytestmark = pytest.mark.slow

__all__ = ["log"]  # a fixture

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
XRAY_ROOT = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Everything is recorded, and sent soon."""
    for name, value in {
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **stack.WITHOUT_PROXY,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def receiver(environment: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as running:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


def server_spans(receiver: Receiver) -> list[Span]:
    return [span for span in receiver.spans if span.kind == Span.SPAN_KIND_SERVER]


async def test_an_upload_is_one_trace(
    receiver: Receiver, open_app: OpenApp, new_client: NewClient, user: str
):
    async with open_app() as app, new_client(user, app=app) as client:
        await upload(client)
    [request] = server_spans(receiver)
    assert (request.name, request.parent_span_id) == ("POST /images", b"")
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/images",
        "http.response.status_code": 201,
        "image_service.upload.outcome": "stored",
    }
    parts = [span for span in receiver.spans if span is not request and span.parent_span_id]
    assert len(parts) == len(receiver.spans) - 1
    assert {span.trace_id for span in parts} == {request.trace_id}
    assert {span.parent_span_id for span in parts} == {request.span_id}
    names = Counter(span.name for span in parts)
    expected = {
        **dict.fromkeys(("parse", "header", "queue", "pixels", "decode"), 1),
        "encode": 2,
        "S3/PutObject": 2,
        "DynamoDB/TransactWriteItems": 1,
    }
    assert expected.items() <= names.items()
    outside = [
        (span.name, span.start_time_unix_nano, span.end_time_unix_nano)
        for span in parts
        if not request.start_time_unix_nano
        <= span.start_time_unix_nano
        <= span.end_time_unix_nano
        <= request.end_time_unix_nano
    ]
    assert outside == [], (request.start_time_unix_nano, request.end_time_unix_nano)
    order = ("parse", "header", "queue", "decode", "encode", "S3/PutObject")
    starts = [min(s.start_time_unix_nano for s in parts if s.name == name) for name in order]
    assert starts == sorted(starts)
    [commit] = [span for span in parts if span.name == "DynamoDB/TransactWriteItems"]
    assert attributes(commit) == {
        "rpc.system": "aws-api",
        "rpc.service": "DynamoDB",
        "rpc.method": "TransactWriteItems",
        "image_service.call.outcome": "ok",
    }
    assert receiver.paths == {"/v1/traces"}


async def test_it_tells_what_runs(
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
):
    environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.type=small,service.version=7")
    async with open_app() as app, new_client(None, app=app) as client:
        await client.get(IMAGES)
    assert {
        "service.name": "image-service",
        "service.version": "7",
        "deployment.environment.name": "local",
        "host.type": "small",
    }.items() <= receiver.resource.items()
    receiver.bodies.clear()
    environment.setenv("OTEL_SERVICE_NAME", "pictures")
    async with open_app() as app, new_client(None, app=app) as client:
        await client.get(IMAGES)
    assert receiver.resource["service.name"] == "pictures"


async def test_redis_is_part_of_it(
    receiver: Receiver, open_app: OpenApp, new_client: NewClient, user: str, redis_url: str
):
    async with (
        open_app(redis_url=redis_url, redis_timeout=5) as app,
        new_client(user, app=app) as client,
    ):
        await upload(client)
    names = Counter(span.name for span in receiver.spans)
    assert (names["redis count"], names["redis invalidate"]) == (1, 2)


NEW = object()


@pytest.mark.parametrize(
    ("headers", "trace_id", "parent"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, TRACE, SPAN),
        ({"X-Amzn-Trace-Id": f"{XRAY_ROOT};Parent={SPAN};Sampled=1"}, TRACE, SPAN),
        ({"X-Amzn-Trace-Id": f"Self=1-67891234-{'a' * 24};{XRAY_ROOT}"}, TRACE, ""),
        ({"X-Amzn-Trace-Id": f"{XRAY_ROOT};Parent={SPAN};Sampled=?"}, TRACE, ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Amzn-Trace-Id": "Root=1-1-1"}, TRACE, SPAN),
        ({"traceparent": "none", "X-Amzn-Trace-Id": XRAY_ROOT}, TRACE, ""),
        ({}, NEW, ""),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, NEW, ""),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, NEW, ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01" + "x" * 9_000}, NEW, ""),
        ([("traceparent", f"00-{TRACE}-{SPAN}-01"), ("traceparent", "x")], NEW, ""),
        ({"X-Amzn-Trace-Id": f"Root=1-{'0' * 8}-{'0' * 24};Parent={SPAN};Sampled=1"}, NEW, ""),
        ({"X-Amzn-Trace-Id": "Root=1-..%00\xff;;;=;Parent" + "=;" * 20}, NEW, ""),
        ({"X-Amzn-Trace-Id": XRAY_ROOT + ";" * 9_000}, NEW, ""),
    ],
)
async def test_it_goes_on_with_the_callers_trace(  # noqa: PLR0917 - fixtures and parameters
    receiver: Receiver,
    open_app: OpenApp,
    new_client: NewClient,
    log: Log,
    headers,
    trace_id,
    parent,
):
    async with open_app() as app, new_client(None, app=app) as client:
        pairs = headers.items() if isinstance(headers, dict) else headers
        raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
        response = await client.get(IMAGES, headers=raw)
    [request] = server_spans(receiver)
    assert request.parent_span_id.hex() == parent
    if trace_id is NEW:
        assert request.trace_id.hex() not in {TRACE, "0" * 32}
    else:
        assert request.trace_id.hex() == trace_id
    lines = log.of(response)
    assert lines
    assert not [line for line in log.lines if line["event"] == "traces_not_sent"]
    for line in lines:
        assert line["trace_id"] == request.trace_id.hex()
        assert line["span_id"] == request.span_id.hex()
        assert line["trace_sampled"] is True


async def test_every_line_of_a_request_names_its_trace(
    receiver: Receiver, open_app: OpenApp, new_client: NewClient, user: str, log: Log
):
    async with open_app() as app, new_client(user, app=app) as client:
        image = await upload(client)
        response = await client.delete(f"{IMAGES}/{image['id']}")
    [deletion] = [span for span in server_spans(receiver) if span.name.startswith("DELETE")]
    lines = log.of(response)
    assert {line["event"] for line in lines} == {"audit", "request"}
    assert {line["trace_id"] for line in lines} == {deletion.trace_id.hex()}
    # The files go in a task of its own, which may outlive the request.
    assert "S3/DeleteObjects" in {span.name for span in receiver.of(deletion.trace_id.hex())}


YES, NO = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
XRAY_YES = f"{XRAY_ROOT};Parent={SPAN};Sampled=1"


@pytest.mark.parametrize(
    ("sampler", "share", "headers", "recorded"),
    [
        ("", "1", {}, True),
        ("", "1", {"traceparent": YES}, True),
        ("", "1", {"traceparent": NO}, False),
        ("", "0", {}, False),
        ("", "0", {"traceparent": YES}, False),  # or anybody could have everything recorded
        ("", "0", {"X-Amzn-Trace-Id": XRAY_YES}, False),
        # A ratio that goes by the trace's id records this one, however small it is.
        ("", "0.000001", {"traceparent": f"00-{'1':>032}-{SPAN}-01"}, False),
        ("", "0.000001", {"X-Amzn-Trace-Id": f"Root=1-12345678-{'1':>024}"}, False),
        ("parentbased_traceidratio", "0", {"traceparent": YES}, True),  # who asks for it
        ("parentbased_always_off", "", {"traceparent": YES}, True),
        ("always_off", "", {"traceparent": YES}, False),
        ("always_on", "", {"traceparent": NO}, True),
    ],
)
async def test_callers_may_opt_out_but_not_in(  # noqa: PLR0917 - fixtures and parameters
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
    log: Log,
    sampler,
    share,
    headers,
    recorded,
):
    environment.setenv("OTEL_TRACES_SAMPLER", sampler)
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    async with open_app() as app, new_client(None, app=app) as client:
        response = await client.get(IMAGES, headers=headers)
    assert bool(receiver.spans) == recorded
    [line] = log.of(response, event="request")
    assert line["trace_sampled"] == recorded
    assert len(line["trace_id"]) == 32


async def test_by_default_a_twentieth_is_recorded(
    receiver: Receiver, environment: pytest.MonkeyPatch
):
    environment.delenv("OTEL_TRACES_SAMPLER_ARG")
    telemetry = new_telemetry("test")
    sampled = 0
    for _ in range(4_000):
        with telemetry.request([(b"traceparent", YES.encode())], traced=True) as ids:
            sampled += bool(ids["trace_sampled"])
    assert 100 < sampled < 320


@pytest.mark.parametrize("off", ["no endpoint", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"])
async def test_switched_off_nothing_is_sent(
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
    log: Log,
    off: str,
):
    if off == "no endpoint":
        environment.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    else:
        environment.setenv(off, "true" if off == "OTEL_SDK_DISABLED" else "none")
    async with open_app() as app, new_client(None, app=app) as client:
        response = await client.get(IMAGES, headers={"traceparent": YES})
        assert not [t for t in threading.enumerate() if t.name.startswith("Otel")]
    [line] = log.of(response, event="request")
    assert not {"trace_id", "span_id", "trace_sampled"} & line.keys()
    assert receiver.bodies == []


def test_switched_off_nothing_is_imported():
    code = (
        "import sys; from image_service.server.uvicorn_server import create_app;"
        "from image_service.bootstrap import new_telemetry; new_telemetry('test');"
        "wanted = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'requests', 'google');"
        "sys.exit(str([name for name in sys.modules if name.startswith(wanted)] or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "0\n")


def troubles(log: Log) -> list[dict[str, object]]:
    return [line for line in log.lines if line["event"] == "traces_not_sent"]


async def test_headers_that_cannot_be_read_are_not_shown(
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
    log: Log,
):
    environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization: Basic {SECRET}")
    async with open_app() as app, new_client(None, app=app) as client:
        await client.get(IMAGES)
    assert server_spans(receiver)  # a collector that needs none is sent everything
    [line] = troubles(log)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in str(line["reason"])
    assert SECRET not in log.text


@pytest.mark.parametrize("trouble", ["down", "refuses", "hangs"])
async def test_without_a_collector_requests_go_on(  # noqa: PLR0917 - fixtures and parameters
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
    user: str,
    log: Log,
    trouble: str,
):
    if trouble == "down":
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    elif trouble == "refuses":
        receiver.status = 401
    else:
        receiver.hang = threading.Event()
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    environment.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    async with open_app() as app, new_client(user, app=app) as client:
        for _ in range(30):
            assert (await client.get(IMAGES)).status_code == 200
        time.sleep(0.3)  # noqa: ASYNC251 - for the exporter, in its thread
        stopping_at = time.monotonic()
    assert time.monotonic() - stopping_at < 25  # it would wait for 30 s by itself
    # As a thread does that was left behind: the exporter gave up while it waited to try again.
    logging.getLogger("opentelemetry.exporter").warning("Shutdown in progress, aborting retry.")
    # One of the exporter, one of a full queue, one of what was left at the end.
    assert 1 <= len(troubles(log)) <= 3
    assert {line["level"] for line in troubles(log)} == {"warning"}
    assert not [line for line in log.lines if line["logger"].startswith("opentelemetry")]


async def test_the_last_spans_are_sent_at_the_end(
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    open_app: OpenApp,
    new_client: NewClient,
):
    environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    async with open_app() as app, new_client(None, app=app) as client:
        await client.get(IMAGES)
        assert receiver.spans == []
    assert len(server_spans(receiver)) == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("Otel")]


async def test_no_secret_no_id_and_no_word_of_a_caller_is_in_it(
    receiver: Receiver,
    open_app: OpenApp,
    new_client: NewClient,
    user: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")  # hands tracestate on
    hostile = {
        "tracestate": f"{SECRET.lower()}=1",
        "baggage": f"{SECRET}={SECRET}",
        "traceparent": YES,
    }
    async with (
        open_app(cors_origins=("https://example.com",)) as app,
        new_client(user, app=app) as client,
        new_client("stranger", app=app) as stranger,
    ):
        client.headers.update(hostile)
        secrets = await everything(client, stranger)
        image = await upload(client)
        await client.request(SECRET.upper(), f"{IMAGES}/{image['id']}")

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError(SECRET)

        monkeypatch.setattr(state_of(app).services.library, "list", broken)
        assert (await client.get(IMAGES)).status_code == 500
        secrets += [user, image["id"], settings.table_name, settings.bucket]
        for bearer in (client, stranger):
            secrets.append(bearer.headers["authorization"].removeprefix("Bearer "))
    everything_sent = b"".join(receiver.bodies)
    assert len(server_spans(receiver)) >= 50
    for secret in (*secrets, SECRET, SECRET.lower(), SECRET.upper()):
        assert secret.encode() not in everything_sent, secret
    assert {span.trace_state for span in receiver.spans} == {""}
    assert {span.name for span in server_spans(receiver)} <= {
        *(f"{method} /images" for method in ("GET", "POST", "OPTIONS")),
        *(f"{method} /images/{{id}}" for method in ("GET", "PATCH", "DELETE", "HTTP")),
        *("GET", "GET /usage", "GET /docs", "GET /redoc", "GET /openapi.json"),
        *("GET /docs/assets/{name}", "HTTP /images/{id}", "OPTIONS"),
    }


async def test_the_framework_sends_no_spans_of_its_own(
    receiver: Receiver,
    open_app: OpenApp,
    new_client: NewClient,
    monkeypatch: pytest.MonkeyPatch,
):
    """They hold paths and queries. It would, once anybody sets a provider for the process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    async with open_app() as app, new_client(None, app=app) as client:
        await client.get(IMAGES, params={"tag": SECRET})
    assert exporter.get_finished_spans() == ()
    assert len(server_spans(receiver)) == 1


async def test_errors_are_named_and_failures_marked(
    receiver: Receiver,
    open_app: OpenApp,
    new_client: NewClient,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
):
    async with open_app() as app, new_client(user, app=app) as client:
        await client.get(f"{IMAGES}/{'0' * 26}")
        await client.get("/nowhere")

        async def broken(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(state_of(app).services.library, "list", broken)
        await client.get(IMAGES)
    found = {span.name: span for span in server_spans(receiver)}
    missing, nowhere, failed = found["GET /images/{id}"], found["GET"], found["GET /images"]
    assert attributes(missing)["error.type"] == "IMAGE_NOT_FOUND"
    assert missing.status.code == Status.STATUS_CODE_UNSET
    assert attributes(nowhere) == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "error.type": "ROUTE_NOT_FOUND",
    }
    assert attributes(failed)["error.type"] == "INTERNAL_ERROR"
    assert failed.status.code == Status.STATUS_CODE_ERROR


async def test_probes_are_not_recorded(
    receiver: Receiver, open_app: OpenApp, new_client: NewClient
):
    async with open_app() as app, new_client(None, app=app) as client:
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200
    assert receiver.spans == []


async def test_calls_tell_of_retries_and_failures(receiver: Receiver):
    telemetry = new_telemetry("test")

    def called(service: str, operation: str, outcome: CallOutcome, retries: int = 0) -> None:
        with telemetry.call(service, operation) as call:
            call.outcome, call.retries = outcome, retries
            time.sleep(0.02)

    async with telemetry.running():
        called("s3", "GetObject", "ok")  # outside of any request
        with telemetry.request([], traced=True):
            called("dynamodb", "PutItem", "ok", 2)
            called("dynamodb", "PutItem", "refused")
            called("dynamodb", "PutItem", "throttled", 2)
            called("redis", "read", "unanswered")
        with telemetry.request([], traced=False):
            called("redis", "fill", "ok")
    samples = await asyncio.to_thread(Samples.of, telemetry)
    labels = {"service": "dynamodb", "operation": "PutItem", "outcome": "ok"}
    seconds = samples("dependency_call_seconds_sum", **labels)
    assert samples("dependency_retries_total", service="dynamodb", operation="PutItem") == 4
    done, refused, throttled, unanswered, _ = sorted(
        receiver.spans, key=lambda span: span.end_time_unix_nano
    )
    assert attributes(done)["http.request.resend_count"] == 2
    assert done.end_time_unix_nano - done.start_time_unix_nano == int(seconds * 1e9)
    for span, outcome, failed in (
        (done, "ok", False),
        (refused, "refused", False),
        (throttled, "throttled", True),
        (unanswered, "unanswered", True),
    ):
        assert span.kind == Span.SPAN_KIND_CLIENT
        assert attributes(span)["image_service.call.outcome"] == outcome
        assert attributes(span).get("error.type") == (outcome if failed else None)
        assert (span.status.code == Status.STATUS_CODE_ERROR) == failed
    assert attributes(unanswered)["db.system.name"] == "redis"


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be an http(s) URL"),
        ("EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
        ("TRACES_SAMPLER_ARG", "5%", "number"),
        ("TRACES_SAMPLER_ARG", "1.5", "less than or equal to 1"),
    ],
)
def test_what_is_set_wrong_stops_the_start(
    receiver: Receiver, environment: pytest.MonkeyPatch, settings: Settings, name, value, fault
):
    environment.setenv(f"OTEL_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_trace_settings()
    [told] = refused.value.errors
    assert told.startswith(f"OTEL_{name}: ")
    assert fault in told
    assert value not in told.replace("'http/protobuf'", "")
    with pytest.raises(SystemExit) as ended:
        server.serve(settings.model_copy(update={"ops_port": 0}))
    assert ended.value.code == 3


def test_a_ratio_needs_its_number(receiver: Receiver, environment: pytest.MonkeyPatch):
    environment.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    environment.delenv("OTEL_TRACES_SAMPLER_ARG")
    with pytest.raises(SettingsError, match="needs TRACES_SAMPLER_ARG"):
        load_trace_settings()


def test_an_app_that_is_not_started_starts_nothing(receiver: Receiver, app: FastAPI):
    assert new_telemetry("test")
    assert not [t for t in threading.enumerate() if t.name.startswith("Otel")]
