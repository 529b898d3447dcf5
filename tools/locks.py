"""Check of the lock files against what the locked distributions ask for.

    python -m tools.locks requirements/dev.txt ...

pip takes a pin without an extra for another requirement than the same name with it, and then
looks at the newest release, which has no hash. That fails on the day there is a newer one. So
each requirement of each distribution must be pinned, with all the extras that are asked for.
The environment that runs this must hold what the lock names: that is where it reads it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import product
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
# The extras of the project that a lock is made with; locks of other tools have none.
EXTRAS = {
    "runtime": set[str](),
    "local": {"local"},
    "dev": {"local", "dev"},
    "integration": {"local", "dev", "integration"},
}
_SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
)
_VERSIONS = ("3.11", "3.12", "3.13")

_HERE = {name: str(value) for name, value in default_environment().items()}
Environment = Mapping[str, str]
Held = Mapping[str, tuple[str, Sequence[Requirement]]]


def environments() -> Iterator[Environment]:
    for system, version in product(_SYSTEMS, _VERSIONS):
        own = {"python_version": version, "python_full_version": f"{version}.0"}
        yield {**_HERE, **system, **own}


def findings(text: str, roots: Iterable[Requirement], site: list[str]) -> list[str]:
    """Returns what is wrong with the lock `text`, beside distributions in the folders `site`."""
    pins = list(parsed(text))
    errors = [f"{pin} has no hash" for pin, hashed in pins if not hashed]
    errors += [f"{pin} is not pinned by ==" for pin, _ in pins if not _exact(pin)]
    here = held(site)
    errors += _not_here((pin for pin, _ in pins), here)
    for environment in environments():
        pinned = {_name(pin): pin for pin, _ in pins if _applies(pin, {""}, environment)}
        for owner, wanted in asked(pinned, roots, here, environment):
            errors += _missing(owner, wanted, pinned.get(_name(wanted)))
    return sorted(set(errors))


def parsed(text: str) -> Iterator[tuple[Requirement, bool]]:
    """Each pin of a lock, and whether it has a hash."""
    for entry in text.replace("\\\n", " ").splitlines():
        if entry and not entry.startswith(("#", " ")):
            pin, *hashes = entry.split(" --hash=")
            yield Requirement(pin), bool(hashes)


def held(site: list[str]) -> Held:
    """The version and the requirements of each distribution in `site`."""
    return {
        canonicalize_name(found.name): (found.version, list(map(Requirement, found.requires or ())))
        for found in metadata.distributions(path=site)
    }


def asked(
    pinned: Mapping[str, Requirement], roots: Iterable[Requirement], here: Held, at: Environment
) -> Iterator[tuple[str, Requirement]]:
    """Each requirement that applies, with the name of who has it."""
    yield from (("the project", root) for root in roots if _applies(root, {""}, at))
    for name, pin in pinned.items():
        for wanted in here[name][1] if name in here else ():
            if _applies(wanted, pin.extras | {""}, at):
                yield name, wanted


def _not_here(pins: Iterable[Requirement], here: Held) -> Iterator[str]:
    """Pins that the environment doesn't hold, and so can't be looked at."""
    for pin in pins:
        version = here[_name(pin)][0] if _name(pin) in here else ""
        if _applies(pin, {""}, _HERE) and version not in pin.specifier:
            yield f"{pin.name}{pin.specifier} is not installed here: run `make setup`"


def _missing(owner: str, wanted: Requirement, pin: Requirement | None) -> Iterator[str]:
    if pin is None:
        yield f"{owner} asks for {wanted.name}, which is not pinned: run `make lock UPGRADE=`"
        return
    for extra in sorted(wanted.extras - pin.extras):
        yield f"{owner} asks for {wanted.name}[{extra}]; the pin is {pin}"
    if not all(wanted.specifier.contains(spec.version, prereleases=True) for spec in pin.specifier):
        yield f"{owner} asks for {wanted}; the pin is {pin}"


def _exact(pin: Requirement) -> bool:
    return [spec.operator for spec in pin.specifier] == ["=="]


def _applies(requirement: Requirement, extras: Iterable[str], environment: Environment) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": e}) for e in extras)


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def roots_of(lock: Path) -> list[Requirement]:
    """Returns what a lock is made from: the project's requirements, or the .in file beside it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if lock.stem in EXTRAS:
        optional = project["project"]["optional-dependencies"]
        lines = [*project["project"]["dependencies"]]
        lines += [line for extra in EXTRAS[lock.stem] for line in optional[extra]]
    else:
        source = lock.with_suffix(".in").read_text().splitlines()
        lines = [line for entry in source if (line := entry.split("#")[0].strip())]
        lines += project["build-system"]["requires"] if lock.stem == "build" else []
    return [Requirement(line) for line in lines]


def check(locks: Iterable[str], site: list[str]) -> None:
    """Ends the process with a line for each error, if there is one."""
    errors = [
        f"{lock}: {error}"
        for lock in locks
        for error in findings((ROOT / lock).read_text(), roots_of(ROOT / lock), site)
    ]
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    check(sys.argv[1:], sys.path)
