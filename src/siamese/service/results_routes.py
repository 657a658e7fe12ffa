"""Routes of the page's part "results": figures, pictures, curves, experiments, comparisons.

What a project does not have is no error: the answer then is `missing` alone, a sentence.
"""

import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.responses import FileResponse

from siamese.base.errors import InputError
from siamese.comparison.change_sections import as_lines, change_sections, stale_sections
from siamese.comparison.compare import Comparison, compare
from siamese.comparison.conclusions import METHOD, conclusions
from siamese.comparison.curves import read_curves
from siamese.comparison.experiment_table import experiment_rows
from siamese.comparison.results import read_results
from siamese.comparison.revisions import WORKSPACE, find_revisions
from siamese.comparison.text_formats import HEADER, HEADINGS, row, side
from siamese.evaluation.figures import find_figure
from siamese.repository.git import run_git
from siamese.service.errors import Refused
from siamese.service.missing import or_missing, sentence
from siamese.service.shared import TheSettings

router = APIRouter(prefix="/results")
T = TypeVar("T")
PICTURES = {
    "training": "data/training.png",
    **{
        name: f"data/pictures/{name}.png"
        for name in ("confusion", "neighbours", "mistakes", "verification")
    },
    "near_duplicates": "data/duplicates/near_duplicates.png",
}
# A name of a revision or an experiment, or a pattern of names. It begins like no option, and has no
# colon, which would name a file of a revision, or search all messages.
REVISION = re.compile(r"[\w.@*?\[][\w.@*?\[\]^~{}/+=! -]*")
LONGEST = 200
# Of the time that a request has: it is to end with a sentence of its own.
SHARE_OF_TIMEOUT = 0.9
_comparing = Lock()


@router.get("")
def results(settings: TheSettings) -> dict[str, Any]:
    """Return the figures beside the floors with their intervals, as `siamese show` has them.

    A picture's `stamp` changes when it is drawn anew.
    """
    workspace = settings.workspace
    pictures = [
        {"name": name, "stamp": str((workspace / file).stat().st_mtime_ns)}
        for name, file in PICTURES.items()
        if (workspace / file).is_file()
    ]
    figures = or_missing(settings, lambda: asdict(read_results(workspace)))
    return {**figures, "pictures": pictures}


@router.get("/pictures/{name}.png")
def picture(name: str, settings: TheSettings) -> FileResponse:
    """Return a picture that the pipeline has drawn."""
    file = settings.workspace / PICTURES[name] if name in PICTURES else None
    if file is None or not file.is_file():
        raise Refused(404, f"no picture of this name; there are {', '.join(PICTURES)}")
    # Drawn anew by the pipeline under the same name: ask each time whether it has changed.
    return FileResponse(file, media_type="image/png", headers={"Cache-Control": "no-cache"})


@router.get("/training")
def training(settings: TheSettings) -> dict[str, Any]:
    """Return training's record, one list a column, and the best epoch."""
    return or_missing(settings, lambda: asdict(read_curves(settings.workspace)))


@router.get("/experiments")
def experiments(settings: TheSettings) -> dict[str, Any]:
    """Return the experiments that began at this commit, as `siamese experiments` has them."""

    def table() -> dict[str, Any]:
        _check_repository(settings.workspace)
        columns, *rows = experiment_rows(settings.workspace)
        return {
            "columns": columns,
            "rows": [
                {"name": name.strip(), "is_baseline": name == name.strip(), "cells": cells}
                for name, *cells in rows
            ],
        }

    return or_missing(settings, table)


@router.get("/compare")
def compared(settings: TheSettings, base: str, head: str = WORKSPACE) -> dict[str, Any]:
    """Tell whether two revisions differ, as `siamese compare` does; one question at a time.

    Several runs of a side are separated by commas.
    """
    workspace = settings.workspace
    for names in (base, head):
        parts = [part.strip() for part in names.split(",")]
        if len(names) > LONGEST or not all(map(REVISION.fullmatch, parts)):
            raise Refused(
                422, "expected a revision or an experiment, or several separated by commas"
            )

    def answer() -> dict[str, Any]:
        _check_repository(workspace)
        sides = [find_revisions(names, workspace) for names in (base, head)]
        return _comparison_json(compare(*sides))

    try:
        return _alone_within(SHARE_OF_TIMEOUT * settings.timeout, answer)
    except InputError as error:
        raise Refused(422, sentence(error, settings)) from None


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "base": side(comparison.base),
        "head": side(comparison.head),
        "careful": as_lines(stale_sections(comparison)),
        "changes": as_lines(change_sections(comparison)),
        "heading": HEADINGS[comparison.claim],
        "columns": HEADER,
        "rows": [
            {
                "label": figure.label if (figure := find_figure(one.metric)) else one.metric,
                "cells": row(one),
                "differs": one.differs,
                "is_better": one.differs and one.is_better,
            }
            for one in comparison.metrics
        ],
        "conclusions": conclusions(comparison),
        "method": METHOD[comparison.claim],
    }


def _alone_within(seconds: float, work: Callable[[], T]) -> T:
    """Return what a function returns, unless it is at work already or takes too long.

    It cannot be stopped: while it goes on, others are refused.
    """
    if not _comparing.acquire(blocking=False):
        raise Refused(429, "another comparison is at work; ask again in a moment")
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            _comparing.release()

    # A daemon: the service need not wait for it to end.
    Thread(target=run, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        raise Refused(
            503, f"no answer within {seconds:.0f} seconds; `siamese compare` has no limit"
        ) from None


def _check_repository(workspace: Path) -> None:
    if run_git(workspace, "rev-parse", "--git-dir").returncode:
        raise InputError(
            "The project is not in a Git repository, so there are no revisions or experiments."
        )
