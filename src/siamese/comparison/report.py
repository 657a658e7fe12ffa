"""A comparison with curves and pictures, for a review: one HTML page that needs nothing else.

And the same words as Markdown, for a pull request or a job summary.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamese.base.files import new_file
from siamese.comparison.comparison import Comparison, Run
from siamese.comparison.dvc_cache import cached_folder
from siamese.comparison.provenance import all_params
from siamese.comparison.text import (
    HEADINGS,
    as_markdown,
    change_lines,
    header,
    row,
    side,
)
from siamese.comparison.words import METHOD, conclusions

TRAINING = "metrics/training.csv"
PICTURES = "data/pictures"
SIDES = ("base", "head")
COLOURS = {"base": "#6e7781", "head": "#0969da"}
_CURVES = (
    ("validation_knn", "k-NN top-1 on validation"),
    ("loss", "loss in training"),
    ("like_distance", "mean distance of like pairs"),
    ("unlike_distance", "mean distance of unlike pairs"),
)


@dataclass(frozen=True)
class Picture:
    """One picture of `data/pictures` on both sides, each a data URI or None where it is missing."""

    name: str
    base: str | None
    head: str | None


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `report.html` and `report.md`.

    Returns:
        The files written.
    """
    page, text = folder / "report.html", folder / "report.md"
    with new_file(page) as file:
        file.write_text(as_html(comparison), encoding="utf-8")
    with new_file(text) as file:
        file.write_text(
            f"### Siamese: base and head compared\n\n{as_markdown(comparison)}", "utf-8"
        )
    return [page, text]


def as_html(comparison: Comparison) -> str:
    """Return a page that holds all it shows: no script, no font and no picture from elsewhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("siamese.comparison", "."), autoescape=True, undefined=StrictUndefined
    )
    rows = [
        {
            "cells": row(compared),
            "differs": compared.differs,
            # Of a figure that one side alone has, there is no telling.
            "is_better": compared.differs and compared.is_better,
        }
        for compared in comparison.metrics
    ]
    runs = (comparison.base[0], comparison.head[0])
    curves = training_curves(comparison)
    return environment.get_template("report.html.j2").render(
        base=side(comparison.base),
        head=side(comparison.head),
        conclusions=conclusions(comparison),
        heading=HEADINGS[comparison.claim],
        method=METHOD[comparison.claim],
        header=header(),
        rows=rows,
        changes=change_lines(comparison),
        curves=_data_uri(curves, "svg+xml") if curves else None,
        pictures=pictures_of(*runs),
        missing=[
            f"{name}, {run}" for name, run in zip(SIDES, runs, strict=True) if not folder_of(run)
        ],
        params=_parameters(*runs),
    )


def training_curves(comparison: Comparison) -> bytes | None:
    """Draw the training curves of every run of both sides, as SVG.

    Returns:
        None if no run has a readable `metrics/training.csv`.
    """
    import matplotlib

    matplotlib.use("Agg")
    import pandas as pd
    from matplotlib import pyplot as plt

    histories = [
        (name, pd.read_csv(io.BytesIO(content)))
        for name, runs in zip(SIDES, (comparison.base, comparison.head), strict=True)
        for run in runs
        if (content := run.results.revision.read_all([TRAINING])[TRAINING])
    ]
    if not histories:
        return None
    figure, grid = plt.subplots(1, len(_CURVES), figsize=(13, 2.9))
    for axes, (column, title) in zip(grid, _CURVES, strict=True):
        for name, history in histories:
            if column in history:
                style = "--" if name == "base" else "-"
                axes.plot(history["epoch"], history[column], style, color=COLOURS[name], label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    handles, labels = grid[0].get_legend_handles_labels()
    by_name = dict(zip(labels, handles, strict=True))
    grid[0].legend(by_name.values(), by_name.keys())
    figure.tight_layout()
    drawn = io.BytesIO()
    # Without the date, equal curves give an equal page.
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    return drawn.getvalue()


def pictures_of(base: Run, head: Run) -> list[Picture]:
    """Return the PNGs of `data/pictures` that either side has, by name."""
    sides = [folder_of(run) for run in (base, head)]
    names = sorted({name for files in sides for name in files if name.endswith(".png")})

    def uri(files: dict[str, bytes], name: str) -> str | None:
        return _data_uri(files[name], "png") if name in files else None

    return [Picture(name, uri(sides[0], name), uri(sides[1], name)) for name in names]


def folder_of(run: Run) -> dict[str, bytes]:
    """Return the files of a run's `data/pictures`: of the workspace, or out of DVC's cache.

    Returns:
        Content by name; empty if they have not been pulled.
    """
    revision = run.results.revision
    if revision.commit is None:
        files = sorted((revision.root / PICTURES).glob("*.png"))
        return {file.name: file.read_bytes() for file in files}
    hashes = [stage.outputs[PICTURES] for stage in run.stages.values() if PICTURES in stage.outputs]
    return (cached_folder(revision.root, hashes[0]) if hashes else None) or {}


def _parameters(base: Run, head: Run) -> list[tuple[str, Any, Any]]:
    ours, theirs = all_params(base.stages), all_params(head.stages)
    names: Sequence[str] = sorted({*ours, *theirs})
    return [(name, ours.get(name, "absent"), theirs.get(name, "absent")) for name in names]


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
