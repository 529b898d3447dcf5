"""Figures of results.json and of the tables, from the responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

from benchmarks.pictures.engines import DEFAULT, EQUAL, PIPELINES, SERVICE, TWO_FILES
from image_service.domain.renditions import RENDITIONS

OUTPUTS = tuple(spec.name for spec in RENDITIONS)

Engines = dict[str, dict[str, Any]]  # of one picture, by name


def medians(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the times; the bytes are the same each time."""
    times = {key: median(each[key] for each in answers) for key in ("cpu_ms", "wall_ms")}
    return {**times, "bytes": answers[0]["bytes"]}


def fastest(codecs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Of each part the binding with the least median: {part: {"all": …, "fastest": …}, "total"}."""
    parts: dict[str, Any] = {}
    for part in codecs[0]:
        costs = {name: median(turn[part][name] for turn in codecs) for name in codecs[0][part]}
        parts[part] = {"all": costs, "fastest": min(costs, key=costs.__getitem__)}
    parts["total"] = sum(min(part["all"].values()) for part in parts.values())
    return parts


def least(row: Engines, rivals: Sequence[str]) -> float:
    """CPU of whichever of the rivals takes less for this picture."""
    return min(float(row[rival]["cpu_ms"]) for rival in rivals)


def section(
    measured: dict[str, Any], rates: dict[str, Any], scores: dict[str, Any]
) -> dict[str, Any]:
    """The section "pipeline" of results.json."""
    one, bound = measured["one"], measured["bound"]
    return {
        **_costs(one, bound),
        **_bytes(list(one.values())),
        **_likeness(list(scores.values())),
        "pictures": _pictures(one, bound, scores),
        "pictures_per_second": rates,
        "peak_rss_mib": {name: row["peak_rss_mib"] for name, row in measured["about"].items()},
        "versions": {
            "service": measured["about"][SERVICE]["versions"],
            "sharp": measured["about"][PIPELINES]["versions"],
        },
    }


def _costs(one: dict[str, Engines], bound: dict[str, Any]) -> dict[str, float]:
    """Ratios: geometric means over the pictures, so that each kind counts the same.

    One named `_of_sums` weighs each by its cost.
    """

    def ratio(cost: Callable[[Engines], float]) -> float:
        return geometric_mean(row[SERVICE]["cpu_ms"] / cost(row) for row in one.values())

    ours = sum(row[SERVICE]["cpu_ms"] for row in one.values())
    return {
        "cpu_ratio_default": ratio(lambda row: least(row, DEFAULT)),
        "cpu_ratio_equal_effort": ratio(lambda row: least(row, EQUAL)),
        "cpu_ratio_default_median": median(
            row[SERVICE]["cpu_ms"] / least(row, DEFAULT) for row in one.values()
        ),
        "cpu_ratio_default_of_sums": ours / sum(least(row, DEFAULT) for row in one.values()),
        "cpu_ratio_two_files": ratio(lambda row: float(row[TWO_FILES]["cpu_ms"])),
        "codec_bound_ratio": geometric_mean(
            row[SERVICE]["cpu_ms"] / bound[picture]["total"] for picture, row in one.items()
        ),
        **{
            f"cpu_ratio_{rival}": ratio(lambda row, rival=rival: float(row[rival]["cpu_ms"]))
            for rival in (*DEFAULT, *EQUAL)
        },
    }


def _bytes(rows: list[Engines]) -> dict[str, Any]:
    def ratio(of: Callable[[dict[str, int]], int], among: Iterable[Engines]) -> float:
        return geometric_mean(
            of(row[SERVICE]["bytes"]) / of(row[PIPELINES]["bytes"]) for row in among
        )

    return {
        "bytes_ratio": ratio(lambda made: sum(made.values()), rows),
        "bytes_ratio_by_file": {
            name: ratio(lambda made, name=name: made[name], _with(name, rows, "bytes"))
            for name in OUTPUTS
        },
    }


def _likeness(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Differences from sharp at its default effort: means over the pictures, by file."""
    metrics = next(iter(rows))[SERVICE]
    return {
        f"{metric}_delta_by_file": {
            name: fmean(
                row[SERVICE][metric][name] - row[PIPELINES][metric][name]
                for row in _with(name, rows, metric)
            )
            for name in OUTPUTS
        }
        for metric in metrics
    }


def _with(name: str, rows: list[Engines], key: str) -> list[Engines]:
    """Those pictures that are wide enough for that file."""
    return [row for row in rows if name in row[SERVICE][key]]


def _pictures(
    one: dict[str, Engines], bound: dict[str, Any], scores: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    return {
        picture: {
            "engines": {name: {**row[name], **scores[picture].get(name, {})} for name in row},
            "codec_bound": bound[picture],
        }
        for picture, row in one.items()
    }
