"""OpenTelemetry: spans of requests and of what they are made of. See `docs/tracing.md`.

Imported only where there is somebody to send them to. What has ended is recorded with its
duration, so a span is made whole, after the fact, under the request's. Attributes are of small
fixed sets: never an id, a path or what a caller wrote.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

log = structlog.stdlib.get_logger(__name__)

Headers = Sequence[tuple[bytes, bytes]]
_Facts = dict[str, AttributeValue]

_DEFAULT_SHARE: Final = 0.05
_LAST_SPANS_SECONDS: Final = 3.0
_TROUBLE_EVERY: Final = 60.0  # seconds
_NOTHING: Final = logging.CRITICAL + 1
# Quotes what it can't read of the headers, which hold the collector's password.
_READER_OF_HEADERS: Final = "opentelemetry.util.re"
_NO_PAIRS: Final = "OTEL_EXPORTER_OTLP_HEADERS: not all are name=value, so some are left out"

_W3C: Final = TraceContextTextMapPropagator()
_MAX_HEADER: Final = 512
_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_FLAGS: Final = {"0": "00", "1": "01"}

_SERVER_ERROR: Final = 500
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
_AWS: Final = {"dynamodb": "DynamoDB", "s3": "S3", "cloudfront": "CloudFront"}
_FAILURES: Final = frozenset({"throttled", "failed", "unanswered"})


class Tracing:
    """Traces as the standard `OTEL_*` variables have them, which the SDK reads.

    `attributes` say what runs here; the variables may add to them, and change them. A `sampler`
    is one of the SDK's own; without one, a `share` of all requests is recorded.
    """

    def __init__(
        self, attributes: Mapping[str, str], *, sampler: str | None, share: float | None
    ) -> None:
        lot = _Lot(_DEFAULT_SHARE if share is None else share)
        self._ids = _Ids()
        self._provider = TracerProvider(
            # A caller can keep its requests from being recorded, but not have them.
            sampler=ParentBased(lot, remote_parent_sampled=lot) if sampler is None else None,
            resource=Resource.create(dict(attributes)).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._tracer = self._provider.get_tracer("image_service")

    @contextmanager
    def request(self, headers: Headers) -> Iterator[Mapping[str, str | bool]]:
        """Surrounds a request: what is added meanwhile is part of its trace.

        It goes on with the trace that `headers` name, if they do. Yields `trace_id`, `span_id`
        (hexadecimal), `trace_sampled`.
        """
        context, self._ids.given = _caller(headers)
        span = self._tracer.start_span("HTTP", context, SpanKind.SERVER)
        ids = span.get_span_context()
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield {
                    "trace_id": trace.format_trace_id(ids.trace_id),
                    "span_id": trace.format_span_id(ids.span_id),
                    "trace_sampled": ids.trace_flags.sampled,
                }
        finally:
            if span.is_recording():
                span.end()

    def request_ended(
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        reason: str | None,
        upload: str | None,
    ) -> None:
        """Complete and end the span of the current request."""
        span = get_current_span()
        if not isinstance(span, Span) or span.start_time is None:
            return  # not recorded
        known = method in _METHODS
        name = method if known else "HTTP"
        facts: dict[str, AttributeValue | None] = {
            "http.request.method": method if known else "_OTHER",
            "http.response.status_code": status,
            "http.route": route if route.startswith("/") else None,
            "error.type": reason,
            "image_service.upload.outcome": upload,
        }
        span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        span.update_name(f"{name} {route}" if route.startswith("/") else name)
        if status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        # Now would be later: the rest of a refused body may have been read and dropped.
        span.end(span.start_time + int(seconds * 1e9))

    def add_call(
        self, service: str, operation: str, outcome: str, seconds: float, retries: int
    ) -> None:
        """A call of an outside system, which has just ended."""
        if not _recording():
            return
        # Names and attributes by OpenTelemetry's conventions; those X-Ray knows AWS by.
        facts: _Facts = {"image_service.call.outcome": outcome}
        name = f"{service} {operation}"
        if aws := _AWS.get(service):
            name = f"{aws}/{operation}"
            facts |= {"rpc.system": "aws-api", "rpc.service": aws, "rpc.method": operation}
        elif service == "redis":
            facts |= {"db.system.name": "redis", "db.operation.name": operation}
        else:
            facts["http.request.method"] = operation
        if retries:
            facts["http.request.resend_count"] = retries
        if outcome in _FAILURES:
            facts["error.type"] = outcome
        self._add(name, seconds, 0.0, SpanKind.CLIENT, facts)

    def add_part(self, name: str, seconds: float, ago: float) -> None:
        """A part of the current request, which ended `ago` seconds before now."""
        if _recording():
            self._add(name, seconds, ago, SpanKind.INTERNAL, {})

    def _add(self, name: str, seconds: float, ago: float, kind: SpanKind, facts: _Facts) -> None:
        ended = time.time_ns() - int(ago * 1e9)
        started = ended - int(seconds * 1e9)
        span = self._tracer.start_span(name, kind=kind, attributes=facts, start_time=started)
        if "error.type" in facts:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Surrounds everything: spans are sent, the last ones on leaving, in bounded time."""
        with _Troubles().instead(logging.getLogger("opentelemetry")):
            exporter = OTLPSpanExporter()
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            try:
                yield
            finally:
                # A thread of its own, which is left behind where the collector hangs: nothing
                # waits for daemons.
                ending = threading.Thread(target=self._provider.shutdown, daemon=True)
                ending.start()
                await asyncio.to_thread(ending.join, _LAST_SPANS_SECONDS)
                if ending.is_alive():
                    log.warning("traces_not_sent", reason="the collector does not respond")
                    # No further try.
                    exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's own


class _Lot(Sampler):
    """Draws for each request. The SDK's own ratio goes by the trace id, which callers choose."""

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        drawn = random.random() < self._share  # noqa: S311 - no secret
        return SamplingResult(Decision.RECORD_AND_SAMPLE if drawn else Decision.DROP)

    def get_description(self) -> str:
        return f"Lot{{{self._share}}}"


class _Ids(RandomIdGenerator):
    """Begins the trace whose id a load balancer `given`, where it did."""

    given = 0

    def generate_trace_id(self) -> int:
        return self.given or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return not self.given


def _recording() -> bool:
    """Returns False outside a request, and in one that is not sampled.

    The request may have ended meanwhile: what it began goes on under its name.
    """
    return get_current_span().get_span_context().trace_flags.sampled


def _caller(headers: Headers) -> tuple[Context, int]:
    """Returns where to go on: under a caller's span, or in a trace without one yet (its id).

    W3C Trace Context, else AWS X-Ray, of which a load balancer sends `Root` alone; a new trace
    where neither makes sense. `tracestate` and `baggage` are not even read: they are text of
    the caller's choice.
    """
    parts = [part.strip() for part in _header(headers, b"x-amzn-trace-id").split(";")]
    fields = {name: value for name, _, value in (part.partition("=") for part in parts)}
    root = _ROOT.fullmatch(fields.get("Root", ""))
    trace_id, flags = root[1] + root[2] if root else "0", _FLAGS.get(fields.get("Sampled", ""), "")
    for given in (
        _header(headers, b"traceparent"),
        f"00-{trace_id}-{fields.get('Parent', '')}-{flags}",
    ):
        context = _W3C.extract({"traceparent": given}, Context())
        if get_current_span(context).get_span_context().is_valid:
            return context, 0
    return Context(), int(trace_id, 16)


def _header(headers: Headers, name: bytes) -> str:
    """Its value; empty where it is not there, there twice, or endless."""
    given = [value for named, value in headers if named == name]
    return given[0].decode("latin-1") if len(given) == 1 and len(given[0]) <= _MAX_HEADER else ""


class _Troubles(logging.Handler):
    """The SDK's words on each try and each span that is lost: a line a minute will do.

    Logs the first of each part of it, then at most one in a while.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet_until: dict[str, float] = {}

    @contextmanager
    def instead(self, library: logging.Logger) -> Iterator[None]:
        """Nothing else is logged of the library, and nothing at all from then on.

        Stays in place: threads that were left behind go on complaining.
        """
        library.handlers[:] = [self]
        library.propagate = False
        try:
            yield
        finally:
            self.setLevel(_NOTHING)

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._quiet_until.get(record.name, 0):
            self._quiet_until[record.name] = now + _TROUBLE_EVERY
            quotes = record.name == _READER_OF_HEADERS
            log.warning("traces_not_sent", reason=_NO_PAIRS if quotes else record.getMessage())
