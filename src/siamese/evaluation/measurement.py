"""Figures of queries and test pairs, measured again for every draw of test images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from siamese.evaluation.bootstrap import Measure
from siamese.evaluation.figures import (
    OF_ONE_KIND,
    About,
    Figure,
    MeanOf,
    OfFolds,
    OfTestPairs,
    queries_about,
)
from siamese.evaluation.folds import FoldedPairs
from siamese.evaluation.pair_rates import WeightedPairs


def measurement(
    figures: Sequence[Figure],
    per_query: Mapping[str, Any],
    distances: np.ndarray,
    same: np.ndarray,
    members: np.ndarray,
    threshold: float,
    folds: np.ndarray | None = None,
) -> Measure:
    """Return what measures figures on a draw of the test images.

    Args:
        figures: rows of the table; those that the data do not have are left out.
        per_query: the outcome of each query, by column, `[Q]` each.
        distances: of the test pairs, floats `[P]`.
        same: bool `[P]`.
        members: rows of `per_query`, int64 `[P, 2]`: the two images of each pair. Images of given
            pairs that are no queries, forgeries, have the numbers after these.
        threshold: the calibrated one.
        folds: int64 `[P]` of given pairs, which are measured whole: not of seen and novel classes
            apart. None of drawn ones.

    Returns:
        Of a draw of the queries, and of what has the numbers after them.
    """
    is_about: dict[About, np.ndarray] = {
        about: queries_about(about, per_query)
        for about in {figure.about for figure in figures}
        if about not in OF_ONE_KIND or "novel" in per_query
    }
    means = {
        figure.name: (figure.source.column, is_about[figure.about])
        for figure in figures
        if isinstance(figure.source, MeanOf)
        and figure.source.column in per_query
        and figure.about in is_about
        and is_about[figure.about].any()
    }
    n_queries = len(per_query["sample"])
    counted, totals = np.empty((2, n_queries, len(means)))
    for number, (column, is_in) in enumerate(means.values()):
        counted[:, number], totals[:, number] = is_in, per_query[column] * is_in

    of_pairs = [
        (figure.name, figure.about, figure.source.measure)
        for figure in figures
        if isinstance(figure.source, OfTestPairs)
        and figure.about in is_about
        and (folds is None or figure.about == "all")
    ]
    pairs: dict[About, WeightedPairs] = {}
    for about in {about for _, about, _ in of_pairs}:
        chosen = np.ones(len(members), bool) if about == "all" else is_about[about][members[:, 0]]
        # Both kinds are needed: a single novel class has no unlike pairs.
        if same[chosen].any() and not same[chosen].all():
            left, right = members[chosen].T
            pairs[about] = WeightedPairs(distances[chosen], same[chosen], left, right, threshold)
    folded = None
    if folds is not None and len(np.unique(folds)) > 1:
        folded = FoldedPairs(distances, same, members[:, 0], members[:, 1], folds)
    of_folds = [
        (one.name, one.source.measure) for one in figures if isinstance(one.source, OfFolds)
    ]

    def measure(weights: np.ndarray) -> dict[str, float]:
        with np.errstate(invalid="ignore"):  # 0 / 0: none of these queries was drawn
            of_queries = weights[:n_queries]
            shares = of_queries @ totals / (of_queries @ counted)
        values = dict(zip(means, shares.tolist(), strict=True))
        rates = {about: one.rates(weights) for about, one in pairs.items()}
        for name, about, measure_rates in of_pairs:
            if about in rates:
                found = rates[about]
                values[name] = np.nan if found is None else measure_rates(found)
        if folded:
            accuracies = folded.accuracies(weights)
            for name, measure_folds in of_folds:
                values[name] = np.nan if accuracies is None else measure_folds(accuracies)
        return values

    return measure


def rows_of_pairs(members: np.ndarray, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the numbers that `measurement` knows the images of pairs by.

    Args:
        members: sample numbers, int64 `[P, 2]`, each a query or one of the others.
        queries: sample numbers, int64 `[Q]` ascending.
        others: sample numbers, int64 `[n]` ascending.

    Returns:
        int64 `[P, 2]`: rows of `queries`; of the others Q and on.
    """
    images = np.concatenate([queries, others])
    order = images.argsort()
    return order[np.searchsorted(images, members, sorter=order)]
