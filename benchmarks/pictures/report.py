"""The tables and plots of the pictures in docs/benchmarks.md."""

from __future__ import annotations

from math import isnan
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks import documents
from benchmarks.pictures.engines import DEFAULT, EQUAL, PILLOW, SERVICE, THUMBOR

_NAMES = (SERVICE, DEFAULT, EQUAL, PILLOW, THUMBOR)
_PARTS = ("decode", "main", "thumbnail")
_COLOURS = ("#2a6f97", "#bc4749", "#e09f3e", "#9a9a9a", "#c9ada7")


def write(section: dict[str, Any]) -> None:
    text = "\n\n".join(
        [
            documents.conditions() + " " + _versions(section),
            _summary(section),
            "![CPU time a picture](benchmarks-pictures.svg)",
            "CPU milliseconds a picture, all threads:",
            _costs(section),
            "Quality against a reference no engine made, and bytes:",
            _qualities(section),
            "The codecs alone, each with the fastest binding found:",
            _bounds(section),
            "Pictures per second over the whole corpus, and the most memory an engine took:",
            _rates(section),
        ]
    )
    documents.replace_block("pictures", text)
    _plot(section)


def _versions(section: dict[str, Any]) -> str:
    return " ".join(
        f"{engine.capitalize()}: {', '.join(f'{part} {version}' for part, version in row.items())}."
        for engine, row in section["versions"].items()
    )


def _summary(section: dict[str, Any]) -> str:
    rows = [
        ("CPU, of sharp at its default effort", "cpu_ratio_default", "at most 0.50"),
        ("the same, of the sums over all pictures", "cpu_ratio_default_of_sums", ""),
        ("the same, of the middle picture", "cpu_ratio_default_median", ""),
        ("CPU, of sharp at equal effort", "cpu_ratio_equal_effort", "below 0.85"),
        ("CPU, of the codecs alone", "codec_bound_ratio", "at most 1.15"),
        ("bytes of the main picture", "bytes_ratio", "at most 1.02"),
        ("bytes of the thumbnail", "thumbnail_bytes_ratio", "at most 1.02"),
        ("SSIM, both outputs", "ssim_delta", "at least -0.001"),
        ("SSIM, main picture", "ssim_delta_main", ""),
        ("SSIM, thumbnail", "ssim_delta_thumbnail", ""),
        ("SSIMULACRA2, main picture", "ssimulacra2_delta_main", ""),
        ("SSIMULACRA2, thumbnail", "ssimulacra2_delta_thumbnail", ""),
    ]
    return documents.table(
        ("the service beside sharp as the original design uses it", "measured", "goal"),
        [(name, _number(section[key], 4), goal) for name, key, goal in rows if key in section],
    )


def _costs(section: dict[str, Any]) -> str:
    rows = []
    for picture, row in section["pictures"].items():
        costs = {name: row["engines"][name]["cpu_ms"] for name in _NAMES}
        ratios = (costs[SERVICE] / costs[rival] for rival in (DEFAULT, EQUAL))
        rows.append((picture, *(f"{cost:.0f}" for cost in costs.values()),
                     *(f"{ratio:.2f}" for ratio in ratios)))  # fmt: skip
    return documents.table(("picture", *_NAMES, "of default", "of equal"), rows)


def _qualities(section: dict[str, Any]) -> str:
    head = ("picture", *(f"{name}: {what}" for name in ("service", "sharp")
                         for what in ("SSIM", "SSIMULACRA2", "KB")))  # fmt: skip
    rows = []
    for picture, row in section["pictures"].items():
        cells = [picture]
        for name in (SERVICE, DEFAULT):
            engine = row["engines"][name]
            for metric, digits in (("ssim", 4), ("ssimulacra2", 1)):
                scores = engine.get(metric, {"main": float("nan"), "thumbnail": float("nan")})
                cells.append(" / ".join(_number(score, digits) for score in scores.values()))
            cells.append(
                f"{engine['main_bytes'] / 1e3:.0f} / {engine['thumbnail_bytes'] / 1e3:.0f}"
            )
        rows.append(cells)
    return "Main picture / thumbnail.\n\n" + documents.table(head, rows)


def _bounds(section: dict[str, Any]) -> str:
    rows = []
    for picture, row in section["pictures"].items():
        bound = row["codec_bound"]
        parts = (
            f"{min(bound[part]['all'].values()):.0f} ({bound[part]['fastest']})" for part in _PARTS
        )
        ratio = row["engines"][SERVICE]["cpu_ms"] / bound["total"]
        rows.append((picture, *parts, f"{bound['total']:.0f}", f"{ratio:.2f}"))
    return documents.table(("picture", *_PARTS, "sum", "service / sum"), rows)


def _rates(section: dict[str, Any]) -> str:
    rows = []
    for name in _NAMES:
        rates = section["pictures_per_second"][name].values()
        memory = section["peak_rss_mib"][name]
        rows.append((name, *(f"{rate:.2f}" for rate in rates), f"{memory:.0f}"))
    return documents.table(("engine", "one at a time", "as many as cores", "peak RSS, MiB"), rows)


def _number(value: float, digits: int) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"


def _plot(section: dict[str, Any]) -> None:
    """Small and the same for the same figures: no date, no random ids."""
    mpl.rcParams |= {"svg.hashsalt": "pictures", "svg.fonttype": "none"}
    pictures = list(section["pictures"])
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(pictures) + 1.2))
    height = 0.8 / len(_NAMES)
    for order, (name, colour) in enumerate(zip(_NAMES, _COLOURS, strict=True)):
        costs = [section["pictures"][picture]["engines"][name]["cpu_ms"] for picture in pictures]
        places = [place + order * height for place in range(len(pictures))]
        axes.barh(places, costs, height, label=name, color=colour)
    axes.set_yticks([place + 0.3 for place in range(len(pictures))], pictures, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("CPU ms a picture")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(documents.folder() / "benchmarks-pictures.svg", metadata={"Date": None})
    plt.close(figure)
