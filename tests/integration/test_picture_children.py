"""The outcome of a picture whose child process fails, and of everybody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import pictures

from image_service.domain.errors import ImageTooComplex, Overloaded
from image_service.pictures.limits import EncodingOptions, PictureLimits
from image_service.pictures.processor import VipsProcessor
from image_service.pictures.worker_child import COMMAND, ChildNotStarted

SMALL = pictures.jpeg(300, 200)


def new_processor(command: tuple[str, ...] = COMMAND, **limits: int) -> VipsProcessor:
    return VipsProcessor(
        limits=PictureLimits(**limits),
        options=EncodingOptions(),
        worker_threads=1,
        command=command,
    )


def acting(tmp_path: Path, action: str) -> tuple[str, ...]:
    """A child like the real one, but `action` comes before each picture wider than 400."""
    program = tmp_path / "child.py"
    program.write_text(
        "import ctypes, os, resource, signal, sys, time\n"
        "from image_service.pictures import child, pipeline\n"
        "process = pipeline.process\n"
        "def acting(data, source, options, steps):\n"
        "    if source.width > 400:\n"
        f"        {action}\n"
        "    return process(data, source, options, steps)\n"
        "pipeline.process = acting\n"
        "child.main()\n"
    )
    return sys.executable, str(program)


async def process(processor: VipsProcessor, data: bytes = SMALL) -> int:
    return (await processor.process(data, await processor.inspect(data))).main.width


@pytest.fixture
async def processor() -> AsyncIterator[VipsProcessor]:
    processor = new_processor()
    yield processor
    processor.close()


def only_child(processor: VipsProcessor) -> int:
    [child] = processor._children
    return child.pid


FAILURES = {
    "killed from outside": ("os.kill(os.getpid(), signal.SIGKILL)", "decoder fail", {}),
    "a crash": ("ctypes.string_at(0)", "decoder fail", {}),
    "an abort": ("os.abort()", "decoder fail", {}),
    "an exit": ("os._exit(0)", "decoder fail", {}),
    "nonsense": ("os.write(responses, b'?' * 100)", "decoder fail", {}),
    "an endless loop": ("while True: pass", "2 s of processor time", {"cpuSeconds": 2}),
    "memory": ("bytes(2**31)", "MiB of memory", {"memoryBytes": None}),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failing_child_costs_one_picture(tmp_path: Path, failure: str) -> None:
    action, message, limit = FAILURES[failure]
    # The last two descriptors a child opens are those of its messages.
    action = action.replace("responses", "4")
    processor = new_processor(acting(tmp_path, action), cpu_seconds=2)
    assert await process(processor) == 300
    for _ in range(2):
        with pytest.raises(ImageTooComplex, match=message) as refusal:
            await process(processor, pictures.jpeg(500, 300))
        for name, value in limit.items():
            measured = refusal.value.details["measured"][name]
            assert measured == refusal.value.details["limit"][name]
            assert value in (None, measured)
        assert await process(processor) == 300
    assert processor.is_live()
    processor.close()


async def test_a_child_is_reused_and_its_cpu_limit_is_each_pictures_own(tmp_path: Path) -> None:
    """Three pictures of a second each, in a child that gives two seconds to each."""
    busy = "end = time.process_time() + 1\n        while time.process_time() < end: pass"
    processor = new_processor(acting(tmp_path, busy), cpu_seconds=3)
    await process(processor)
    pid = only_child(processor)
    for _ in range(4):
        assert await process(processor, pictures.jpeg(500, 300)) == 500
    assert only_child(processor) == pid
    processor.close()


async def test_a_child_killed_while_idle_costs_the_next_picture_alone(
    processor: VipsProcessor,
) -> None:
    await process(processor)
    os.kill(only_child(processor), signal.SIGKILL)
    with pytest.raises(ImageTooComplex):
        await process(processor)
    assert await process(processor) == 300


async def test_without_children_uploads_are_refused_and_the_process_is_not_live() -> None:
    processor = new_processor(("/nonexistent",))
    with pytest.raises(ChildNotStarted, match="No such file"):
        await processor.start()
    for _ in range(3):
        with pytest.raises(Overloaded):
            await process(processor)
    assert not processor.is_live()
    processor._command = COMMAND
    assert await process(processor) == 300
    assert processor.is_live()
    processor.close()


async def test_a_child_that_fails_its_self_test_says_why(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        "from image_service.pictures import child\n"
        "def failing():\n    raise RuntimeError('libvips loads GIF')\n"
        "child.check_vips = failing\nchild.main()\n"
    )
    processor = new_processor((sys.executable, str(program)))
    with pytest.raises(ChildNotStarted, match="libvips loads GIF"):
        await processor.start()
    processor.close()


async def test_what_a_child_has_of_the_server(
    processor: VipsProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("IMAGE_SERVICE_REDIS_URL", "redis://:secret@host")
    inherited, kept_open = os.pipe()
    os.set_inheritable(inherited, True)
    await process(processor)
    proc = Path(f"/proc/{only_child(processor)}")
    assert b"secret" not in (proc / "environ").read_bytes()
    assert len(list((proc / "fd").iterdir())) <= 6
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    limits = (proc / "limits").read_text()
    assert "Max open files            16" in limits
    assert "Max file size             0" in limits
    assert "Max core file size        0" in limits
    assert os.getsid(only_child(processor)) != os.getsid(0)
    os.kill(only_child(processor), signal.SIGTERM)  # not while the server drains
    assert await process(processor) == 300
    os.close(inherited)
    os.close(kept_open)


async def test_children_die_with_the_server() -> None:
    program = (
        "import asyncio, time\n"
        "from tests.integration.test_picture_children import *\n"
        "async def main():\n"
        "    processor = new_processor()\n"
        "    await process(processor)\n"
        "    print(only_child(processor), flush=True)\n"
        "    time.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    child = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    await asyncio.wait_for(gone(child), 20)


async def gone(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.05)


async def test_the_server_hides_from_its_children() -> None:
    """What the kernel calls dumpable: others of the same user may read memory and environment."""
    program = (
        "import ctypes\n"
        "from image_service.pictures.confinement import hide_from_children\n"
        "print(ctypes.CDLL(None).prctl(3))\n"
        "hide_from_children()\n"
        "print(ctypes.CDLL(None).prctl(3))\n"
    )
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await asked.communicate()
    assert answer.split() == [b"1", b"0"]
