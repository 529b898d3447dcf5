"""Rules of the house: sizes, and the words of docstrings, comments and identifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import house


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('"""What an operator is told."""', [house.unnamed, house.words]),
        ('"""Whatever-is-left: a collector."""', []),
        ('"""Operator-facing diagnosis of AWS errors."""', []),
        ('"""Errors."""\n\n\ndef f():\n    """Returns 5 requests a second."""', [house.words]),
        ('"""Errors."""\n# The image is gone.', [house.words]),
        ('"""Errors."""\n\n\ndef f():\n    """Whether it is."""', [house.undescribed]),
        ('"""Errors."""\nX = "The image is gone."  # text stays', []),
        ('"""Errors."""\nLAST_ANSWERS = answerPhone = 1', [house.names]),
        ('"""Errors."""\nlog.error("x", faults=1)', []),
        ('"""Errors."""\nclass FieldFault: ...', []),
        ('"""Errors."""\n' + "x = 1\n" * 350, [house.too_long]),
    ],
)
def test_a_file_that_breaks_a_rule_is_named(tmp_path: Path, code: str, found: list[object]):
    path = tmp_path / "module.py"
    path.write_text(code)
    rules = (house.too_long, house.unnamed, house.undescribed, house.words, house.names)
    assert [rule for rule in rules if list(rule(path))] == found


def test_a_module_is_a_name_too(tmp_path: Path):
    path = tmp_path / "aws_faults.py"
    path.touch()
    assert [found.line for found in house.names(path)] == [0]


def test_a_folder_has_few_modules(tmp_path: Path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).touch()
    assert [found.text for found in house.too_many(tmp_path, 1)] == [
        "has 2 modules; the limit is 1"
    ]
    assert list(house.too_many(tmp_path, 2)) == []
