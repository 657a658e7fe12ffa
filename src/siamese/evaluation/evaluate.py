"""What the embedding is worth on the test split: classification, retrieval and verification.

A class is *novel* if training and validation have no sample of it, else *seen*. Some test samples
of a novel class may be *enrolled*: they are in the gallery like any other. Where the gallery has no
sample of any query's class there is nothing to classify by, and only verification is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.bootstrap import CONFIDENCE, estimate
from siamese.evaluation.figures import (
    TOPICS,
    About,
    Figure,
    MeanOf,
    OfAllPairs,
    OfTestPairs,
    figures_for,
    queries_about,
    round_figure,
)
from siamese.evaluation.judgement import judge, judge_alone, no_judgement
from siamese.evaluation.pair_histogram import PairHistogram, pair_histogram
from siamese.evaluation.pair_rates import WeightedPairs
from siamese.evaluation.params import EvaluateParams
from siamese.measures.verification import check_pairs, pair_distances
from siamese.model.calibration import Calibration


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what the pictures and tables are made from.

    Where only verification is measured, `accuracy_by_k`, `neighbours` and `mistakes` are empty, and
    `per_query` has `sample`, `near_duplicate` and `fine` alone.

    Attributes:
        metrics: the content of `metrics/evaluation.json`: fractions in [0, 1], four decimals.
        details: the content of `metrics/details.json`, but for the classes most confused.
        per_query: one row per query: `sample`, whether each vote was right, AP@R and R-precision,
            `near_duplicate`, `predicted` (by `vote_k` neighbours) and `fine`. Where some queries
            are novel and some are not, also `novel`, and as `alone_k1` and the like whether the
            vote of the enrolled samples alone was right, false for the queries that are not novel.
        per_pair: one row per test pair: `left`, `right`, `same`, `distance`.
        accuracy_by_k: columns `k`, `top1`.
        all_pairs: the distances of all pairs of queries.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first.
        mistakes: int64 `[M]`, the queries predicted wrong, by row, the most confident first: by
            the votes for the wrong class, and with as many by the distance of the nearest.
    """

    metrics: dict[str, dict[str, float]]
    details: dict[str, Any]
    per_query: pd.DataFrame
    per_pair: pd.DataFrame
    accuracy_by_k: pd.DataFrame
    all_pairs: PairHistogram
    neighbours: np.ndarray
    mistakes: np.ndarray

    @property
    def is_classified(self) -> bool:
        """Whether the queries were classified; if not, only verification was measured."""
        return "predicted" in self.per_query


def evaluate(
    gallery: Embeddings,
    queries: Embeddings,
    near_duplicate: np.ndarray,
    novel: np.ndarray,
    test_pairs: pd.DataFrame,
    calibration: Calibration,
    params: EvaluateParams,
) -> Evaluation:
    """Classify every query by its neighbours, judge its retrieval, and verify pairs of queries.

    Args:
        gallery: labelled embeddings to vote with. If it has none of any query's class, the queries
            are not classified.
        queries: labelled embeddings to classify; none of them is in the gallery.
        near_duplicate: bool `[Q]`, queries whose photograph is in the gallery too.
        novel: bool `[Q]`, queries of a class that training and validation have no sample of. Where
            some are and some are not, there are figures of each kind apart as well.
        test_pairs: `left`, `right` (sample numbers among the queries), `same`. A pair is of the
            kind of its left sample.
        calibration: thresholds from the validation split.
        params: the `evaluate` section.

    Raises:
        InputError: a k is larger than the gallery, a test pair is not of two queries, or there are
            no like or no unlike pairs.
    """
    members = _rows_of_members(test_pairs, queries.samples)  # (P, 2)
    per_pair = test_pairs[["left", "right", "same"]].assign(
        distance=pair_distances(queries.vectors, members[:, 0], members[:, 1])
    )
    check_pairs(per_pair["distance"].to_numpy(), per_pair["same"].to_numpy())
    all_pairs = pair_histogram(queries.vectors, queries.fine)
    judgement = no_judgement(len(queries.samples))
    is_classified = bool(np.isin(queries.fine, gallery.fine).any())
    if is_classified:
        judgement = judge(gallery, queries, params)
    columns = {"sample": queries.samples, **judgement.outcomes, "near_duplicate": near_duplicate}
    counts: dict[str, Any] = {}
    if is_classified:
        counts["near_duplicates"] = {
            "queries": int(near_duplicate.sum()),
            "of": len(near_duplicate),
        }
        if novel.any() and not novel.all():
            enrolled = np.isin(gallery.fine, queries.fine[novel])
            columns["novel"] = novel
            columns |= judge_alone(gallery, queries, novel, enrolled, params)
            counts["novel"] = {
                "classes": len(np.unique(queries.fine[novel])),
                "queries": int(novel.sum()),
                "enrolled": int(enrolled.sum()),
            }
        columns["predicted"] = judgement.predicted
    columns["fine"] = queries.fine

    threshold = calibration.accuracy_threshold
    figures = figures_for(params)
    measure = measurement(figures, columns, per_pair, members, threshold)
    estimates = estimate(measure, len(queries.samples), params.resamples, params.seed)
    values = {name: one.value for name, one in estimates.items()} | _of_all_pairs(
        figures, all_pairs
    )
    details: dict[str, Any] = {
        "intervals": {name: [one.low, one.high] for name, one in estimates.items()},
        "bootstrap": {
            "confidence": CONFIDENCE,
            "resamples": params.resamples,
            "seed": params.seed,
            "unit": "test images",
        },
    }
    details |= _by_topic([figure for figure in figures if figure.is_detail], values)
    details["verification"] = {
        "threshold": threshold,
        **details.get("verification", {}),
        "like_pairs": int(all_pairs.like.sum()),
        "unlike_pairs": int(all_pairs.unlike.sum()),
    }
    return Evaluation(
        metrics=_by_topic([figure for figure in figures if not figure.is_detail], values),
        details=details | counts,
        per_query=pd.DataFrame(columns),
        per_pair=per_pair,
        accuracy_by_k=judgement.accuracy_by_k,
        all_pairs=all_pairs,
        neighbours=judgement.neighbours,
        mistakes=judgement.mistakes,
    )


def measurement(
    figures: Sequence[Figure],
    per_query: dict[str, np.ndarray],
    per_pair: pd.DataFrame,
    members: np.ndarray,
    threshold: float,
) -> Callable[[np.ndarray], dict[str, float]]:
    """Return what measures the figures of queries and test pairs on a draw of the test images.

    Args:
        figures: rows of the table; those that the data do not have are left out.
        per_query: the outcome of each query, by column.
        per_pair: the outcome of each test pair.
        members: rows of `per_query`, int64 `[P, 2]`: the two images of each pair.
        threshold: the calibrated one.

    Returns:
        A function from weights, float64 `[Q]`, to the value of each figure by name, not a number
        where the draw leaves nothing to measure.
    """
    distances, same = per_pair["distance"].to_numpy(), per_pair["same"].to_numpy()
    is_about = {
        about: queries_about(about, per_query)
        for about in get_args(About)
        if about not in ("seen", "novel") or "novel" in per_query
    }
    pairs: dict[str, WeightedPairs] = {}
    for about, is_in in is_about.items():
        chosen = is_in[members[:, 0]]
        # Both kinds are needed: a single novel class has no unlike pairs.
        if same[chosen].any() and not same[chosen].all():
            left, right = members[chosen].T
            pairs[about] = WeightedPairs(distances[chosen], same[chosen], left, right, threshold)

    means = {
        figure.name: (figure.source.column, is_about[figure.about])
        for figure in figures
        if isinstance(figure.source, MeanOf)
        and figure.source.column in per_query
        and figure.about in is_about
        and is_about[figure.about].any()
    }
    of_pairs = [
        (figure.name, figure.about, figure.source.measure)
        for figure in figures
        if isinstance(figure.source, OfTestPairs) and figure.about in pairs
    ]
    shape = (len(per_query["sample"]), len(means))
    counted, totals = np.empty(shape), np.empty(shape)
    for number, (column, is_in) in enumerate(means.values()):
        counted[:, number], totals[:, number] = is_in, per_query[column] * is_in

    def measure(weights: np.ndarray) -> dict[str, float]:
        with np.errstate(invalid="ignore"):  # 0 / 0: none of these queries was drawn
            shares = weights @ totals / (weights @ counted)
        values = dict(zip(means, shares.tolist(), strict=True))
        rates = {about: one.rates(weights) for about, one in pairs.items()}
        for name, about, of_rates in of_pairs:
            found = rates[about]
            values[name] = np.nan if found is None else of_rates(found)
        return values

    return measure


def hardest_pairs(per_pair: pd.DataFrame, n: int) -> np.ndarray:
    """Return the like pairs that are farthest apart, and the unlike ones that are nearest.

    Args:
        per_pair: one row per test pair, both kinds: `same`, `distance`.
        n: how many of each kind; as many as there are of both, if those are fewer.

    Returns:
        Rows of `per_pair`, int64 `[2, n]`: like pairs, unlike pairs, the hardest first.
    """
    distance, same = per_pair["distance"].to_numpy(), per_pair["same"].to_numpy()
    like, unlike = np.flatnonzero(same), np.flatnonzero(~same)
    n = min(n, len(like), len(unlike))
    like = like[np.argsort(-distance[like], kind="stable")]
    unlike = unlike[np.argsort(distance[unlike], kind="stable")]
    return np.stack([like[:n], unlike[:n]])


def _rows_of_members(test_pairs: pd.DataFrame, samples: np.ndarray) -> np.ndarray:
    """Return the rows of both images of each pair among the queries, int64 `[P, 2]`."""
    members = test_pairs[["left", "right"]].to_numpy()
    is_no_query = ~np.isin(members, samples).all(axis=1)
    if is_no_query.any():
        raise InputError(
            f"data/pairs/test.parquet: {is_no_query.sum()} pairs are not of two queries, the first"
            f" in row {is_no_query.argmax()}; run `dvc repro evaluate`, which brings pairs and"
            " embeddings up to date"
        )
    return np.searchsorted(samples, members)


def _of_all_pairs(figures: Sequence[Figure], all_pairs: PairHistogram) -> dict[str, float]:
    """Return the figures of all pairs of queries by name."""
    values = {
        figure.name: figure.source.measure(all_pairs)
        for figure in figures
        if isinstance(figure.source, OfAllPairs)
    }
    return {name: round_figure(value) for name, value in values.items() if value is not None}


def _by_topic(figures: Sequence[Figure], values: dict[str, float]) -> dict[str, dict[str, float]]:
    """Lay out the figures that have a value as `metrics/evaluation.json` does."""
    laid_out: dict[str, dict[str, float]] = {topic: {} for topic in TOPICS}
    for figure in figures:
        if figure.name in values:
            laid_out[figure.topic][figure.key] = values[figure.name]
    return {topic: found for topic, found in laid_out.items() if found}
