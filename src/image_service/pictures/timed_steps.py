"""Processing steps that report their time."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

from image_service.pictures.steps import Steps
from image_service.telemetry.observers import StepObserver

P = ParamSpec("P")
T = TypeVar("T")


class TimedSteps(Steps):
    """Tells `observer` of each step, by the name of its function."""

    def __init__(self, timeout: float, observer: StepObserver) -> None:
        super().__init__(timeout)
        self._observer = observer

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = perf_counter()
        try:
            return super().run(step, *args, **kwargs)
        finally:
            self._observer.stepped(step.__name__, perf_counter() - started)
