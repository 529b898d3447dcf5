"""Liveness, readiness and the state of the outside systems: open to anyone."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from image_service.api.dependencies import state_of
from image_service.api.openapi import error_responses, limit, operation_id
from image_service.api.schemas import Check, Health, Probe
from image_service.domain.errors import MalformedBody, TooManyInFlight

LIVE: Final = "/health/live"
READY: Final = "/health/ready"
# For load balancers and orchestrators. Served from memory, so there is always room.
PROBES: Final = frozenset({LIVE, READY})
PATHS: Final = PROBES | {"/health"}

router = APIRouter(prefix="/health", tags=["Health"], generate_unique_id_function=operation_id)

_MALFORMED = error_responses(
    MalformedBody("The request is not valid HTTP/1.1; send it with an HTTP library.")
)
_NO_STORE = {"Cache-Control": "no-store"}


@router.get(
    "",
    summary="How are the systems behind it?",
    response_model=Health,
    responses={
        503: {"model": Health, "description": "A required system is down."},
        **_MALFORMED,
        **error_responses(
            TooManyInFlight(limit("over_in_flight"), limit("in_flight"), anonymous=True)
        ),
    },
)
async def health(request: Request, response: Response) -> Health:
    """Asks each system, at most once per second. `degraded` when only Redis is down."""
    report = await state_of(request.app).services.health.report()
    response.headers.update(_NO_STORE)
    response.status_code = 503 if report.status == "unhealthy" else 200
    return Health(
        status=report.status,
        checks={
            name: Check(status=check.status, latency_ms=check.latency_ms)
            for name, check in report.checks.items()
        },
    )


@router.get(
    "/live",
    summary="Is the process running?",
    response_model=Probe,
    responses=_MALFORMED
    | {503: {"model": Probe, "description": "It can't start decoders any more."}},
)
async def live(request: Request, response: Response) -> Probe:
    """That it responds, and has not failed to start the processes that decode pictures."""
    response.headers.update(_NO_STORE)
    state = state_of(request.app)
    if not state.ready or state.services.is_live():
        return Probe(status="live")
    response.status_code = 503
    return Probe(status="not live")


@router.get(
    "/ready",
    summary="Should this task get requests?",
    response_model=Probe,
    responses={503: {"model": Probe, "description": "Starting or draining."}, **_MALFORMED},
)
async def ready(request: Request, response: Response) -> Probe:
    """From start to the beginning of draining.

    Knows nothing of dependencies or load, so that a blip of a shared system can't take
    every task out of service at once.
    """
    response.headers.update(_NO_STORE)
    if state_of(request.app).ready:
        return Probe(status="ready")
    response.status_code = 503
    return Probe(status="not ready")
