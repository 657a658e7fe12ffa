"""Which classes are recognised, and which are taken for one another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def confusion_counts(actual: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Count queries by their class and the predicted one, labels int64 `[Q]` each.

    Returns:
        `actual`, `predicted` and `queries` (int64), in label order, without the pairs of classes
        that have no query: with thousands of classes these would be too many.
    """
    outcomes = pd.DataFrame({"actual": actual, "predicted": predicted})
    return outcomes.groupby(["actual", "predicted"]).size().reset_index(name="queries")


def class_table(counts: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Tabulate how well each class is recognised, from `confusion_counts` and the classes' names.

    Returns:
        One row per class that has queries, in label order: `class`, `accuracy` (four decimals),
        `queries`, `confused_with` (the class that most of its other queries are taken for, of
        equals the first, empty where there are none) and `confused` (how many).
    """
    totals = counts.groupby("actual")["queries"].sum()
    labels = totals.index
    is_right = counts["actual"] == counts["predicted"]
    right = counts[is_right].set_index("actual")["queries"].reindex(labels, fill_value=0)
    # The sort is stable, so that of equals the first label stays first.
    wrong = counts[~is_right].sort_values("queries", ascending=False, kind="stable")
    most = wrong.drop_duplicates("actual").set_index("actual")
    taken_for = most["predicted"].to_dict()
    shares = zip(right.tolist(), totals.tolist(), strict=True)
    return pd.DataFrame(
        {
            "class": [names[label] for label in labels],
            "accuracy": [round(n_right / total, 4) for n_right, total in shares],
            "queries": totals.tolist(),
            "confused_with": [
                names[taken_for[label]] if label in taken_for else "" for label in labels
            ],
            "confused": most["queries"].reindex(labels, fill_value=0).tolist(),
        }
    )


def confused_pairs(counts: pd.DataFrame, names: Sequence[str], top: int) -> list[dict]:
    """List the pairs of classes that are most often taken for one another, in either direction.

    Returns:
        At most `top` of `{"classes": [one, other], "queries": n}`, most first, of equals in label
        order.
    """
    labels = counts[["actual", "predicted"]]
    pairs = counts.assign(one=labels.min(axis=1), other=labels.max(axis=1))
    pairs = pairs[pairs["one"] < pairs["other"]]
    both = pairs.groupby(["one", "other"])["queries"].sum().reset_index()
    most = both.sort_values("queries", ascending=False, kind="stable").head(top)
    return [
        {"classes": [names[one], names[other]], "queries": n}
        for one, other, n in most.to_numpy().tolist()
    ]
