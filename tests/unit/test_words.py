"""Rules for the project's words: a module's docstring names the thing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDERS = ("src", "tools", "benchmarks", "tests")
NOT_A_NAME = re.compile(
    r"(what|who|whose|whether|which|how|where|when|why|from|if|makes|collects|compares)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_module_docstring_begins_with_a_noun_phrase(folder: str, repository_root: Path):
    beginnings = {
        str(path.relative_to(repository_root)): docstring.splitlines()[0]
        for path in sorted((repository_root / folder).rglob("*.py"))
        if (docstring := ast.get_docstring(ast.parse(path.read_text())))
    }
    assert beginnings
    assert {path: line for path, line in beginnings.items() if NOT_A_NAME.match(line)} == {}


def test_the_rule_tells_a_name_from_a_clause():
    assert NOT_A_NAME.match("What an operator is told about an error.")
    assert not NOT_A_NAME.match("Whatever-is-left: a collector.")
    assert not NOT_A_NAME.match("Operator-facing diagnosis of AWS errors.")
