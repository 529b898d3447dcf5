"""The tables and plots of the pictures in docs/benchmarks.md."""

from __future__ import annotations

from math import isnan
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks import documents
from benchmarks.pictures.engines import (
    CLONES,
    DEFAULT,
    EQUAL,
    EQUAL_CLONES,
    EQUAL_PIPELINES,
    PILLOW,
    PIPELINES,
    SERVICE,
    THUMBOR,
    TWO_FILES,
)
from benchmarks.pictures.figures import OUTPUTS, least

_COLOURS = {
    SERVICE: "#2a6f97",
    TWO_FILES: "#8fb8d0",
    CLONES: "#bc4749",
    PIPELINES: "#d98a8b",
    EQUAL_CLONES: "#e09f3e",
    EQUAL_PIPELINES: "#f0c98c",
    PILLOW: "#9a9a9a",
    THUMBOR: "#c9ada7",
}


def write(section: dict[str, Any]) -> None:
    text = "\n\n".join(
        [
            documents.conditions() + " " + _versions(section),
            _summary(section),
            "![CPU time a picture](benchmarks-pictures.svg)",
            "CPU milliseconds a picture, all threads:",
            _costs(section),
            "Each file beside sharp's at default effort: bytes as a ratio, scores as what is more:",
            _files(section),
            "SSIM against a reference no engine made, and KB; service / sharp:",
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
    goals = {
        "cpu_ratio_default": ("CPU, of the better way of sharp, default effort", "at most 0.45"),
        "cpu_ratio_default_of_sums": ("the same, of the sums over all pictures", ""),
        "cpu_ratio_default_median": ("the same, of the middle picture", ""),
        "cpu_ratio_equal_effort": ("CPU, of the better way of sharp, equal effort", "at most 0.75"),
        "cpu_ratio_two_files": ("CPU, of two files (no widths)", "at most 1.50"),
        "codec_bound_ratio": ("CPU, of the codecs alone", "at most 1.15"),
        "bytes_ratio": ("bytes of all files", "at most 1.02"),
    }
    rows = [(name, _number(section[key], 4), goal) for key, (name, goal) in goals.items()]
    return documents.table(("all files of a picture", "measured", "goal"), rows)


def _files(section: dict[str, Any]) -> str:
    metrics = {
        "bytes": "bytes_ratio_by_file",
        "SSIM": "ssim_delta_by_file",
        "SSIMULACRA2": "ssimulacra2_delta_by_file",
    }
    there = {name: section[key] for name, key in metrics.items() if key in section}
    rows = [(name, *(_number(row[name], 4) for row in there.values())) for name in OUTPUTS]
    return documents.table(("file", *there), rows)


def _costs(section: dict[str, Any]) -> str:
    rows = []
    for picture, row in section["pictures"].items():
        engines = row["engines"]
        ours = engines[SERVICE]["cpu_ms"]
        ratios = (ours / least(engines, rivals) for rivals in (DEFAULT, EQUAL))
        costs = (f"{engines[name]['cpu_ms']:.0f}" for name in _COLOURS)
        rows.append((picture, *costs, *(f"{ratio:.2f}" for ratio in ratios)))
    return documents.table(("picture", *_COLOURS, "of default", "of equal"), rows)


def _qualities(section: dict[str, Any]) -> str:
    """SSIM and bytes of each file, the service's and sharp's."""
    rows = []
    for picture, row in section["pictures"].items():
        ours, theirs = row["engines"][SERVICE], row["engines"][PIPELINES]
        cells = [
            f"{ours['ssim'][name]:.4f} / {theirs['ssim'][name]:.4f}, "
            f"{ours['bytes'][name] / 1e3:.0f} / {theirs['bytes'][name] / 1e3:.0f}"
            if name in ours["ssim"]
            else ""
            for name in OUTPUTS
        ]
        rows.append((picture, *cells))
    return documents.table(("picture", *OUTPUTS), rows)


def _bounds(section: dict[str, Any]) -> str:
    parts = ("decode", *OUTPUTS)
    rows = []
    for picture, row in section["pictures"].items():
        bound = row["codec_bound"]
        cells = (
            f"{min(bound[part]['all'].values()):.0f} ({bound[part]['fastest']})"
            if part in bound
            else ""
            for part in parts
        )
        ratio = row["engines"][SERVICE]["cpu_ms"] / bound["total"]
        rows.append((picture, *cells, f"{bound['total']:.0f}", f"{ratio:.2f}"))
    return documents.table(("picture", *parts, "sum", "service / sum"), rows)


def _rates(section: dict[str, Any]) -> str:
    rows = []
    for name in _COLOURS:
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
    figure, axes = plt.subplots(figsize=(9, 0.6 * len(pictures) + 1.2))
    height = 0.8 / len(_COLOURS)
    for order, (name, colour) in enumerate(_COLOURS.items()):
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
