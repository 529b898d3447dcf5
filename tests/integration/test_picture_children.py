"""The outcome of a picture whose child process fails, and of everybody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests import pictures
from tests.contract.test_image_processor import cpu_ticks
from tests.golden.comparing import run
from tests.unit.services.test_uploads import Parts

from image_service.domain.errors import ImageTooComplex, Overloaded, ProcessingFailed
from image_service.domain.renditions import RENDITIONS
from image_service.pictures import heap, worker_child
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor
from image_service.pictures.worker_child import COMMAND, ChildNotStarted, WorkerChild

SMALL = pictures.jpeg(300, 200)


def new_processor(
    command: tuple[str, ...] = COMMAND, threads: int = 1, timeout: float = 200, **limits: float
) -> VipsProcessor:
    """With time enough for a busy machine, where a test is not about it."""
    return VipsProcessor(
        limits=PictureLimits(timeout=timeout, **limits),
        worker_threads=threads,
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
    return (await run(processor, data)).main.width


@pytest.fixture
async def processor() -> AsyncIterator[VipsProcessor]:
    processor = new_processor()
    yield processor
    processor.close()


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set as a child is given a picture."""
    event, loop, ask = asyncio.Event(), asyncio.get_running_loop(), WorkerChild.ask

    def told(child: WorkerChild, head: Any, body: bytes) -> Any:
        loop.call_soon_threadsafe(event.set)
        return ask(child, head, body)

    monkeypatch.setattr(WorkerChild, "ask", told)
    return event


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


@pytest.mark.slow
async def test_a_picture_that_took_all_its_time_costs_the_next_none(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        "import resource, time\n"
        "from image_service.pictures import child, pipeline\n"
        "process = pipeline.process\n"
        "def burn(end):\n"
        "    while time.process_time() < end: pass\n"
        "def acting(data, source, options, steps):\n"
        "    made = process(data, source, options, steps)\n"
        "    if source.width > 400:\n"
        "        burn(resource.getrlimit(resource.RLIMIT_CPU)[0] - 0.5)\n"
        "    return made\n"
        "pipeline.process = acting\n"
        "child.give_back = lambda: burn(time.process_time() + 1.5)\n"
        "child.main()\n"
    )
    processor = new_processor((sys.executable, str(program)), cpu_seconds=3)
    assert await process(processor, pictures.jpeg(500, 300)) == 500
    pid = only_child(processor)
    assert await process(processor) == 300
    assert only_child(processor) == pid
    processor.close()


MALFORMED = {
    "no head": ("{}", ProcessingFailed),
    "no pictures": ('{"cpuSeconds": 1, "steps": []}', ProcessingFailed),
    "a word for a number": ('{"cpuSeconds": "much"}', ProcessingFailed),
    "steps of nothing": ('{"cpuSeconds": 1, "pictures": [], "steps": [1]}', ProcessingFailed),
    "a list": ("[]", ImageTooComplex),
    "nested lists": ("[" * 200_000, ImageTooComplex),
}


@pytest.mark.parametrize("message", MALFORMED)
async def test_a_malformed_response_costs_one_picture(tmp_path: Path, message: str) -> None:
    head, error = MALFORMED[message]
    raw = f"struct.pack('!II', {len(head)}, 0) + {head[:60]!r}.ljust({len(head)}, '[').encode()"
    action = f"import struct; os.write(4, {raw}); time.sleep(60)"
    processor = new_processor(acting(tmp_path, action))
    async with asyncio.timeout(60):
        with pytest.raises(error):
            await process(processor, pictures.jpeg(500, 300))
    assert await process(processor) == 300
    processor.close()


async def test_a_child_that_ended_while_idle_costs_no_picture(processor: VipsProcessor) -> None:
    await process(processor)
    for _ in range(3):
        child = only_child(processor)
        os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert await process(processor) == 300


async def test_pictures_cancelled_while_they_wait_cost_no_child(
    processor: VipsProcessor, asked: asyncio.Event
) -> None:
    await process(processor)
    asked.clear()
    child = only_child(processor)
    os.kill(child, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(process(processor, pictures.jpeg(500, 300)))
        await asked.wait()
        waiting = [group.create_task(process(processor)) for _ in range(20)]
        await asyncio.sleep(0.3)  # so that most of them wait
        for each in waiting:
            each.cancel()
        os.kill(child, signal.SIGCONT)
    assert await slow == 500
    assert only_child(processor) == child


async def test_a_child_lost_by_cancelling_is_charged(tmp_path: Path, asked: asyncio.Event) -> None:
    """Not as the moment that the picture took, but with what a new child costs."""
    processor = new_processor(acting(tmp_path, "time.sleep(60)"))
    await process(processor)
    asked.clear()
    data, spent = pictures.jpeg(500, 300), []
    source = await processor.inspect(data)
    task = asyncio.create_task(processor.process(data, source, RENDITIONS, spent.append))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spent[0] >= 2
    processor.close()


async def test_a_picture_cancelled_as_it_is_answered_costs_its_own_child(
    processor: VipsProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill arrives between the response and the next picture."""
    await process(processor)
    child = only_child(processor)
    loop = asyncio.get_running_loop()
    ask = WorkerChild.ask

    def cancelled_meanwhile(asked: WorkerChild, head: Any, body: bytes) -> Any:
        answer = ask(asked, head, body)
        loop.call_soon_threadsafe(task.cancel)
        os.waitid(os.P_PID, asked.pid, os.WEXITED | os.WNOWAIT)
        return answer

    monkeypatch.setattr(WorkerChild, "ask", cancelled_meanwhile)
    task = asyncio.create_task(process(processor))
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    assert await process(processor) == 300
    assert only_child(processor) != child


async def test_a_picture_that_took_its_time_is_refused_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of CPU it had half of what it may have, which says that the machine had it to give."""
    busy = "end = time.process_time() + 1.1\n        while time.process_time() < end: pass"
    slow = acting(tmp_path, busy + "\n        time.sleep(200)")
    processor = new_processor(slow, cpu_seconds=2, timeout=1)
    await process(processor)
    child, ticks = only_child(processor), os.sysconf("SC_CLK_TCK")
    burnt = cpu_ticks(child) + 1.05 * ticks  # ticks are rounded

    class Once(threading.Timer):
        """Counts from when the child has had its CPU, as on a machine that is not busy."""

        def run(self) -> None:
            while self.interval == 1 and cpu_ticks(child) < burnt:
                time.sleep(0.02)
            super().run()

    monkeypatch.setattr(threading, "Timer", Once)
    data, spent = pictures.jpeg(500, 300), []
    source = await processor.inspect(data)
    with pytest.raises(ImageTooComplex, match=r"s to process, 1\.\d s of them processor") as e:
        await processor.process(data, source, RENDITIONS, spent.append)
    assert e.value.details["limit"] == {"seconds": 1}
    assert e.value.details["measured"]["seconds"] >= 1
    assert spent[0] >= 2
    processor.close()


async def test_a_picture_that_got_no_cpu_is_not_blamed_at_the_deadline() -> None:
    """Its child is stopped, as on a machine that has no time for it."""
    processor = new_processor(timeout=0.5)
    await processor.start()
    os.kill(only_child(processor), signal.SIGSTOP)
    spent: list[float] = []
    source = await processor.inspect(SMALL)
    with pytest.raises(Overloaded) as e:
        await processor.process(SMALL, source, RENDITIONS, spent.append)
    assert e.value.retry_after > 0
    assert 0 < sum(spent) < 1  # counts as one upload, as any does
    processor.close()


async def test_however_often_it_is_cancelled_a_picture_waits_for_its_child(
    processor: VipsProcessor, monkeypatch: pytest.MonkeyPatch, asked: asyncio.Event
) -> None:
    """Its memory counts until the child that holds it is gone."""
    await process(processor)
    parts = Parts()
    parts.service._processor = processor
    [child] = processor._children
    os.kill(child.pid, signal.SIGSTOP)
    asked.clear()
    kill = WorkerChild.kill

    def late(child: WorkerChild) -> None:
        threading.Timer(0.3, kill, [child]).start()

    monkeypatch.setattr(WorkerChild, "kill", late)
    task = asyncio.create_task(parts.upload("key", data=SMALL))
    await asked.wait()
    while parts.service._admission._workers.total:
        task.cancel()
        await asyncio.sleep(0.01)
    assert child.has_ended()
    with pytest.raises(asyncio.CancelledError):
        await task
    await parts.service.aclose()
    assert (parts.table.intents, parts.table.answers) == ({}, {})


async def test_an_idle_child_gives_memory_back(tmp_path: Path) -> None:
    """Which glibc by itself keeps: 156 MiB in small pieces, beneath one that stays in use."""
    keep = (
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "        pieces = [libc.malloc(2**16) for _ in range(2_500)]\n"
        "        for each in pieces: ctypes.memset(ctypes.c_void_p(each), 1, 2**16)\n"
        "        for each in pieces[:-1]: libc.free(ctypes.c_void_p(each))"
    )
    processor = new_processor(acting(tmp_path, keep))
    assert await process(processor, pictures.jpeg(4000, 3000)) == 2048
    child = only_child(processor)
    await asyncio.wait_for(asyncio.to_thread(wait_until_small, child), 60)
    assert await process(processor) == 300
    assert only_child(processor) == child
    processor.close()


def wait_until_small(pid: int) -> None:
    statm = Path(f"/proc/{pid}/statm")
    while int(statm.read_text().split()[1]) * resource.getpagesize() > heap.KEPT:
        time.sleep(0.05)


async def test_without_a_thread_for_a_child_the_start_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a container may have no more processes: the first does not wait for a second."""
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if thread.name == "picture_1":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    processor = new_processor(threads=2)
    async with asyncio.timeout(60):
        with pytest.raises(ChildNotStarted, match="can't start new thread"):
            await processor.start()
    processor.close()


async def test_a_child_that_is_never_ready_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_child, "START_SECONDS", 0.5)
    processor = new_processor(("/bin/sh", "-c", "exec sleep 60"))
    async with asyncio.timeout(60):
        with pytest.raises(ChildNotStarted, match=r"not ready within 0\.5 s"):
            await processor.start()
    processor.close()


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
    await gone(child)


async def gone(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("hide", ["hide_from_children()", "confine(os.getppid())"])
async def test_the_server_and_its_children_hide_from_children(hide: str) -> None:
    """What the kernel calls dumpable: others of the same user may read memory and environment."""
    program = (
        "import ctypes, os\n"
        "from image_service.pictures.confinement import confine, hide_from_children\n"
        "print(ctypes.CDLL(None).prctl(3))\n"
        f"{hide}\n"
        "print(ctypes.CDLL(None).prctl(3))\n"
    )
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await asked.communicate()
    assert answer.split() == [b"1", b"0"]
