"""Which classes are recognised, and which are taken for one another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

CLASS_COLUMNS = ("class", "accuracy", "queries", "confused_with", "confused")


def confusion_counts(actual: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Count queries by their class and the predicted one, int64 `[C, C]`.

    Args:
        actual: labels, int64 `[Q]`.
        predicted: labels, int64 `[Q]`.
        n_classes: C.
    """
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (actual, predicted), 1)
    return counts


def class_table(counts: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Lay out how each class fared.

    Args:
        counts: what `confusion_counts` returned.
        names: of the classes, in label order.

    Returns:
        One row a class that has queries, in label order: `class`, `accuracy` (four decimals),
        `queries`, `confused_with` (the class that most of its other queries are taken for, of
        equals the first, empty where there are none) and `confused` (how many).
    """
    totals = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most, often = wrong.argmax(axis=1), wrong.max(axis=1)
    rows = [
        {
            "class": names[label],
            "accuracy": round(counts[label, label] / totals[label], 4),
            "queries": int(totals[label]),
            "confused_with": names[most[label]] if often[label] else "",
            "confused": int(often[label]),
        }
        for label in np.flatnonzero(totals).tolist()
    ]
    return pd.DataFrame(rows, columns=list(CLASS_COLUMNS))


def confused_pairs(counts: np.ndarray, names: Sequence[str], top: int) -> list[dict]:
    """List the pairs of classes that are most often taken for one another, in either direction.

    Args:
        counts: what `confusion_counts` returned.
        names: of the classes, in label order.
        top: how many pairs at most.

    Returns:
        `{"classes": [one, other], "queries": n}`, most first, of equals in label order.
    """
    both = np.triu(counts + counts.T, 1)
    first, second = np.nonzero(both)
    order = np.argsort(-both[first, second], kind="stable")[:top]
    return [
        {"classes": [names[a], names[b]], "queries": int(both[a, b])}
        for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True)
    ]
