"""`image-service serve` in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from tests.chaos.truth import Place
from tests.ports import free_port

from image_service.devstack import stack

COMMAND = Path(sys.executable).parent / "image-service"
_START_SECONDS = 180


def environment(place: Place, **settings: str) -> dict[str, str]:
    """Of the local stack, at `place`; `settings` by their names without prefix."""
    return {
        **os.environ,
        **stack.aws_environment(place.endpoint),
        **stack.service_environment(place.endpoint),
        **stack.WITHOUT_PROXY,
        "IMAGE_SERVICE_TABLE_NAME": place.table,
        "IMAGE_SERVICE_BUCKET": place.bucket,
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute",
        "IMAGE_SERVICE_RATE_LIMIT_REQUESTS": "100000/second",
        **{f"IMAGE_SERVICE_{name.upper()}": value for name, value in settings.items()},
    }


@dataclass
class RealServer:
    """Started and killed any number of times, on one port."""

    env: dict[str, str]
    command: Sequence[str] = (str(COMMAND),)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns once it is ready."""
        self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork takes a millisecond
            [*self.command, "serve"],
            env={**self.env, "IMAGE_SERVICE_PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        give_up = time.monotonic() + _START_SECONDS
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            while time.monotonic() < give_up and self._process.poll() is None:
                with suppress(httpx.TransportError):
                    if (await client.get("/health/ready")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise RuntimeError(f"the server did not start:\n{self.last_words()}")

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed, nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._output.close()

    def last_words(self) -> str:
        self._output.seek(0)
        return self._output.read()[-3_000:].decode(errors="replace")
