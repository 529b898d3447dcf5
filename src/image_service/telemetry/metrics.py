"""Every metric of the service, an attribute each. `docs/metrics.md` lists them.

Everything that becomes a label comes from a small fixed set: never an id, a path or what a
caller wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Final, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from image_service.telemetry.log_output import LogOutput

CallOutcome = Literal["ok", "refused", "throttled", "failed", "unanswered", "cancelled"]
"""`refused`: a failed condition, or an error of ours. `cancelled`: by a deadline of ours."""

Stage = Literal["header", "pixels"]
CachePart = Literal["image", "page"]
CacheResult = Literal["hit", "miss", "unavailable", "would_hit", "would_miss"]
"""`would_…`: without Redis, as it would be."""

# Seconds. The targets of the platform are among them: 50, 80, 100 and 1,000 ms.
_RESPONSE: Final = (0.005, 0.01, 0.025, 0.05, 0.08, 0.1, 0.2, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)
_CALL: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PICTURE: Final = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20)
_QUEUE: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

_M = TypeVar("_M", Counter, Gauge, Histogram)


class Metrics:
    """All metrics, in a registry of their own. Those with labels are called with them.

    `build` is shown as labels.
    """

    def __init__(self, build: Mapping[str, str]) -> None:
        # One more series for each counter, of no use here. Known to the whole process only.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own
        self._registry = registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)

        # The process
        ProcessCollector(registry=registry)
        Info("image_service_build", "What runs here.", registry=registry).info(dict(build))
        self.event_loop_lag = histogram(
            "image_service_event_loop_lag_seconds",
            "How late the event loop came back to a timer.",
            buckets=_LAG,
        )
        registry.register(_DroppedLines())
        self.descriptors_scarce = counter(
            "image_service_descriptors_scarce",
            "How often the process was found to have hardly a file descriptor left.",
        )

        # Requests
        self.requests_in_progress = gauge(
            "image_service_http_requests_in_progress",
            "Requests without a response so far.",
        )
        self.request_seconds: Callable[[str, str, int], Histogram] = _by_label(
            histogram(
                "image_service_http_request_duration_seconds",
                "From the request's headers to the last byte of the response.",
                ("method", "route", "status"),
                buckets=_RESPONSE,
            )
        )
        self.rejected: Callable[[str], Counter] = _by_label(
            counter(
                "image_service_rejected",
                "Responses that are errors, by code.",
                ("reason",),
            )
        )
        self.uploads: Callable[[str], Counter] = _by_label(
            counter("image_service_uploads", "Uploads by what became of them.", ("outcome",))
        )
        self.connections_refused: Callable[[str], Counter] = _by_label(
            counter(
                "image_service_connections_refused",
                "Connections closed with an error before there was a request, by its code.",
                ("code",),
            )
        )

        # Pictures
        self.queue_wait = histogram(
            "image_service_queue_wait_seconds",
            "How long pictures waited for a worker.",
            buckets=_QUEUE,
        )
        self.processing_seconds: Callable[[Stage], Histogram] = _by_label(
            histogram(
                "image_service_processing_seconds",
                "Work on pictures: reading the header; decoding, scaling and encoding.",
                ("stage",),
                buckets=_PICTURE,
            )
        )
        self.uploads_in_flight = gauge(
            "image_service_uploads_in_flight", "Uploads being received or worked on."
        )
        self.upload_bytes_admitted = gauge(
            "image_service_upload_bytes_admitted", "The most their bodies may take of memory."
        )
        self.pictures_waiting = gauge(
            "image_service_pictures_waiting", "Pictures that wait for a worker."
        )
        self.pictures_processing = gauge(
            "image_service_pictures_processing", "Pictures being worked on."
        )

        # Outside systems
        self.call_seconds: Callable[[str, str, CallOutcome], Histogram] = _by_label(
            histogram(
                "image_service_dependency_call_seconds",
                "Calls of outside systems, their retries included.",
                ("service", "operation", "outcome"),
                buckets=_CALL,
            )
        )
        self.call_retries: Callable[[str, str], Counter] = _by_label(
            counter(
                "image_service_dependency_retries",
                "Tries after the first.",
                ("service", "operation"),
            )
        )

        # The cache
        self.cache_requests: Callable[[CachePart, CacheResult], Counter] = _by_label(
            counter(
                "image_service_cache_requests",
                "Reads of the cache. would_…: without Redis, what it would have been.",
                ("part", "result"),
            )
        )
        self.cache_invalidations_lost = counter(
            "image_service_cache_invalidations_lost",
            "Writes that did not reach Redis; the outbox makes up for them.",
        )

        # Work after a commit
        self.outbox_depth = gauge(
            "image_service_outbox_depth", "Entries in the outbox, of all tasks."
        )
        self.outbox_oldest_age = gauge(
            "image_service_outbox_oldest_age_seconds", "Age of the oldest entry; 0 without any."
        )
        self.outbox_set_aside = gauge(
            "image_service_outbox_set_aside", "Entries given up, for a person to look at."
        )
        self.outbox_measured = gauge(
            "image_service_outbox_measured_timestamp_seconds",
            "When depth, age and dead letters were last found out.",
        )
        self.outbox_last_round = gauge(
            "image_service_outbox_last_round_timestamp_seconds",
            "When the worker last went through the outbox.",
        )
        self.orphans_found: Callable[[Literal["upload", "rerender"]], Counter] = _by_label(
            counter(
                "image_service_orphans_found",
                "What was left behind and has been cleared away.",
                ("kind",),
            )
        )
        self.orphans_found("upload")  # so that the series begins at 0
        self.orphans_found("rerender")

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text for a scraper, and its content type, that suits an Accept header. May block."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _by_label(metric: _M) -> Callable[..., _M]:
    """Its children, each looked up once: the library's own lookup costs more than the counting."""
    return cache(metric.labels)


class _DroppedLines(Collector):
    """Of the whole process, as its stdout is."""

    def collect(self) -> Iterable[Metric]:
        name, text = "image_service_log_lines_dropped", "Log lines that nobody read in time."
        yield CounterMetricFamily(name, text, value=LogOutput.dropped)
