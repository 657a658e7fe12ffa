"""The figures of a workspace that has run, as a table for a terminal."""

import textwrap
from pathlib import Path

from siamese.comparison.result_files import ClassRow
from siamese.comparison.results import Results, Value, read_results

WIDTH = 100
PICTURES = ("data/training.png", "data/pictures/*.png", "data/duplicates/*.png")


def results_table(workspace: Path) -> str:
    """Lay out the figures of a workspace beside the floors and their intervals.

    Pictures are named where they are there. What comes first is what the figures were made with,
    where that is not what stands in the workspace now.

    Raises:
        InputError: see `siamese.comparison.results.read_results`.
    """
    results = read_results(workspace)
    lines = []
    for sentence in results.origin:
        lines += textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    lines += [""] if lines else []
    for position, topic in enumerate(results.topics):
        lines.append(topic.title if position else f"{topic.title:<52}95 % interval")
        lines += map(_row, topic.values)
    lines += [*_promises(results), *results.remarks, *_classes(results), results.trained]
    pictures = [file for pattern in PICTURES for file in sorted(workspace.glob(pattern))]
    if pictures:
        lines.append("Pictures")
        lines += [f"  {picture}" for picture in pictures]
    return "\n".join(lines)


def _row(figure: Value) -> str:
    line = f"  {figure.label:<42}{figure.value:8.2%}"
    interval = figure.interval
    return line + (f"   {interval[0]:.2%} to {interval[1]:.2%}" if interval else "")


def _promises(results: Results) -> list[str]:
    """Lay out what the thresholds promised on validation beside what they do on test."""
    if not results.promises:
        return []
    title = f"{'Thresholds, calibrated on validation':<44}  FAR promised, done   FRR promised, done"
    return [
        title,
        *(
            f"  {one.label:<44}{one.promised_far:8.2%}{one.far:10.2%}"
            f"   {one.promised_frr:8.2%}{one.frr:10.2%}"
            for one in results.promises
        ),
    ]


def _classes(results: Results) -> list[str]:
    """Lay out the best and the worst classes, and the pairs most taken for one another."""
    lines = []
    for title, rows in (
        ("Best classes", results.best),
        ("Worst classes, and what they are most taken for", results.worst),
    ):
        lines += [title] if rows else []
        for row in rows:
            line = f"  {_readable(row.name):<42}{row.accuracy:8.2%}"
            lines.append(f"{line}   {_taken_for(row)}".rstrip())
    if results.confused:
        lines.append("Most confused pairs of classes, test images in both directions")
        lines += [
            f"  {' / '.join(map(_readable, pair.classes)):<42}{pair.queries:>7}"
            for pair in results.confused
        ]
    return lines


def _taken_for(row: ClassRow) -> str:
    if not row.confused_with:
        return ""
    return f"{_readable(row.confused_with)} ({row.confused} of {row.queries})"


def _readable(name: str) -> str:
    return name.replace("_", " ")
