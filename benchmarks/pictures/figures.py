"""Figures of results.json and of the tables, from the responses."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, geometric_mean, median
from typing import Any

from benchmarks.pictures.engines import DEFAULT, EQUAL, SERVICE

OUTPUTS = ("main", "thumbnail")


def medians(answers: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(answer[key] for answer in answers) for key in answers[0]}


def fastest(codecs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Of each part the binding with the least median: {part: [binding, CPU ms]}, and "total"."""
    parts: dict[str, Any] = {}
    for part in codecs[0]:
        costs = {name: median(turn[part][name] for turn in codecs) for name in codecs[0][part]}
        parts[part] = {"all": costs, "fastest": min(costs, key=costs.__getitem__)}
    parts["total"] = sum(min(part["all"].values()) for part in parts.values())
    return parts


def section(
    measured: dict[str, Any], rates: dict[str, Any], scores: dict[str, Any]
) -> dict[str, Any]:
    """The section "pipeline" of results.json.

    A ratio is the geometric mean over the pictures, so that each kind counts the same; one
    named `_of_sums` weighs each by its cost. Differences are means over the pictures.
    """
    one, bound = measured["one"], measured["bound"]

    def ratio(key: str, rival: str) -> float:
        return geometric_mean(row[SERVICE][key] / row[rival][key] for row in one.values())

    def difference(metric: str, outputs: Iterable[str], rival: str) -> float:
        return fmean(
            row[SERVICE][metric][output] - row[rival][metric][output]
            for row in scores.values()
            for output in outputs
        )

    figures: dict[str, Any] = {
        "cpu_ratio_default": ratio("cpu_ms", DEFAULT),
        "cpu_ratio_equal_effort": ratio("cpu_ms", EQUAL),
        "cpu_ratio_default_median": median(
            row[SERVICE]["cpu_ms"] / row[DEFAULT]["cpu_ms"] for row in one.values()
        ),
        "cpu_ratio_default_of_sums": _sum(one, SERVICE) / _sum(one, DEFAULT),
        "bytes_ratio": ratio("main_bytes", DEFAULT),
        "thumbnail_bytes_ratio": ratio("thumbnail_bytes", DEFAULT),
        "bytes_ratio_equal_effort": ratio("main_bytes", EQUAL),
        "ssim_delta": difference("ssim", OUTPUTS, DEFAULT),
        "ssim_delta_equal_effort": difference("ssim", OUTPUTS, EQUAL),
        "codec_bound_ratio": geometric_mean(
            row[SERVICE]["cpu_ms"] / bound[picture]["total"] for picture, row in one.items()
        ),
    }
    for metric in next(iter(next(iter(scores.values())).values())):
        for output in OUTPUTS:
            figures[f"{metric}_delta_{output}"] = difference(metric, [output], DEFAULT)
    return {
        **figures,
        "pictures": _pictures(one, bound, scores),
        "pictures_per_second": rates,
        "peak_rss_mib": {name: row["peak_rss_mib"] for name, row in measured["about"].items()},
        "versions": {
            "service": measured["about"][SERVICE]["versions"],
            "sharp": measured["about"][DEFAULT]["versions"],
        },
    }


def _sum(one: dict[str, Any], engine: str) -> float:
    return sum(row[engine]["cpu_ms"] for row in one.values())


def _pictures(
    one: dict[str, Any], bound: dict[str, Any], scores: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    return {
        picture: {
            "engines": {name: {**row[name], **scores[picture][name]} for name in row},
            "codec_bound": bound[picture],
        }
        for picture, row in one.items()
    }
