"""The application: middleware, routes, error handlers, lifespan, from top to bottom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from image_service import __version__
from image_service.api import openapi
from image_service.api.bodies.form_parts import FormLimits
from image_service.api.dependencies import AppState
from image_service.api.middleware.boundary import Boundary, Gate
from image_service.api.middleware.compression import Compression
from image_service.api.middleware.cors import Cors
from image_service.api.middleware.exchange import Limits, Pace
from image_service.api.middleware.request import Requests
from image_service.api.routes import docs, health, images, usage
from image_service.bootstrap import new_telemetry, open_services
from image_service.domain.limits import USER_REQUESTS
from image_service.domain.renditions import RENDITIONS
from image_service.domain.time_limits import TimeLimits
from image_service.services import Services
from image_service.settings import Settings
from image_service.telemetry.telemetry import Telemetry

OpenServices = Callable[[Settings, Telemetry, TimeLimits], AbstractAsyncContextManager[Services]]

_ROUTERS = (images.router, usage.router, health.router, docs.router)
_ROUTES = tuple(route for router in _ROUTERS for route in router.routes)
# FastAPI's own would send paths and queries, which hold ids and what people wrote.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
OPEN_PATHS = docs.OPEN_PATHS | health.PATHS


class Application(FastAPI):
    """FastAPI without the layers for errors, bodies and telemetry that `Boundary` replaces.

    They are five around every request, each with a `send` of its own.
    """

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        for cls, args, kwargs in reversed(self.user_middleware):
            app = cls(app, *args, **kwargs)
        return app


def create_app(
    settings: Settings,
    times: TimeLimits,
    open_services: OpenServices = open_services,
) -> FastAPI:
    """The whole service. Tests pass an `open_services` of their own; nothing else differs."""
    telemetry = new_telemetry(settings.stage)
    state = _state(settings, telemetry)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with telemetry.running(), open_services(settings, telemetry, times) as services:
            state.services = services
            state.ready = True
            yield
            state.ready = False

    app = Application(
        title="Image Service",
        summary="Pictures in; WebP, thumbnails and metadata out.",
        description=openapi.DESCRIPTION,
        version=__version__,
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"name": "The operator of this service"},
        servers=[{"url": "/", "description": "The service that shows this document."}],
        openapi_tags=[
            {"name": "Images", "description": "Upload, list, edit and delete your own images."},
            {"name": "Usage", "description": "How much you have stored."},
            {"name": "Health", "description": "For load balancers and operators; no token."},
        ],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
        middleware=_middleware(settings, times, state),
    )
    app.state.shared = state
    app.router.routes.extend(_ROUTES)  # included as routers they are matched twice a request
    return app


def _state(settings: Settings, telemetry: Telemetry) -> AppState:
    return AppState(
        telemetry=telemetry,
        form_limits=FormLimits(max_file_bytes=settings.max_file_bytes),
        stated_limits=openapi.limits(
            requests=settings.rate_limit_requests,
            uploads=settings.rate_limit_uploads,
            in_flight=_requests_of_one(settings),
            scope_prefix=settings.service_scope_prefix,
            max_file_bytes=settings.max_file_bytes,
            min_side=settings.min_dimension,
            max_side=settings.max_dimension,
            cpu_seconds=settings.picture_cpu_seconds,
            **{spec.name: spec.side for spec in RENDITIONS},
        ),
    )


def _middleware(settings: Settings, times: TimeLimits, state: AppState) -> list[Middleware]:
    """Middleware from the outside in; `api.middleware.request` says why in this order."""
    return [
        Middleware(
            Requests,
            limits=_limits(times),
            routes=_ROUTES,
            telemetry=state.telemetry,
            untraced=health.PATHS,
        ),
        Middleware(Cors, origins=settings.cors_origins, headers=settings.cors_headers),
        Middleware(Compression),
        Middleware(Boundary, routes=_ROUTES, state=state),
        Middleware(
            Gate,
            state=state,
            open_paths=OPEN_PATHS,
            upload_path=images.COLLECTION,
            limit=_requests_of_one(settings),
            uncounted=health.PROBES,
        ),
    ]


def _requests_of_one(settings: Settings) -> int:
    """Never more than the share of the connections that one user may take."""
    share = int(settings.max_connections * settings.user_share)
    return max(1, min(USER_REQUESTS, share))


def _limits(times: TimeLimits) -> Limits:
    return Limits(
        upload_path=images.COLLECTION,
        pace=Pace(
            stall=times.upload_stall_timeout,
            least_rate=times.upload_min_rate,
            total=times.upload_timeout,
        ),
        upload=times.upload_deadline,
        delete=times.delete_deadline,
        other=times.request_deadline,
    )
