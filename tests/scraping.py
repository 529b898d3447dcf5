"""A Prometheus' view of the metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from image_service.api.dependencies import state_of
from image_service.server import operations_port as operations
from image_service.telemetry.telemetry import Telemetry

Series = tuple[str, frozenset[tuple[str, str]]]


class Samples:
    """One scrape; `samples("name", label="value")` is a series' value, 0 where there is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: Mapping[Series, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @classmethod
    def of(cls, telemetry: Telemetry) -> Self:
        return cls(telemetry.render("")[0].decode())

    def __call__(self, name: str, **labels: str) -> float:
        return self.values.get((f"image_service_{name}", frozenset(labels.items())), 0.0)


class Scraper:
    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self) -> Samples:
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(self.url)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        return Samples(response.text)


@asynccontextmanager
async def operations_port(app: FastAPI) -> AsyncIterator[Scraper]:
    """The real port of an app that runs in process."""
    listener = operations.listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with operations.serving(state_of(app).telemetry, listener):
        yield Scraper(f"http://127.0.0.1:{port}/metrics")
