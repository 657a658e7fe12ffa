"""The results on photographs as Markdown."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]

# Figures of test, by their name in a record, and their heading. What no run has gets no column.
COLUMNS = {
    "top1": "test, k-NN",
    "coarse": "superclass",
    "logits": "its own last layer",
    "novel_recall": "never-seen classes: recall@1",
    "novel_map": "never-seen classes: MAP@R",
}


def markdown(records: Sequence[Record], says: Mapping[str, str]) -> str:
    """Return two tables for each data set: what was measured on test, and how rates were tuned.

    Of each contestant the runs count that have the settings of its last run.

    Args:
        records: what `photographs.py` recorded, in the order of the runs.
        says: the contestants in the order of the table, with what they do in a few words.
    """
    parts = []
    for data in dict.fromkeys(json.dumps(record["data"]) for record in records):
        known = [record for record in records if json.dumps(record["data"]) == data]
        facts = json.loads(data)
        parts += [
            f"{facts['images']:,} images of {facts['size']} pixels, {facts['classes']} classes,"
            f" {facts['novel_classes']} of them never seen in training;"
            f" {facts['test_images']:,} queries. Rates are the backbone's, or Muon's; heads, last"
            " layers and proxies of a fine-tuned network learn ten times as fast.",
            tested(known, says),
            tuned(known, says),
        ]
    return "\n\n".join(filter(None, parts))


def tested(records: Sequence[Record], says: Mapping[str, str]) -> str:
    """Return the table of what was measured on test; an empty text if nothing was."""
    groups = {
        name: group
        for name in says
        if (group := last_group(records, name, "test", ("settings", "loss", "rate")))
    }
    if not groups:
        return ""
    found = {name for group in groups.values() for record in group for name in record["test"]}
    columns = {name: heading for name, heading in COLUMNS.items() if name in found}
    headings = ["", "validation", *columns.values(), "k", "rate", "seeds", "images", "training"]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for name, group in groups.items():
        first = group[0]
        cells = [", ".join(filter(None, (says[name], first["loss"])))]
        cells.append(spread([max(record["validation"].values()) for record in group]))
        cells += [
            spread([record["test"][column] for record in group if column in record["test"]])
            for column in columns
        ]
        cells.append(", ".join(str(k) for k in sorted({record["test"]["k"] for record in group})))
        cells.append("" if first["rate"] is None else f"{first['rate']:g}")
        cells.append(str(len(group)))
        cells.append(f"{statistics.mean(record['images_seen'] for record in group):,.0f}")
        cells.append(f"{statistics.mean(record['seconds'] for record in group):,.0f} s")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tuned(records: Sequence[Record], says: Mapping[str, str]) -> str:
    """Return the table of validation by learning rate; an empty text if none was tried."""
    lines = []
    for name in says:
        group = last_group(records, name, "validation", ("settings",))
        for loss in dict.fromkeys(record["loss"] for record in group):
            tried: dict[float, list[float]] = {}
            for record in group:
                if record["loss"] == loss:
                    best = max(record["validation"].values())
                    tried.setdefault(record["rate"], []).append(best)
            cells = [f"{rate:g}: {spread(tried[rate])}" for rate in sorted(tried)]
            lines.append(f"| {', '.join(filter(None, (says[name], loss)))} | {'; '.join(cells)} |")
    if not lines:
        return ""
    return "\n".join(["| | validation, by learning rate |", "|---|---|", *lines])


def last_group(
    records: Sequence[Record], name: str, split: str, alike: Sequence[str]
) -> list[Record]:
    """Return the runs of a contestant that are like its last one in these parts."""
    runs = [
        record for record in records if record["contestant"] == name and record["split"] == split
    ]
    return [record for record in runs if all(record[part] == runs[-1][part] for part in alike)]


def spread(shares: Sequence[float]) -> str:
    """Return mean, least and most in per cent; an empty text if there are none."""
    if not shares:
        return ""
    percent = [100 * share for share in shares]
    if len(percent) == 1:
        return f"{percent[0]:.1f} %"
    return f"{statistics.mean(percent):.1f} % ({min(percent):.1f} - {max(percent):.1f})"
