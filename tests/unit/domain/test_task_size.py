from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from image_service import bootstrap
from image_service.adapters.machine import available_cpus, group_memory
from image_service.bootstrap import admission_limits, require_memory
from image_service.domain.task_size import bounds_for
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings, SettingsError

MIB = 2**20
QUOTA, PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"
UNLIMITED = "9223372036854771712"  # what version 1 says where there is no limit


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Control groups, and beside them which one the process is in."""
    return tmp_path / "cgroup"


def write(groups: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = groups / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("own", "files", "cpus", "memory"),
    [
        ("0::/", {"cpu.max": "25000 100000", "memory.max": "536870912"}, 0.25, 512 * MIB),
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, 9, None),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000", "a/b/memory.max": "max"}, 0.5, None),
        ("0::/a/b", {"a/cpu.max": "50000 100000", "a/memory.max": "1048576"}, 0.5, MIB),
        ("0::/a", {"a/memory.max": "2097152", "memory.max": "1048576"}, 9, MIB),
        ("0::/", {"memory.max": "max", "memory.high": "1048576"}, 9, MIB),
        ("0::/", {"memory.max": "2097152", "memory.high": "1048576"}, 9, MIB),
        ("0::/", {"memory.max": "1048576", "memory.high": "2097152"}, 9, MIB),
        ("0::/a", {"a/memory.max": "2097152", "memory.high": "1048576"}, 9, MIB),
        ("0::/", {"memory.max": "max", "memory.high": "max"}, 9, None),
        ("0::/../a", {"cpu.max": "25000 100000"}, 9, None),
        ("4:memory:/x", {"memory/memory.limit_in_bytes": "1048576"}, 9, MIB),
        ("4:memory:/x", {"memory/memory.limit_in_bytes": UNLIMITED}, 9, None),
        (
            "1:cpu:/",
            {QUOTA: "50000", PERIOD: "100000"},
            0.5,
            None,
        ),
        ("1:cpu:/", {QUOTA: "-1", PERIOD: "100000"}, 9, None),
        ("4:memory:/a/b", {"memory/a/memory.limit_in_bytes": "1048576"}, 9, MIB),
        ("3:cpu,cpuacct:/a", {f"cpu/a/{QUOTA[4:]}": "5", f"cpu/a/{PERIOD[4:]}": "10"}, 0.5, None),
        ("4:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "1048576"}, 9, MIB),
        ("0::/a..b", {"a..b/memory.max": "1048576"}, 9, MIB),
        ("0::/a:b", {"a:b/memory.max": "1048576"}, 9, MIB),
        ("", {}, 9, None),
    ],
)
def test_the_size_is_read_from_control_groups(
    groups: Path, own: str, files: dict[str, str], cpus: float, memory: int | None,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    write(groups, files)
    write(groups.parent, {"own": own})
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(9), raising=False)
    assert available_cpus(groups, groups.parent / "own") == cpus
    assert group_memory(groups, groups.parent / "own") == memory


def test_without_control_groups_it_is_the_machine_s(groups: Path):
    assert available_cpus(groups, groups / "own") >= 1
    assert group_memory(groups, groups / "own") is None


ROW = re.compile(
    r"^\| ([\d.]+) vCPU, (\d+) (MB|GB) \| (\d+) \| (\d+) MiB \| (\d+) MiB \| (\d+) \|", re.MULTILINE
)


def test_the_table_of_the_docs_is_what_a_task_derives(repository_root: Path):
    rows = ROW.findall((repository_root / "docs/scaling.md").read_text())
    assert len(rows) == 4
    for cpus, size, unit, workers, upload, decode, uploads in rows:
        memory = int(size) * MIB * (1024 if unit == "GB" else 1)
        bounds = bounds_for(float(cpus), memory)
        assert (bounds.workers, bounds.uploads) == (int(workers), int(uploads))
        assert (bounds.upload_bytes, bounds.decode_bytes) == (
            int(upload) * MIB,
            int(decode) * MIB,
        )


def test_more_memory_never_takes_less():
    sizes = [bounds_for(64, memory * MIB) for memory in range(256, 8192, 64)]
    for name in ("workers", "uploads", "upload_bytes", "decode_bytes"):
        values = [getattr(size, name) for size in sizes]
        assert values == sorted(values)


@pytest.mark.parametrize(
    ("memory", "workers"), [(256, 1), (512, 2), (1024, 2), (2048, 13), (4096, 29)]
)
def test_a_large_machine_starts_no_more_children_than_the_memory_holds(memory: int, workers: int):
    bounds = bounds_for(64, memory * MIB)
    assert bounds.workers == workers
    assert bounds.waiting_bytes == workers * 4 * 1024 * MIB
    if memory >= 512:
        pictures = bounds.upload_bytes + bounds.decode_bytes
        peak = 1.2 * (140e6 + 45e6 * workers + pictures)
        assert peak < 1.02 * memory * MIB


def limits(**changes: Any):
    required = {
        "stage": "test",
        "table_name": "test",
        "bucket": "test",
        "cdn_base_url": "https://localhost",
        "cognito_issuer": "https://localhost",
        "cognito_client_ids": frozenset({"c"}),
    }
    return admission_limits(Settings(**required, **changes), TimeLimits(queue_timeout=3))


def test_what_is_set_is_not_derived():
    size = {"task_cpus": 0.25, "task_memory_bytes": 1024 * MIB}
    derived = limits(**size)
    assert (derived.workers, derived.uploads, derived.waiting_bytes) == (1, 64, 1024 * MIB)
    assert (derived.upload_bytes, derived.decode_bytes) == (128 * MIB, 512 * MIB)
    assert derived.max_wait == 3
    named = {
        "worker_threads": 3,
        "max_uploads": 7,
        "upload_memory_bytes": 20 * MIB,
        "decode_memory_bytes": 97 * MIB,
        "user_share": 0.1,
    }
    said = limits(**size, **named)
    assert (said.workers, said.uploads, said.upload_bytes) == (3, 7, 20 * MIB)
    assert (said.decode_bytes, said.user_share) == (97 * MIB, 0.1)


@pytest.mark.parametrize("mib", [None, 256])
def test_enough_memory(mib: int | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "available_memory", lambda: mib and mib * MIB)
    require_memory()


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "available_memory", lambda: 256 * MIB - 1)
    with pytest.raises(
        SettingsError, match=r"have 255 MiB, at least 256 are needed: give .* 512 or more"
    ):
        require_memory()


def test_one_upload_always_fits():
    one = 100 * MIB
    assert limits(task_memory_bytes=512 * MIB, max_file_bytes=one).upload_bytes > one


def test_as_many_may_wait_as_workers_are_named():
    assert limits(worker_threads=3).waiting_bytes == 12 * 1024 * MIB
