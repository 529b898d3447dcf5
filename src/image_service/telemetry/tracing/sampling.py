"""Sampling of traces: spans cost, and anybody can ask for any number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

DEFAULT_SHARE: Final = 0.05


def new_sampler(name: str | None, share: float | None) -> Sampler | None:
    """None where the SDK is to take one of its own, of that standard name.

    By default a caller can keep its requests from being recorded, but not have them.
    """
    if name is not None:
        return None
    lot = Lot(DEFAULT_SHARE if share is None else share)
    return ParentBased(lot, remote_parent_sampled=lot)


class Lot(Sampler):
    """Draws for each request. The SDK's own ratio goes by the trace id, which callers choose."""

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(  # noqa: PLR0913, PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,  # noqa: ARG002
        trace_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,  # noqa: ARG002
    ) -> SamplingResult:
        if random.random() < self._share:  # noqa: S311 - no secret
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return f"Lot{{{self._share}}}"
