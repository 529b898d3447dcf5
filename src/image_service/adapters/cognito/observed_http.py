"""An HTTP client whose requests are observed."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import httpx

from image_service.telemetry.observers import CallObserver, CallOutcome


class ObservedClient(httpx.AsyncClient):
    """Tells `observer` of each request, up to the headers of its answer."""

    def __init__(self, service: str, observer: CallObserver) -> None:
        super().__init__()
        self._service = service
        self._observer = observer

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        started = perf_counter()
        outcome: CallOutcome = "cancelled"
        try:
            response = await super().send(request, **options)
            outcome = "ok" if response.is_success else "failed"
        except httpx.HTTPError:
            outcome = "unanswered"
            raise
        else:
            return response
        finally:
            self._observer(self._service, request.method, outcome, perf_counter() - started)
