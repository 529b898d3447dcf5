"""Latencies of the running service on one core, before engines as far away as AWS's.

    python -m benchmarks.latency            both tables of renditions, half an hour
    python -m benchmarks.latency --smoke    seconds, to see that it works

Hypothesis: with five files a picture, one upload a second on one CPU stays below a second at P95,
and reads beside it below 50 ms. `image-service serve` and its children have one core and the
bounds of a task of one CPU and 2 GB; the engines, the proxies before them (4 ms for DynamoDB, 60
ms for S3 at the median) and the load have the others. Open load: Poisson uploads of 12 MP photos
at several rates beside 20 reads per second and a few lists, edits and deletions. Each rate has a
server and engines of its own; the tables take turns, rate by rate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import results
from benchmarks.children import cpu_of, family
from benchmarks.latency import load, report
from benchmarks.latency.engines import Engines, running_engines
from benchmarks.latency.photos import photos
from benchmarks.requests.processes import Running, cores, free_port, pinned, running
from image_service.devstack import stack, tokens
from image_service.devstack.issuer import LocalIssuer

_SERVE = "from image_service.__main__ import main; main()"
_TABLES = {"two files": "", "five files": "320,640,1280"}  # by RENDITION_WIDTHS
_USERS = 8
_FILLED = 24
_GIB = 2**30


def main() -> None:
    options = _options()
    core, others = cores()
    if core is None or others is None:
        raise SystemExit("the service needs a core of its own, and all else another")
    os.sched_setaffinity(0, set(map(int, others.split(","))))  # inherited by all but the service
    pictures = photos(1 if options.smoke else 4)
    measured: dict[str, dict[str, Any]] = {name: {} for name in options.tables}
    for rate in options.rates:
        for name in options.tables:
            measured[name][f"{rate:g}"] = _measure(name, rate, core, pictures, options)
            print(name, rate, measured[name][f"{rate:g}"], flush=True)
    print(report.tables(measured), report.carried(measured), sep="\n\n")
    if options.smoke:
        return
    results.merge({"latency": {"tables": measured, "engines": options.engines}})
    report.write(measured)


def _measure(
    table: str, rate: float, core: str, pictures: list[bytes], options: argparse.Namespace
) -> dict[str, Any]:
    seconds = options.seconds or max(90.0, options.uploads / rate if rate else 0)
    issuer = LocalIssuer.generate()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_engines(options.engines, issuer, Path(folder)) as engines,
        _service(_TABLES[table], engines, core, Path(folder)) as server,
    ):
        return asyncio.run(_put_load(server, issuer, rate, seconds, pictures))


@contextmanager
def _service(widths: str, engines: Engines, core: str, folder: Path) -> Iterator[Running]:
    port = free_port()
    environment = {
        **stack.aws_environment(engines.s3),
        **stack.service_environment(engines.s3),
        "AWS_ENDPOINT_URL_DYNAMODB": engines.dynamodb,
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "IMAGE_SERVICE_JWKS_URL": engines.jwks,
        "IMAGE_SERVICE_RENDITION_WIDTHS": widths,
        "IMAGE_SERVICE_TASK_CPUS": "1",
        "IMAGE_SERVICE_TASK_MEMORY_BYTES": str(2 * _GIB),
        "IMAGE_SERVICE_DRAIN_SECONDS": "0",
        "IMAGE_SERVICE_PORT": str(port),
    }
    command = pinned([sys.executable, "-c", _SERVE, "serve"], core)
    with running("service", command, port, environment, folder / "service.log") as server:
        yield server


async def _put_load(
    server: Running, issuer: LocalIssuer, rate: float, seconds: float, pictures: list[bytes]
) -> dict[str, Any]:
    bearers = [
        issuer.token(f"user-{number}", issuer=tokens.ISSUER, client_id=tokens.CLIENT_ID,
                     ttl_seconds=86_400)
        for number in range(_USERS)
    ]  # fmt: skip
    connector = aiohttp.TCPConnector(limit=0)
    limit = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=limit) as session:
        putting = load.Load(session, bearers, pictures)
        await putting.fill(min(_FILLED, int(seconds)))
        before, began = _cpu(server), time.monotonic()
        outcome = await putting.run({load.UPLOADS: rate, **load.BESIDE}, seconds, seed=1)
        took = time.monotonic() - began
        busy, busy_children = (
            (now - then) / took for now, then in zip(_cpu(server), before, strict=True)
        )
    return {
        "rate": rate,
        "busy": busy,
        "busy_children": busy_children,
        "seconds": seconds,
        "refused": {name: len(statuses) for name, statuses in outcome.refused.items()},
        **{name: report.percentiles(values) for name, values in outcome.seconds.items()},
    }


def _cpu(server: Running) -> tuple[float, float]:
    """Seconds of the service so far, and of its children among them."""
    ours, *children = map(cpu_of, family(server.pid))
    return ours + sum(children), sum(children)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency")
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 0.3, 1, 1.5, 2])
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=list(_TABLES))
    parser.add_argument("--uploads", type=int, default=120, help="at each rate")
    parser.add_argument("--seconds", type=float, help="of each rate, instead")
    parser.add_argument("--engines", choices=("emulator", "real"), default="emulator")
    parser.add_argument("--smoke", action="store_true", help="seconds, for breakage only")
    options = parser.parse_args()
    if options.smoke:
        options.rates, options.seconds, options.tables = [1], 4, ["five files"]
    return options


if __name__ == "__main__":
    main()
