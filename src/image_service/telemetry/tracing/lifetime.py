"""The lifetime of tracing, from the first span to the last one sent."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id, use_span

from image_service.telemetry.observers import Observers, TraceIds
from image_service.telemetry.tracing.callers import caller_of
from image_service.telemetry.tracing.spans import traced

log = structlog.stdlib.get_logger(__name__)

_LAST_SPANS_SECONDS: Final = 3.0
_TROUBLE_EVERY: Final = 60.0  # seconds
# Quotes what it can't read of the headers, which hold the collector's password.
_READER_OF_HEADERS: Final = "opentelemetry.util.re"
_NO_PAIRS: Final = "OTEL_EXPORTER_OTLP_HEADERS: not all are name=value, so some are left out"

_given_trace: ContextVar[int] = ContextVar("given_trace", default=0)


class OtelTracing:
    """`Tracing` as the standard `OTEL_*` variables have it, which the SDK reads.

    Without a `sampler` that is theirs, too. `attributes` say what runs here; the variables
    may add to them, and change them.
    """

    def __init__(self, sampler: Sampler | None, attributes: Mapping[str, str]) -> None:
        self._provider = TracerProvider(
            sampler=sampler,
            resource=Resource.create(dict(attributes)).merge(OTELResourceDetector().detect()),
            id_generator=_Ids(),
            shutdown_on_exit=False,
        )
        self._tracer = self._provider.get_tracer("image_service")

    def around(self, observers: Observers) -> Observers:
        return traced(observers, self._tracer)

    @contextmanager
    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[TraceIds]:
        caller = caller_of(headers)
        given = _given_trace.set(caller.trace_id)
        try:
            span = self._tracer.start_span("HTTP", caller.context, SpanKind.SERVER)
        finally:
            _given_trace.reset(given)
        ids = span.get_span_context()
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield {
                    "trace_id": format_trace_id(ids.trace_id),
                    "span_id": format_span_id(ids.span_id),
                    "trace_sampled": ids.trace_flags.sampled,
                }
        finally:
            if span.is_recording():
                span.end()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with _library_muffled():
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
                    log.warning("traces_not_sent", reason="the collector does not answer")
                    # No further try.
                    exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's own


class _Ids(RandomIdGenerator):
    """Begins the trace whose id a load balancer gave, where it did."""

    def generate_trace_id(self) -> int:
        return _given_trace.get() or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return not _given_trace.get()


@contextmanager
def _library_muffled() -> Iterator[None]:
    """The SDK logs each try and each span that is lost: a line a minute will do."""
    library = logging.getLogger("opentelemetry")
    handler, propagated = _Troubles(), library.propagate
    library.addHandler(handler)
    library.propagate = False
    try:
        yield
    finally:
        library.propagate = propagated
        library.removeHandler(handler)


class _Troubles(logging.Handler):
    """Writes down the first of each part of the library, then at most one in a while."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet_until: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._quiet_until.get(record.name, 0):
            self._quiet_until[record.name] = now + _TROUBLE_EVERY
            quotes = record.name == _READER_OF_HEADERS
            log.warning("traces_not_sent", reason=_NO_PAIRS if quotes else record.getMessage())
