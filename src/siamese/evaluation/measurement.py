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
    OfTestPairs,
    queries_about,
)
from siamese.evaluation.pair_rates import WeightedPairs


def measurement(
    figures: Sequence[Figure],
    per_query: Mapping[str, Any],
    distances: np.ndarray,
    same: np.ndarray,
    members: np.ndarray,
    threshold: float,
) -> Measure:
    """Return what measures figures on a draw of the test images.

    Args:
        figures: rows of the table; those that the data do not have are left out.
        per_query: the outcome of each query, by column, `[Q]` each.
        distances: of the test pairs, floats `[P]`.
        same: bool `[P]`.
        members: rows of `per_query`, int64 `[P, 2]`: the two images of each pair.
        threshold: the calibrated one.
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
    counted, totals = np.empty((2, len(per_query["sample"]), len(means)))
    for number, (column, is_in) in enumerate(means.values()):
        counted[:, number], totals[:, number] = is_in, per_query[column] * is_in

    of_pairs = [
        (figure.name, figure.about, figure.source.measure)
        for figure in figures
        if isinstance(figure.source, OfTestPairs) and figure.about in is_about
    ]
    pairs: dict[About, WeightedPairs] = {}
    for about in {about for _, about, _ in of_pairs}:
        chosen = is_about[about][members[:, 0]]
        # Both kinds are needed: a single novel class has no unlike pairs.
        if same[chosen].any() and not same[chosen].all():
            left, right = members[chosen].T
            pairs[about] = WeightedPairs(distances[chosen], same[chosen], left, right, threshold)

    def measure(weights: np.ndarray) -> dict[str, float]:
        with np.errstate(invalid="ignore"):  # 0 / 0: none of these queries was drawn
            shares = weights @ totals / (weights @ counted)
        values = dict(zip(means, shares.tolist(), strict=True))
        rates = {about: one.rates(weights) for about, one in pairs.items()}
        for name, about, measure_rates in of_pairs:
            if about in rates:
                found = rates[about]
                values[name] = np.nan if found is None else measure_rates(found)
        return values

    return measure
