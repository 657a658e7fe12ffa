"""The figures of a workspace that has run, as a table for a terminal.

Nothing heavier than NumPy and pydantic is imported.
"""

import textwrap
from pathlib import Path

from siamese.base.errors import InputError
from siamese.comparison.origin import about_origin
from siamese.comparison.result_files import (
    ClassRow,
    Confused,
    Details,
    Figures,
    Floor,
    Floors,
    Novel,
    RanOn,
    Training,
    VerificationFloor,
    read_csv,
    read_json,
)
from siamese.comparison.revisions import WORKSPACE, Revision
from siamese.evaluation.figures import find_figure

EVALUATION, DETAILS = "metrics/evaluation.json", "metrics/details.json"
FLOOR, CLASSES = "metrics/floor.json", "metrics/classes.csv"
WIDTH = 100
Intervals = dict[str, tuple[float, float]]
LISTED = 5  # classes and pairs of classes shown of each kind
PICTURES = ("data/training.png", "data/pictures/*.png", "data/duplicates/*.png")


def results_table(workspace: Path) -> str:
    """Lay out the figures of a workspace beside the floors and their intervals.

    Files that Git tracks are enough; pictures are named where they are there. What comes first is
    what the figures were made with, where that is not what stands in the workspace now.

    Raises:
        InputError: a file of `metrics/` or dvc.lock is not there or damaged, or the floors are of
            other splits.
    """
    here = Revision(WORKSPACE, None, workspace)
    training: Training = read_json(here, "metrics/training.json", Training)
    ran_on: RanOn = read_json(here, "metrics/ran_on.json", RanOn)
    evaluation: dict[str, dict[str, float]] = read_json(here, EVALUATION, Figures)
    details: Details = read_json(here, DETAILS, Details)
    any_floor: Floor | VerificationFloor = read_json(here, FLOOR, Floor | VerificationFloor)
    if ("knn" in evaluation) == isinstance(any_floor, VerificationFloor):
        raise InputError(
            f"{workspace / FLOOR}: of other splits than evaluation.json; `dvc repro` brings"
            " both up to date"
        )
    lines = []
    for sentence in about_origin(here):
        lines += textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    lines += [""] if lines else []
    intervals = details.intervals
    if isinstance(any_floor, Floor):
        lines.append(f"{'k-NN on the test split, top-1':<52}95 % interval")
        lines += _floors(any_floor)
        lines += _topic("knn", evaluation["knn"] | details.knn, intervals)
        lines.append("Retrieval in the gallery, R = the samples of the query's class")
        retrieval = evaluation.get("retrieval", {}) | details.retrieval
        lines += _topic("retrieval", retrieval, intervals)
        lines.append("Verification of test pairs")
    else:
        lines.append(f"{'Verification of test pairs, of classes never seen':<52}95 % interval")
        lines += _floors(any_floor.verification, ", ROC area")
    lines += _topic("verification", evaluation.get("verification", {}), intervals)
    pairs = details.verification
    lines.append(
        f"Verification of all pairs of test images, {pairs.like_pairs:,} like and"
        f" {pairs.unlike_pairs:,} unlike"
    )
    rates = {key: rate for key, rate in pairs.rates.items() if find_figure(f"verification.{key}")}
    lines += _topic("verification", rates, intervals)
    if details.novel and isinstance(any_floor, Floor):
        lines += _seen_and_novel(evaluation, details.novel, intervals, any_floor)
    for found, what in (
        (details.copies, "an exact copy"),
        (details.near_duplicates, "a near-duplicate"),
    ):
        if found:
            lines.append(
                f"{found.queries:,} of {found.of:,} test images have {what} in the gallery"
            )
    if details.confused is not None:
        lines += _classes(read_csv(here, CLASSES, ClassRow), details.confused)
    lines.append(
        f"Trained {training.epochs} epochs on {ran_on.device} in {ran_on.precision};"
        f" the weights are epoch {training.best_epoch}'s"
    )
    pictures = [file for pattern in PICTURES for file in sorted(workspace.glob(pattern))]
    if pictures:
        lines.append("Pictures")
        lines += [f"  {picture}" for picture in pictures]
    return "\n".join(lines)


def _floors(floors: Floors, of: str = "") -> list[str]:
    return [
        _row(f"raw pixels (floor){of}", floors.pixels),
        _row(f"untrained network (floor){of}", floors.untrained),
    ]


def _seen_and_novel(
    evaluation: dict[str, dict[str, float]],
    novel: Novel,
    intervals: Intervals,
    floor: Floor,
) -> list[str]:
    """Lay out the test images of classes seen in training and of those never seen, apart."""
    lines = []
    for topic, title, floors in (
        ("seen", "Test images of classes seen in training", floor.seen),
        (
            "novel",
            f"Test images of classes never seen: {novel.queries:,} of {novel.classes:,}"
            f" classes, {novel.enrolled:,} more of them enrolled in the gallery",
            floor.novel,
        ),
    ):
        lines.append(title)
        lines += _floors(floors) if floors else []
        lines += _topic(topic, evaluation.get(topic, {}), intervals)
    return lines


def _topic(topic: str, values: dict[str, float], intervals: Intervals) -> list[str]:
    """Lay out the figures of a topic, `values` by key."""
    lines = []
    for key, value in values.items():
        name = f"{topic}.{key}"
        figure = find_figure(name)
        lines.append(_row(figure.label if figure else name, value, intervals.get(name)))
    return lines


def _row(label: str, fraction: float, interval: tuple[float, float] | None = None) -> str:
    line = f"  {label:<42}{fraction:8.2%}"
    return line + (f"   {interval[0]:.2%} to {interval[1]:.2%}" if interval else "")


def _classes(classes: list[ClassRow], confused: list[Confused]) -> list[str]:
    """Lay out the best and the worst classes, and the pairs most taken for one another."""
    ranked = sorted(classes, key=lambda row: -row.accuracy)
    n_listed = min(LISTED, len(ranked) // 2)
    lines = []
    for title, rows in (
        ("Best classes", ranked[:n_listed]),
        ("Worst classes, and what they are most taken for", ranked[::-1][:n_listed]),
    ):
        lines.append(title)
        for row in rows:
            line = f"  {_readable(row.name):<42}{row.accuracy:8.2%}"
            lines.append(f"{line}   {_taken_for(row)}".rstrip())
    if confused:
        lines.append("Most confused pairs of classes, test images in both directions")
        lines += [
            f"  {' / '.join(map(_readable, pair.classes)):<42}{pair.queries:>7}"
            for pair in confused[:LISTED]
        ]
    return lines


def _taken_for(row: ClassRow) -> str:
    if not row.confused_with:
        return ""
    return f"{_readable(row.confused_with)} ({row.confused} of {row.queries})"


def _readable(name: str) -> str:
    return name.replace("_", " ")
