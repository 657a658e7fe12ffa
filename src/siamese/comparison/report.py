"""The report of a review: a comparison with curves and pictures, as one HTML page, and as Markdown.

The page needs nothing else, no network either; the Markdown is for a pull request or a job summary.
"""

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from siamese.base.files import new_file
from siamese.comparison.change_sections import Section, as_lines, change_sections, stale_sections
from siamese.comparison.compare import Comparison
from siamese.comparison.conclusions import METHOD, conclusions
from siamese.comparison.provenance import all_params
from siamese.comparison.result_files import parsed
from siamese.comparison.revisions import Revision, prefix_of
from siamese.comparison.runs import Run
from siamese.comparison.text_formats import HEADER, HEADINGS, as_markdown, row, side

TRAINING = "metrics/training.csv"
SIDES = ("base", "head")
COLOURS = {"base": "#6e7781", "head": "#0969da"}
_CURVES = (
    ("validation_knn", "k-NN top-1 on validation"),
    ("loss", "loss in training"),
    ("like_distance", "mean distance of like pairs"),
    ("unlike_distance", "mean distance of unlike pairs"),
)


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `report.html` and `report.md`.

    Returns:
        The files written.
    """
    page, text = folder / "report.html", folder / "report.md"
    markdown = f"### Siamese: base and head compared\n\n{as_markdown(comparison)}"
    for target, content in ((page, as_html(comparison)), (text, markdown)):
        with new_file(target) as file:
            # Names of files need not be UTF-8.
            file.write_text(content, encoding="utf-8", errors="backslashreplace")
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
            # A figure that only one side has is neither better nor worse.
            "is_better": compared.differs and compared.is_better,
        }
        for compared in comparison.metrics
    ]
    runs = (comparison.base[0], comparison.head[0])
    files = [pictures_of(run) for run in runs]
    ours, theirs = (all_params(run.stages) for run in runs)
    sections, stale = change_sections(comparison), stale_sections(comparison)
    curves = training_curves(comparison)
    return environment.get_template("report.html.j2").render(
        base=side(comparison.base),
        head=side(comparison.head),
        conclusions=conclusions(comparison),
        heading=HEADINGS[comparison.claim],
        method=METHOD[comparison.claim],
        header=HEADER,
        rows=rows,
        careful=_folded(stale),
        changes=_folded(sections),
        curves=_data_uri(curves, "svg+xml") if curves else None,
        pictures=[
            (name, [_data_uri(own[name], "png") if name in own else None for own in files])
            for name in sorted({*files[0], *files[1]})
        ],
        missing=[
            f"{name}, {run}" for name, run, own in zip(SIDES, runs, files, strict=True) if not own
        ],
        params=[
            (name, ours.get(name, "absent"), theirs.get(name, "absent"))
            for name in sorted({*ours, *theirs})
        ],
    )


def _folded(sections: Sequence[Section]) -> tuple[list[str], list[Section]]:
    """Return the lines that a page shows, and the sections that it folds away."""
    short = as_lines([section for section in sections if not section.is_long])
    return short, [section for section in sections if section.is_long]


def training_curves(comparison: Comparison) -> bytes | None:
    """Draw the training curves of every run of both sides, as SVG.

    Returns:
        None if no run has a `metrics/training.csv`.

    Raises:
        InputError: one cannot be read.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    histories = [
        (name, parsed(run.revision, TRAINING, _history))
        for name, runs in zip(SIDES, (comparison.base, comparison.head), strict=True)
        for run in runs
        if run.revision.read_all([TRAINING])[TRAINING]
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


def _history(content: bytes) -> Any:
    """Return the columns of a `metrics/training.csv` that are drawn, as a pandas table."""
    import pandas as pd

    table = pd.read_csv(io.BytesIO(content))
    drawn = [column for column, _ in _CURVES if column in table]
    return table[["epoch", *drawn]].astype(float)


def pictures_of(run: Run) -> dict[str, bytes]:
    """Return the PNG files that a run's stages wrote: of the workspace, or from DVC's cache.

    Returns:
        Content by file name; empty if they have not been pulled.
    """
    revision = run.revision
    outputs = [path for stage in run.stages.values() for path in stage.outputs]
    if revision.commit:
        return _stored_pictures(revision, outputs)
    paths = [revision.root / path for path in outputs]
    files = [file for path in paths for file in (path, *sorted(path.glob("*.png")))]
    return {f.name: f.read_bytes() for f in files if f.suffix == ".png" and f.is_file()}


def _stored_pictures(revision: Revision, outputs: Sequence[str]) -> dict[str, bytes]:
    """Read pictures of an earlier revision through DVC, from its cache alone."""
    from dvc.api import DVCFileSystem

    # No remote: a report should not wait for a network. `subrepos` is for a project in a folder of
    # its repository; there DVC asks the remote all the same.
    storage = DVCFileSystem(
        str(revision.root), rev=revision.commit, subrepos=True, config={"core": {"remote": ""}}
    )
    prefix = prefix_of(revision.root)
    found = {}
    for path in outputs:
        # DVC reports what it lacks by exceptions of many kinds, some of them not public.
        with suppress(Exception):
            for name in storage.find(prefix + path):
                if name.endswith(".png"):
                    found[PurePosixPath(name).name] = storage.cat_file(name)
    return found


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
