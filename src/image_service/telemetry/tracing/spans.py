"""Observers that make spans of what they are told, and tell another.

What has ended is told with its duration, so a span is made whole, after the fact, under the
request's. Attributes are of small fixed sets: never an id, a path or what a caller wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import time_ns
from typing import Final

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.util.types import AttributeValue

from image_service.telemetry.observers import (
    CallObserver,
    CallOutcome,
    Observers,
    PictureObserver,
    RequestObserver,
    Stage,
)

_SERVER_ERROR: Final = 500
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
_AWS: Final = {"dynamodb": "DynamoDB", "s3": "S3", "cloudfront": "CloudFront"}
_FAILURES: Final = frozenset({"throttled", "failed", "unanswered"})


def traced(observers: Observers, tracer: Tracer) -> Observers:
    """`observers`, who go on to be told, and spans beside."""
    spans = _Spans(tracer)
    return replace(
        observers,
        requests=_Requests(observers.requests),
        calls=_Calls(observers.calls, spans),
        pictures=_Pictures(observers.pictures, spans),
        steps=_Steps(spans),
    )


@dataclass(frozen=True, slots=True)
class _Spans:
    tracer: Tracer

    @property
    def wanted(self) -> bool:
        """Not outside a request, nor in one that is not recorded.

        The request may have ended meanwhile: what it began goes on under its name.
        """
        return get_current_span().get_span_context().trace_flags.sampled

    def add(self, name: str, seconds: float, ago: float = 0.0) -> None:
        """One that ended `ago` seconds before now, if it is wanted."""
        if self.wanted:
            self.add_call(name, seconds, ago=ago)

    def add_call(
        self,
        name: str,
        seconds: float,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        status: Status | None = None,
        ago: float = 0.0,
    ) -> None:
        now = time_ns() - int(ago * 1e9)
        started = now - int(seconds * 1e9)
        span = self.tracer.start_span(name, kind=kind, attributes=attributes, start_time=started)
        if status is not None:
            span.set_status(status)
        span.end(now)


class _Requests:
    """Fills in and ends the span that was opened for the request, which is the current one."""

    def __init__(self, inner: RequestObserver) -> None:
        self._inner = inner

    def began(self) -> None:
        self._inner.began()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        self._inner.ended(method, route, status, seconds)
        span = get_current_span()
        if not isinstance(span, Span) or span.start_time is None:
            return  # not recorded
        known = method in _METHODS
        span.set_attribute("http.request.method", method if known else "_OTHER")
        span.set_attribute("http.response.status_code", status)
        name = method if known else "HTTP"
        if route.startswith("/"):
            span.set_attribute("http.route", route)
            name = f"{name} {route}"
        span.update_name(name)
        if status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        # Now would be later: the rest of a refused body may have been read and dropped.
        span.end(span.start_time + int(seconds * 1e9))

    def refused(self, code: str) -> None:
        self._inner.refused(code)
        get_current_span().set_attribute("error.type", code)

    def upload(self, outcome: str) -> None:
        self._inner.upload(outcome)
        get_current_span().set_attribute("image_service.upload.outcome", outcome)


class _Calls:
    def __init__(self, inner: CallObserver, spans: _Spans) -> None:
        self._inner = inner
        self._spans = spans

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None:
        self._inner(service, operation, outcome, seconds, retries)
        if not self._spans.wanted:
            return
        name, attributes = _described(service, operation)
        attributes["image_service.call.outcome"] = outcome
        if retries:
            attributes["http.request.resend_count"] = retries
        failed = outcome in _FAILURES
        if failed:
            attributes["error.type"] = outcome
        status = Status(StatusCode.ERROR) if failed else None
        self._spans.add_call(name, seconds, SpanKind.CLIENT, attributes, status)


def _described(service: str, operation: str) -> tuple[str, dict[str, AttributeValue]]:
    """Name and attributes, by OpenTelemetry's conventions; those X-Ray knows AWS by."""
    if service in _AWS:
        aws = _AWS[service]
        called = {"rpc.system": "aws-api", "rpc.service": aws, "rpc.method": operation}
        return f"{aws}/{operation}", {**called}
    if service == "redis":
        return f"redis {operation}", {"db.system.name": "redis", "db.operation.name": operation}
    return f"{service} {operation}", {"http.request.method": operation}


class _Pictures:
    def __init__(self, inner: PictureObserver, spans: _Spans) -> None:
        self._inner = inner
        self._spans = spans

    def queued(self, seconds: float) -> None:
        self._inner.queued(seconds)
        self._spans.add("queue", seconds)

    def processed(self, stage: Stage, seconds: float) -> None:
        self._inner.processed(stage, seconds)
        self._spans.add(stage, seconds)


class _Steps:
    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    def stepped(self, step: str, seconds: float, ago: float = 0.0) -> None:
        self._spans.add(step, seconds, ago)
