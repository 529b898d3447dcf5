"""The observers' findings, as Prometheus reads them. `docs/metrics.md` lists the metrics.

Children of labelled metrics are looked up once and kept: prometheus-client's own lookup
costs more than the counting.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from image_service.ports import CacheOutcome, CachePart
from image_service.telemetry.observers import Backlog, CallOutcome, Load, Observers, Stage

# Seconds. The targets of the platform are among them: 50, 80, 100 and 1,000 ms.
_ANSWER: Final = (0.005, 0.01, 0.025, 0.05, 0.08, 0.1, 0.2, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)
_CALL: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PICTURE: Final = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20)
_QUEUE: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

_METHODS: Final = frozenset({"GET", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})


class PrometheusMetrics:
    """`Metrics` of one app, in a registry of their own. `build` is shown as labels."""

    def __init__(self, build: dict[str, str]) -> None:
        # One more series for each counter, of no use here. Known to the whole process only.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("image_service_build", "What runs here.", registry=registry).info(build)
        self._observers = Observers(
            requests=_Requests(registry),
            connections=_Connections(registry),
            calls=_Calls(registry),
            cache=_Cache(registry),
            pictures=_Pictures(registry),
            worker=_Worker(registry),
            process=_Process(registry),
        )

    @property
    def observers(self) -> Observers:
        return self._observers

    def render(self, accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Requests:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_progress = Gauge(
            "image_service_http_requests_in_progress",
            "Requests that have not been answered yet.",
            registry=registry,
        )
        self._seconds = Histogram(
            "image_service_http_request_duration_seconds",
            "From the request's headers to the last byte of the answer.",
            ("method", "route", "status"),
            buckets=_ANSWER,
            registry=registry,
        )
        self._refused = Counter(
            "image_service_rejected",
            "Requests answered with an error, by its code.",
            ("reason",),
            registry=registry,
        )
        self._uploads = Counter(
            "image_service_uploads",
            "Uploads by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def began(self) -> None:
        self._in_progress.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        self._in_progress.dec()
        if method not in _METHODS:
            method = "other"  # anything can be sent for one
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._seconds.labels(*key)
        child.observe(seconds)

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def upload(self, outcome: str) -> None:
        self._uploads.labels(outcome).inc()


class _Connections:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "image_service_connections_refused",
            "Connections closed with an error before there was a request, by its code.",
            ("code",),
            registry=registry,
        )

    def connection_refused(self, code: str) -> None:
        self._refused.labels(code).inc()


class _Calls:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "image_service_dependency_call_seconds",
            "Calls of outside systems, their retries included.",
            ("service", "operation", "outcome"),
            buckets=_CALL,
            registry=registry,
        )
        self._retries = Counter(
            "image_service_dependency_retries",
            "Tries after the first.",
            ("service", "operation"),
            registry=registry,
        )
        self._children: dict[tuple[str, str, CallOutcome], Histogram] = {}

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None:
        key = (service, operation, outcome)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._seconds.labels(*key)
        child.observe(seconds)
        if retries:
            self._retries.labels(service, operation).inc(retries)


class _Cache:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._reads = Counter(
            "image_service_cache_requests",
            "Reads of the cache. would_…: without Redis, what it would have been.",
            ("part", "result"),
            registry=registry,
        )
        self._lost = Counter(
            "image_service_cache_invalidations_lost",
            "Writes that Redis could not be told of; the outbox makes up for them.",
            registry=registry,
        )
        self._children: dict[tuple[CachePart, CacheOutcome], Counter] = {}

    def read(self, part: CachePart, outcome: CacheOutcome) -> None:
        child = self._children.get((part, outcome))
        if child is None:
            child = self._children[part, outcome] = self._reads.labels(part, outcome)
        child.inc()

    def invalidation_lost(self) -> None:
        self._lost.inc()


class _Pictures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._queued = Histogram(
            "image_service_queue_wait_seconds",
            "How long pictures waited for a worker.",
            buckets=_QUEUE,
            registry=registry,
        )
        self._processed = Histogram(
            "image_service_processing_seconds",
            "Work on pictures: reading the header; decoding, scaling and encoding.",
            ("stage",),
            buckets=_PICTURE,
            registry=registry,
        )

    def queued(self, seconds: float) -> None:
        self._queued.observe(seconds)

    def processed(self, stage: Stage, seconds: float) -> None:
        self._processed.labels(stage).observe(seconds)


class _Worker:
    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self._depth = gauge("image_service_outbox_depth", "Entries in the outbox, of all tasks.")
        self._age = gauge(
            "image_service_outbox_oldest_age_seconds", "Age of the oldest entry; 0 without any."
        )
        self._aside = gauge(
            "image_service_outbox_set_aside", "Entries given up, for a person to look at."
        )
        self._measured = gauge(
            "image_service_outbox_measured_timestamp_seconds",
            "When depth, age and set aside were last found out.",
        )
        self._round = gauge(
            "image_service_outbox_last_round_timestamp_seconds",
            "When the worker last went through the outbox.",
        )
        self._orphans = Counter(
            "image_service_orphans_found",
            "What was left behind and has been cleared away.",
            ("kind",),
            registry=registry,
        )
        self._swept = self._orphans.labels("upload")  # so that the series begins at 0

    def round_ended(self) -> None:
        self._round.set_to_current_time()

    def backlog(self, backlog: Backlog) -> None:
        self._depth.set(backlog.waiting)
        self._age.set(backlog.oldest_age)
        self._aside.set(backlog.set_aside)
        self._measured.set_to_current_time()

    def swept(self, orphans: int) -> None:
        self._swept.inc(orphans)


class _Process:
    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self._load = {
            "uploads": gauge(
                "image_service_uploads_in_flight", "Uploads being received or worked on."
            ),
            "upload_bytes": gauge(
                "image_service_upload_bytes_admitted", "The most their bodies may take of memory."
            ),
            "waiting": gauge("image_service_pictures_waiting", "Pictures that wait for a worker."),
            "processing": gauge("image_service_pictures_processing", "Pictures being worked on."),
        }
        self._lag = Histogram(
            "image_service_event_loop_lag_seconds",
            "How late the event loop came back to a timer.",
            buckets=_LAG,
            registry=registry,
        )

    def watch_load(self, load: Callable[[], Load]) -> None:
        for name, gauge in self._load.items():
            gauge.set_function(partial(_now, load, name))

    def loop_lagged(self, seconds: float) -> None:
        self._lag.observe(seconds)


def _now(load: Callable[[], Load], name: str) -> float:
    value: int = getattr(load(), name)
    return value
