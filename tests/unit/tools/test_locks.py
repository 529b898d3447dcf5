"""The check of the lock files, over locks with and without faults."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from tools import locks

HASH = " \\\n    --hash=sha256:00\n    # via nobody\n"


@pytest.fixture
def site(tmp_path):
    """A plugin that asks for an extra of a library, and that library."""
    write(tmp_path, "plugin", "2.0", "library[fast]>=1.5", 'backport>=1; python_version < "3.12"')
    write(tmp_path, "library", "1.7", 'wheels>=3; extra == "fast"', 'never; extra == "slow"')
    write(tmp_path, "wheels", "3.1")
    write(tmp_path, "backport", "1.0")
    return [str(tmp_path)]


def write(folder, name, version, *requires):
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (folder / f"{name}-{version}.dist-info").mkdir()
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text("\n".join(lines) + "\n")


GOOD = ("plugin==2.0", "library[fast]==1.7", "wheels==3.1", "backport==1.0")


@pytest.mark.parametrize(
    ("pins", "found"),
    [
        (GOOD, []),
        (
            ("plugin==2.0", "library==1.7", "wheels==3.1", "backport==1.0"),
            ["plugin asks for library[fast]; the pin is library==1.7"],
        ),
        (
            ("plugin==2.0", "library[fast]==1.7", "backport==1.0"),
            ["library asks for wheels, which is not pinned"],
        ),
        (
            # Also on another Python than the one that runs this.
            (*GOOD[:3], 'backport==1.0 ; python_full_version < "3.11"'),
            ["plugin asks for backport, which is not pinned"],
        ),
        (("plugin==2.0", *GOOD[2:]), ["plugin asks for library, which is not pinned"]),
        ((*GOOD[1:],), ["the project asks for plugin, which is not pinned"]),
        ((*GOOD, "absent==1.0"), ["absent==1.0 is not installed here"]),
        ((*GOOD[:3], "backport>=1.0"), ["backport>=1.0 is not pinned by =="]),
    ],
)
def test_each_requirement_must_be_pinned_with_its_extras(site, pins, found):
    faults = locks.findings(HASH.join((*pins, "")), [Requirement("plugin")], site)
    assert [fault.partition(": run")[0] for fault in faults] == found


def test_a_pin_must_fit_what_asks_for_it(site):
    faults = locks.findings(HASH.join((*GOOD, "")), [Requirement("plugin>=2.1")], site)
    assert faults == ["the project asks for plugin>=2.1; the pin is plugin==2.0"]


def test_a_pin_needs_a_hash(site):
    assert "wheels==3.1 has no hash" in locks.findings("wheels==3.1\n", [], site)


@pytest.mark.parametrize("lock", ["runtime", "local", "dev"])
def test_the_locks_hold_what_the_project_asks_for(lock):
    """The environment of the tests holds what these name."""
    path = locks.ROOT / f"requirements/{lock}.txt"
    site = [str(entry.locate_file("")) for entry in [metadata.distribution("pytest")]]
    assert locks.findings(path.read_text(), locks.roots_of(path), site) == []


def test_what_the_build_needs_is_pinned():
    path = locks.ROOT / "requirements/build.txt"
    pinned = {requirement.name for requirement, _ in locks.parsed(path.read_text())}
    assert {wanted.name for wanted in locks.roots_of(path)} <= pinned
    assert "hatchling" in pinned
