"""The figures of a workspace that has run, as a table for a terminal. Imports NumPy at the most."""

import csv
import json
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError, no_such_file
from siamese.evaluation.figures import find_figure

LISTED = 5  # classes and pairs of classes shown of each kind
PICTURES = ("data/training.png", "data/pictures/*.png", "data/duplicates/*.png")


def results_table(workspace: Path) -> str:
    """Lay out the figures of a workspace beside the floors and their intervals.

    Files that Git tracks are enough; pictures are named where they are there.

    Raises:
        InputError: a file of `metrics/` is not there, or the floors are of other splits.
    """
    metrics = workspace / "metrics"
    training, ran_on, floor, evaluation, details = (
        _read_json(metrics / f"{name}.json")
        for name in ("training", "ran_on", "floor", "evaluation", "details")
    )
    if ("knn" in evaluation) == ("verification" in floor):
        raise InputError(
            f"{metrics / 'floor.json'}: of other splits than evaluation.json; `dvc repro` brings"
            " both up to date"
        )
    intervals = details["intervals"]
    if "knn" in evaluation:
        lines = [f"{'k-NN on the test split, top-1':<52}95 % interval"]
        lines += _floors(floor)
        lines += _topic("knn", evaluation["knn"] | details.get("knn", {}), intervals)
        lines.append("Retrieval in the gallery, R = the samples of the query's class")
        lines += _topic("retrieval", evaluation["retrieval"] | details["retrieval"], intervals)
        lines.append("Verification of test pairs")
    else:
        lines = [f"{'Verification of test pairs, of classes never seen':<52}95 % interval"]
        lines += _floors(floor["verification"], ", ROC area")
    lines += _topic("verification", evaluation["verification"], intervals)
    pairs = details["verification"]
    lines.append(
        f"Verification of all pairs of test images, {pairs['like_pairs']:,} like and"
        f" {pairs['unlike_pairs']:,} unlike"
    )
    rates = {key: rate for key, rate in pairs.items() if find_figure(f"verification.{key}")}
    lines += _topic("verification", rates, intervals)
    if "novel" in details:
        lines += _seen_and_novel(evaluation, details, floor)
    for name, what in (("copies", "an exact copy"), ("near_duplicates", "a near-duplicate")):
        if found := details.get(name):
            lines.append(
                f"{found['queries']:,} of {found['of']:,} test images have {what} in the gallery"
            )
    if "confused" in details:
        lines += _classes(metrics / "classes.csv", details["confused"])
    lines.append(
        f"Trained {training['epochs']} epochs on {ran_on['device']} in {ran_on['precision']};"
        f" the weights are epoch {training['best_epoch']}'s"
    )
    pictures = [file for pattern in PICTURES for file in sorted(workspace.glob(pattern))]
    if pictures:
        lines.append("Pictures")
        lines += [f"  {picture}" for picture in pictures]
    return "\n".join(lines)


def _floors(floor: dict[str, float], of: str = "") -> list[str]:
    names = {"raw pixels": "pixels", "untrained network": "untrained"}
    return [_row(f"{label} (floor){of}", floor[name]) for label, name in names.items()]


def _seen_and_novel(
    evaluation: dict[str, Any], details: dict[str, Any], floor: dict[str, Any]
) -> list[str]:
    """Lay out the test images of classes seen in training and of those never seen, apart."""
    counts = details["novel"]
    titles = {
        "seen": "Test images of classes seen in training",
        "novel": (
            f"Test images of classes never seen: {counts['queries']:,} of {counts['classes']:,}"
            f" classes, {counts['enrolled']:,} more of them enrolled in the gallery"
        ),
    }
    lines = []
    for topic, title in titles.items():
        lines.append(title)
        lines += _floors(floor[topic]) if topic in floor else []
        lines += _topic(topic, evaluation[topic], details["intervals"])
    return lines


def _topic(topic: str, values: dict[str, float], intervals: dict[str, list[float]]) -> list[str]:
    """Lay out the figures of a topic, `values` by key."""
    lines = []
    for key, value in values.items():
        name = f"{topic}.{key}"
        figure = find_figure(name)
        lines.append(_row(figure.label if figure else name, value, intervals.get(name)))
    return lines


def _row(label: str, fraction: float, interval: list[float] | None = None) -> str:
    line = f"  {label:<42}{fraction:8.2%}"
    return line + (f"   {interval[0]:.2%} to {interval[1]:.2%}" if interval else "")


def _classes(file: Path, confused: list[dict[str, Any]]) -> list[str]:
    """Lay out the best and the worst classes, and the pairs most taken for one another."""
    with _opened(file) as stream:
        classes = list(csv.DictReader(stream))
    ranked = sorted(classes, key=lambda row: -float(row["accuracy"]))
    n_listed = min(LISTED, len(ranked) // 2)
    lines = []
    for title, rows in (
        ("Best classes", ranked[:n_listed]),
        ("Worst classes, and what they are most taken for", ranked[::-1][:n_listed]),
    ):
        lines.append(title)
        for row in rows:
            line = f"  {_readable(row['class']):<42}{float(row['accuracy']):8.2%}"
            lines.append(f"{line}   {_taken_for(row)}".rstrip())
    if confused:
        lines.append("Most confused pairs of classes, test images in both directions")
        lines += [
            f"  {' / '.join(map(_readable, pair['classes'])):<42}{pair['queries']:>7}"
            for pair in confused[:LISTED]
        ]
    return lines


def _taken_for(row: dict[str, str]) -> str:
    if not row["confused_with"]:
        return ""
    return f"{_readable(row['confused_with'])} ({row['confused']} of {row['queries']})"


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _opened(file: Path) -> Any:
    try:
        return file.open(encoding="utf-8", newline="")
    except FileNotFoundError:
        raise no_such_file(file, "`make repro` or `make demo` makes it") from None


def _read_json(file: Path) -> dict[str, Any]:
    with _opened(file) as stream:
        return json.load(stream)
