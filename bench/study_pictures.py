"""The study as two pictures for the README."""

import csv
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

INK, GRID = "#333333", "#dddddd"
COLOURS = ("#c44e52", "#4c72b0", "#55a868")
KNOBS: dict[str, dict[str, float]] = {
    "margin": {"margin-0.5": 0.5, "default": 1.0, "margin-1.4": 1.4},
    "images per batch": {"images-128": 128, "default": 256, "images-512": 512},
}
COURSES = {"all-pairs": "J", "like-weight": "J, like term x 0.1", "power-1": "not squared (p = 1)"}


def draw_knobs(runs: list[dict[str, Any]], file: Path) -> None:
    """Draw accuracy on validation against margin and batch size, of the runs of one seed."""
    found = {run["contestant"]: run for run in runs if run["split"] == "validation"}
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (name, points) in zip(axes, KNOBS.items(), strict=True):
        for key, label, colour in (
            ("validation_top1_k20", "k = 20", COLOURS[1]),
            ("validation_top1_k1", "k = 1", COLOURS[2]),
        ):
            heights = [100 * found[contestant][key] for contestant in points]
            axis.plot(list(points.values()), heights, "o-", color=colour, label=label)
            for x, y in zip(points.values(), heights, strict=True):
                axis.annotate(
                    f"{y:.1f}", (x, y), (0, 5), textcoords="offset points", ha="center", fontsize=8
                )
        axis.set_xlabel(name)
        axis.set_xticks(list(points.values()))
        axis.margins(0.15, 0.25)
        _tidy(axis)
    axes[0].set_ylabel("k-NN top-1 on validation, %")
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=120)


def draw_forces(runs: list[dict[str, Any]], file: Path) -> None:
    """Draw how far apart like and unlike pairs are, and how hard each kind pulls, by epoch."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, label), colour in zip(COURSES.items(), COLOURS, strict=True):
        run = next(
            run for run in runs if run["contestant"] == name and run["split"] == "validation"
        )
        rows = list(csv.DictReader(run["course"]))
        epochs = [int(row["epoch"]) for row in rows]
        left.plot(epochs, [float(row["unlike_distance"]) for row in rows], color=colour)
        left.plot(epochs, [float(row["like_distance"]) for row in rows], "--", color=colour)
        ratio = [float(row["pull"]) / float(row["push"]) for row in rows]
        right.plot(epochs, ratio, "o-", color=colour, label=label)
    left.set_ylabel("mean distance")
    left.set_title("unlike (solid) and like pairs (dashed)", fontsize=9, color=INK)
    right.set_title("pull of like pairs / push of unlike pairs", fontsize=9, color=INK)
    right.axhline(1, color=INK, linewidth=0.8)
    right.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.set_xticks(epochs)
        axis.set_ylim(bottom=0)
        _tidy(axis)
    figure.savefig(file, dpi=120)


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, colors=INK)
