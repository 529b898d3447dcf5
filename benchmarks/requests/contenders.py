"""The servers of a run, started together so that they can take turns."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.requests import servers
from benchmarks.requests.operations import Operation
from benchmarks.requests.processes import Running

RIVAL, RIVAL_WITH_TOKENS, SERVICE = "rival", "rival, tokens cached", "service"


@dataclass(frozen=True)
class Contender:
    """One server in both its forms: without Redis, and with it."""

    name: str
    plain: Running
    with_redis: Running

    def for_(self, operation: Operation) -> Running:
        return self.with_redis if operation.cached else self.plain


@contextmanager
def contenders(behind: servers.Backends, options: argparse.Namespace) -> Iterator[list[Contender]]:
    """The rival first: the others are compared with it."""
    with ExitStack() as stack:
        yield [
            *([] if options.without_rival else _rivals(stack, behind)),
            *_services(stack, behind, options),
        ]


def _rivals(stack: ExitStack, behind: servers.Backends) -> Iterator[Contender]:
    for name, settings in ((RIVAL, {}), (RIVAL_WITH_TOKENS, {"CACHE_TOKENS": "1"})):
        plain, with_redis = (
            stack.enter_context(
                servers.rival(_form(name, cached), behind, cached=cached, settings=settings)
            )
            for cached in (False, True)
        )
        yield Contender(name, plain, with_redis)


def _services(
    stack: ExitStack, behind: servers.Backends, options: argparse.Namespace
) -> Iterator[Contender]:
    sources = {SERVICE: options.source}
    for also in options.also:
        name, _, source = also.partition("=")
        sources[name] = Path(source)
    for name, source in sources.items():
        plain, with_redis = (
            stack.enter_context(
                servers.service(
                    _form(name, cached),
                    behind,
                    cached=cached,
                    source=source,
                    python=options.python,
                )
            )
            for cached in (False, True)
        )
        yield Contender(name, plain, with_redis)


def _form(name: str, cached: bool) -> str:  # noqa: FBT001  # private, and read at a glance
    return f"{name.replace(', ', '-')}{'+redis' if cached else ''}"
