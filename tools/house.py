"""Checker of the house's rules: the sizes of rooms and files, and the words.

    python -m tools.house    exits with 1 and names each place (`make lint`)

Words are looked for in docstrings, comments and identifiers. Texts and names of arguments are left
alone: the names of log events, fields, metrics and stored items stay as they are.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = Path("src/image_service")
FOLDERS: Final = (SOURCE, Path("tools"))
# Of these only the modules' docstrings are looked at.
MORE_FOLDERS: Final = (Path("benchmarks"), Path("tests"))

MAX_ROOT_MODULES: Final = 7
MAX_MODULES: Final = 22
MAX_LINES: Final = 350

# What not to write, by what to write.
WORDS: Final = {
    "response, respond": r"answer(s|ed|ing)?",
    "error": r"fault(s|y)?",
    "fix, repair": r"mend(s|ed|ing)?",
    "report, record, say": r"(tell|tells|told)",
    "CDN invalidation": r"(?-i:edges)",  # `OUTBOX#EDGES#` is stored
    "per": r"(requests|uploads|bytes|images|tokens|times|[kMG]i?B) an? (second|minute|hour|day)",
    "must": r"(?<!there )(is|are) (not )?to",
    "deleted": r"gone",
    "unavailable": r"(to|can|can't|could|couldn't|not) be had",
    "dead letter": r"set aside",
    "queue": r"lanes?",
    "most expensive": r"dearest",
    "estimate": r"reckon\w*",
    "again": r"anew",
}
NAMES: Final = {
    "response": {"answer", "answers", "answered"},
    "error": {"fault", "faults"},
    "repair": {"mend", "mends", "mended"},
    "report": {"told"},
    "invalidation": {"edges"},
    "deleted": {"gone"},
    "null, no-op": {"nobody"},
    "dead letter": {"aside"},
    "queue": {"lane", "lanes"},
    "options": {"care"},
    "most expensive": {"dearest"},
    "estimated": {"reckoned"},
    "again": {"anew"},
}
# Names that clients, dashboards and queries read.
PUBLIC: Final = {
    "FieldFault": "a schema of the OpenAPI document",
    "SET_ASIDE": "a kind in the log line of reconcile",
    "outbox_set_aside": "a metric",
}
_CLAUSE = re.compile(
    r"(what|who|whose|whether|which|how|where|when|why|from|if|makes|collects|compares)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"(what|who|whose|whether|how|when|why)\b", re.IGNORECASE)
_WORDS = {better: re.compile(rf"\b({word})\b", re.IGNORECASE) for better, word in WORDS.items()}
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class Finding(NamedTuple):
    path: Path
    line: int
    text: str


def findings(root: Path = ROOT) -> Iterator[Finding]:
    for folder in sorted({path.parent for path in (root / SOURCE).rglob("*.py")}):
        yield from too_many(folder, MAX_ROOT_MODULES if folder == root / SOURCE else MAX_MODULES)
    for path in _modules(root, (*FOLDERS, *MORE_FOLDERS)):
        yield from unnamed(path)
    for path in _modules(root, FOLDERS):
        yield from too_long(path)
        yield from undescribed(path)
        yield from words(path)
        yield from names(path)


def _modules(root: Path, folders: tuple[Path, ...]) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((root / folder).rglob("*.py")))


def too_many(folder: Path, limit: int) -> Iterator[Finding]:
    count = len(list(folder.glob("*.py")))
    if count > limit:
        yield Finding(folder, 0, f"has {count} modules; the limit is {limit}")


def too_long(path: Path) -> Iterator[Finding]:
    count = len(path.read_text().splitlines())
    if count > MAX_LINES:
        yield Finding(path, 0, f"has {count} lines; the limit is {MAX_LINES}")


def unnamed(path: Path) -> Iterator[Finding]:
    """A module whose docstring begins with a clause instead of a noun phrase."""
    if _CLAUSE.match(ast.get_docstring(ast.parse(path.read_text())) or ""):
        yield Finding(path, 1, "begin the docstring with a noun phrase that names the module")


def undescribed(path: Path) -> Iterator[Finding]:
    """Functions whose docstring begins with a clause instead of a verb."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and _QUESTION.match(ast.get_docstring(node) or ""):
            yield Finding(path, node.lineno, f"begin with a verb, or 'Returns': {node.name}")


def words(path: Path) -> Iterator[Finding]:
    for line, prose in _prose(path.read_text()):
        for better, word in _WORDS.items():
            if found := word.search(prose):
                yield Finding(path, line, f"write {better!r}, not {found[0]!r}")


def names(path: Path) -> Iterator[Finding]:
    """The module's own and those in it, by the words they are made of."""
    for line, name in [(0, path.stem), *_identifiers(path.read_text())]:
        parts = {part.lower() for part in _PARTS.findall(name)}
        for better, unwanted in NAMES.items():
            if parts & unwanted and name not in PUBLIC:
                yield Finding(path, line, f"name it {better!r}: {name}")


def _identifiers(text: str) -> Iterator[tuple[int, str]]:
    """Those in it, but for the names of arguments: `name=` without a blank."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, following in pairwise(tokens):
        is_argument = following.string == "=" and following.start == token.end
        if token.type == tokenize.NAME and not is_argument:
            yield token.start[0], token.string


def _prose(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and (docstring := ast.get_docstring(node)):
            yield node.body[0].lineno, docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def main() -> int:
    found = [f"{path.relative_to(ROOT)}:{line}: {text}\n" for path, line, text in findings()]
    sys.stderr.writelines(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
