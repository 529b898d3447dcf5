"""The caller's trace context from the request's headers, which may be anybody's.

Ids are taken from them, and a wish not to be recorded. Vendors' state (`tracestate`) and
`baggage` are not even read: they are text of the caller's choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C: Final = TraceContextTextMapPropagator()
_MAX_LENGTH: Final = 512
_NAMES: Final = (b"traceparent", b"x-amzn-trace-id")
_ROOT: Final = re.compile(r"1-([0-9a-f]{8}-[0-9a-f]{24})")
_PARENT: Final = re.compile(r"[0-9a-f]{16}")
_DECISIONS: Final = {
    "0": trace.TraceFlags(trace.TraceFlags.DEFAULT),
    "1": trace.TraceFlags(trace.TraceFlags.SAMPLED),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Where to go on: under a span of the caller's, or in a trace that has none yet.

    `trace_id` is 0 where the trace is to be new, or the parent's.
    """

    context: Context
    trace_id: int = 0


def caller_of(headers: Iterable[tuple[bytes, bytes]]) -> Caller:
    """W3C Trace Context, else AWS X-Ray; a new trace where neither makes sense."""
    found = _given_once(headers)
    if "traceparent" in found:
        # No tracestate among them, so there will be none.
        context = _W3C.extract({"traceparent": found["traceparent"]}, Context())
        if trace.get_current_span(context).get_span_context().is_valid:
            return Caller(context)
    return _of_xray(found.get("x-amzn-trace-id", ""))


def _given_once(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers that matter, by name, but for those that are given twice, or endless."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _NAMES:
            values.setdefault(name, []).append(value)
    return {
        name.decode(): given[0].decode("latin-1")
        for name, given in values.items()
        if len(given) == 1 and len(given[0]) <= _MAX_LENGTH
    }


def _of_xray(header: str) -> Caller:
    """A load balancer sends `Root` alone: the trace to begin."""
    pairs = [part.strip().partition("=") for part in header.split(";")]
    fields = {name: value for name, _, value in pairs}
    root = _ROOT.fullmatch(fields.get("Root", ""))
    trace_id = int(root[1].replace("-", ""), 16) if root else 0
    parent = _PARENT.fullmatch(fields.get("Parent", ""))
    decision = _DECISIONS.get(fields.get("Sampled", ""))
    if parent and decision is not None:
        span = trace.SpanContext(trace_id, int(parent[0], 16), is_remote=True, trace_flags=decision)
        if span.is_valid:
            return Caller(trace.set_span_in_context(trace.NonRecordingSpan(span), Context()))
    return Caller(Context(), trace_id)
