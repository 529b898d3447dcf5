"""Do the log lines on stdin hold what CloudWatch's metric filters look for?

    docker logs image-service | python tests/container/metric_filters.py UploadTime Overloaded

Exits with 1 and one line at the first of the named metrics that no line would count.
Understands as much of the pattern syntax as terraform/modules/observability uses.
"""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_METRICS: Final = (
    Path(__file__).parents[2] / "terraform" / "modules" / "observability" / "log_metrics.json"
)
_TERM: Final = re.compile(r'\$\.(\w+) (=|>|>=) ("[^"]*"|\d+)')
_OPERATORS: Final = {"=": operator.eq, ">": operator.gt, ">=": operator.ge}


def values(group: str, metric: str, lines: Iterable[str]) -> list[float]:
    """What `metric` would get from `lines` of the log group `group`, in their order.

    Raises LookupError where there is no such metric.
    """
    for counted in json.loads(_METRICS.read_text()):
        if (counted["group"], counted["metric"]) == (group, metric):
            found = [line for line in _objects(lines) if matches(counted["pattern"], line)]
            return [_value(counted["value"], line) for line in found]
    raise LookupError(f"{group} has no metric {metric}")


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Whether `pattern`, terms joined by &&, matches a JSON log line."""
    terms = _TERM.findall(pattern)
    rest = _TERM.sub("", pattern).translate(str.maketrans("", "", " (){}&"))
    if rest or not terms:
        raise ValueError(f"not understood: {pattern}")
    return all(_holds(line.get(field), sign, json.loads(wanted)) for field, sign, wanted in terms)


def _holds(value: object, sign: str, wanted: str | float) -> bool:
    # As CloudWatch has it: a text is no number, whatever it says, and true is no 1.
    alike = isinstance(value, str) if isinstance(wanted, str) else type(value) in {int, float}
    return alike and bool(_OPERATORS[sign](value, wanted))


def _objects(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            parsed = json.loads(line)
        except ValueError:  # text for a person: no filter of ours looks at it
            continue
        if isinstance(parsed, dict):
            yield parsed


def _value(expression: str, line: dict[str, Any]) -> float:
    return float(line[expression[2:]] if expression.startswith("$.") else expression)


def main() -> None:
    lines = sys.stdin.readlines()
    for metric in sys.argv[1:]:
        found = values("service", metric, lines)
        if not found:
            sys.exit(f"FAILED no log line counts for {metric}")
        print(f"ok     {metric} counts {len(found)}, at most {max(found):g}")  # noqa: T201 # as run


if __name__ == "__main__":
    main()
