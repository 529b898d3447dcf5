"""Puts every question of the dashboard and of the alert rules to a running Prometheus.

    python docker/observability/check.py http://127.0.0.1:9091 [--minutes 15] [--allow-empty]

Says for each query how many series it had in that time, and the last value of the first. Exits
with 1 if Prometheus refuses one, if a query of the dashboard found nothing, or if a rule can't
be evaluated. Of the queries for hits and for would-be hits one half is empty, unless Redis was
on for a part of the time; what counts failures is empty until something has failed.

Needs nothing but the standard library.
"""
# ruff: noqa: INP001, T201 - a script, and it prints

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_DASHBOARD: Final = Path(__file__).parent / "grafana" / "dashboards" / "image-service.json"
_STEP_SECONDS: Final = 15
# What Grafana makes of it for a scrape every 15 s.
_RATE_INTERVAL: Final = "60s"
_TIMEOUT_SECONDS: Final = 30


def queries() -> Iterator[tuple[str, str]]:
    """Title of the panel and PromQL, variables filled in, in the order of the dashboard."""
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", _RATE_INTERVAL)


def ask(prometheus: str, path: str, **parameters: Any) -> Any:
    """The `data` of an answer of the HTTP API. Raises ValueError with what Prometheus says."""
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise ValueError(json.load(refused)["error"]) from refused


def series(prometheus: str, query: str, minutes: float) -> list[dict[str, Any]]:
    """The series that have a number (0/0 is none) at any time of the last `minutes`."""
    now = time.time()
    found = ask(
        prometheus,
        "query_range",
        query=query,
        start=now - minutes * 60,
        end=now,
        step=_STEP_SECONDS,
    )["result"]
    for one in found:
        one["values"] = [value for _, value in one["values"] if value != "NaN"]
    return [one for one in found if one["values"]]


def check_dashboard(prometheus: str, minutes: float, *, allow_empty: bool) -> int:
    """Prints a line a query; the number of those that are wrong."""
    wrong = 0
    for title, query in queries():
        try:
            found = series(prometheus, query, minutes)
        except ValueError as refused:
            wrong += 1
            print(f"REFUSED {title}: {refused}\n        {query}")
            continue
        wrong += not found and not allow_empty
        last = f"{float(found[0]['values'][-1]):.4g}" if found else ""
        short = re.sub(r"\s+", " ", query)
        print(f"{len(found) or 'EMPTY':>7} {last:>9}  {title}: {short[:100]}")
    return wrong


def check_rules(prometheus: str) -> int:
    """Prints a line a rule; the number of those that can't be evaluated, or 1 without any."""
    rules = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        print(f"{rule['health']:>7} {rule['state']:>9}  {rule['name']} {rule.get('lastError', '')}")
    return sum(rule["health"] != "ok" for rule in rules) if rules else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("prometheus", help="such as http://127.0.0.1:9091")
    parser.add_argument("--minutes", type=float, default=15, help="how far back to look")
    parser.add_argument("--allow-empty", action="store_true", help="soon after a start")
    options = parser.parse_args()
    wrong = check_dashboard(
        options.prometheus, options.minutes, allow_empty=options.allow_empty
    ) + check_rules(options.prometheus)
    print(f"{wrong} wrong" if wrong else "all is well")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
