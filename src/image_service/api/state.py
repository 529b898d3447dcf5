"""State that all requests of one app share, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from image_service.api.bodies.form_parts import FormLimits
from image_service.services import Services
from image_service.telemetry.telemetry import Telemetry


@dataclass(slots=True, kw_only=True)
class AppState:
    """Made with the app; its services come with the lifespan, and SIGTERM ends that it is ready."""

    telemetry: Telemetry
    form_limits: FormLimits
    stated_limits: Mapping[str, Any]
    """By the names that the OpenAPI document's texts have for them."""
    document: tuple[bytes, bytes] | None = None
    """OpenAPI as it is sent, plain and zipped, once somebody has asked for it."""
    services: Services = field(init=False)
    ready: bool = False


def state_of(app: Any) -> AppState:
    """Returns the state of an app, which ASGI scopes hold untyped."""
    state: AppState = app.state.shared
    return state
