"""docs/benchmarks.md: the tables in it are written by the benchmarks, the prose by people.

A table stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. A trial run, whose
results go elsewhere (see results.py), puts its tables and plots beside those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import results

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def folder() -> Path:
    """Where documents and plots of this run go."""
    path = results.path()
    return _DOCUMENT.parent if path == results.RESULTS else path.parent


def replace_block(name: str, text: str) -> None:
    """Put `text` between the markers of `name`; raises RuntimeError where there are none."""
    document = folder() / _DOCUMENT.name
    old = (document if document.exists() else _DOCUMENT).read_text()
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not block.search(old):
        raise RuntimeError(f"{_DOCUMENT.name} has no place for {name}")
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(block.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", old))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def conditions() -> str:
    """One line: when and on what."""
    machine = results.machine()
    return (
        f"Measured {results.now()} on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}."
    )
