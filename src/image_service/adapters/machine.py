"""The processors and the memory this process may use: of the machine, and of its control group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def available_cpus(groups: Path = _GROUPS, own: Path = _OWN_GROUP) -> float:
    """Processors this process may use, by affinity and by the control group's quota."""
    known = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return min([float(cpus), *_quotas(groups, own)])


def group_memory(groups: Path = _GROUPS, own: Path = _OWN_GROUP) -> int | None:
    """Bytes the control group may use; None where nothing limits it.

    Above `memory.high` the kernel slows the group down as it takes memory back from it: nothing
    that serves should get there.
    """
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    texts = [_text(folder / name) for folder in _folders("memory", groups, own) for name in names]
    limits = [int(text) for text in texts if text.isdigit()]
    physical = machine_memory()
    # Version 1 has a number where there is no limit.
    return min((limit for limit in limits if not physical or limit < physical), default=None)


def available_memory() -> int | None:
    """Bytes there are for this process, of the group or the machine; None where neither says."""
    return group_memory() or machine_memory()


def usual_memory(usual: int) -> int:
    """Bytes the group may use; where nothing limits it, `usual`, or what the machine has of it."""
    return group_memory() or min(usual, machine_memory() or usual)


def machine_memory() -> int | None:
    """Bytes the machine has; None where it does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    for folder in _folders("cpu", groups, own):
        version_1 = [_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for quota in (_text(folder / "cpu.max").split(), version_1):
            if len(quota) == 2 and all(part.isdigit() and int(part) for part in quota):  # noqa: PLR2004
                yield int(quota[0]) / int(quota[1])


def _folders(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """The process's own control group and those around it, of either version.

    Those around it also because a container may see its own group as the outermost, by a path
    that is the host's.
    """
    for line in _text(own).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        path = Path(name.lstrip("/"))
        if ".." not in path.parts:  # outside of what is seen here
            top = groups / controller if controllers else groups
            yield from (top / each for each in (path, *path.parents))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # no control groups, or of the other version
        return ""
