"""What the embedding is worth on the test split: classification, retrieval and verification.

A class is *novel* if training and validation have no sample of it, else *seen*. Some test samples
of a novel class may be *enrolled*: they are in the gallery like any other. Where the gallery has no
sample of any query's class there is nothing to classify by, and verification alone is asked.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.all_pairs import PairHistogram, pair_histogram
from siamese.evaluation.bootstrap import CONFIDENCE, Figures, intervals, weighted_means
from siamese.evaluation.classification import classify, nothing_classified, votes_alone
from siamese.evaluation.evaluate_params import EvaluateParams, round_figure
from siamese.evaluation.weighted_verification import WeightedPairs
from siamese.measures.verification import auc, equal_error_rate, error_rates, pair_distances
from siamese.model.calibration import Calibration

# Rates of false accepts that the rate of true accepts is given at, by the name of its figure.
LOW_RATES = {"tar_at_far_1%": 0.01, "tar_at_far_0.1%": 0.001}
# The order of the groups in `metrics/evaluation.json`.
GROUPS = ("knn", "retrieval", "verification", "seen", "novel")
PAIR_FIGURES = ("auc", "eer", "accuracy")


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what the pictures and tables are made from.

    Where verification alone is asked, `accuracy_by_k`, `neighbours` and `mistakes` are empty, and
    `per_query` has `sample`, `near_duplicate` and `fine` alone.

    Attributes:
        metrics: the content of `metrics/evaluation.json`: fractions in [0, 1], four decimals.
        details: the content of `metrics/details.json`, but for the classes most confused.
        per_query: one row a query: `sample`, whether each vote was right, AP@R and R-precision,
            `near_duplicate`, `predicted` (by `vote_k` neighbours) and `fine`. Where some queries
            are novel and some are not, also `novel`, and as `alone_k1` and the like whether the
            vote of the enrolled samples alone was right, false for the queries that are not novel.
        per_pair: one row a test pair: `left`, `right`, `same`, `distance`.
        accuracy_by_k: columns `k`, `top1`.
        pairs: the distances of all pairs of queries.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first.
        mistakes: int64 `[M]`, the queries predicted wrong, by row, the most confident first: by
            the votes for the wrong class, and with as many by the distance of the nearest.
    """

    metrics: dict[str, dict[str, float]]
    details: dict[str, Any]
    per_query: pd.DataFrame
    per_pair: pd.DataFrame
    accuracy_by_k: pd.DataFrame
    pairs: PairHistogram
    neighbours: np.ndarray
    mistakes: np.ndarray

    @property
    def is_classified(self) -> bool:
        """Whether the queries were classified; if not, verification alone was asked."""
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
        InputError: a k is larger than the gallery, or a test pair is not of two queries.
    """
    position = _positions(test_pairs, queries.samples)  # (P, 2)
    per_pair = test_pairs[["left", "right", "same"]].assign(
        distance=pair_distances(queries.vectors, position[:, 0], position[:, 1])
    )
    pairs = pair_histogram(queries.vectors, queries.fine)
    per_query = pd.DataFrame({"sample": queries.samples})
    classification = nothing_classified(len(queries.samples))
    is_classified = bool(np.isin(queries.fine, gallery.fine).any())
    if is_classified:
        classification = classify(gallery, queries, params)
        per_query = pd.concat([per_query, classification.outcomes], axis=1)
    per_query["near_duplicate"] = near_duplicate
    counts: dict[str, Any] = {}
    if is_classified:
        counts["near_duplicates"] = {
            "queries": int(near_duplicate.sum()),
            "of": len(near_duplicate),
        }
        if novel.any() and not novel.all():
            enrolled = np.isin(gallery.fine, queries.fine[novel])
            per_query["novel"] = novel
            for k, is_right in votes_alone(gallery, queries, novel, enrolled, params).items():
                per_query[f"alone_k{k}"] = is_right
            counts["novel"] = {
                "classes": len(np.unique(queries.fine[novel])),
                "queries": int(novel.sum()),
                "enrolled": int(enrolled.sum()),
            }
        per_query["predicted"] = classification.predicted
    per_query["fine"] = queries.fine

    threshold = calibration.accuracy_threshold
    details: dict[str, Any] = {
        "intervals": _intervals(per_query, per_pair, position, threshold, params),
        "bootstrap": {
            "confidence": CONFIDENCE,
            "resamples": params.resamples,
            "seed": params.seed,
            "unit": "test images",
        },
    }
    if is_classified:
        details["retrieval"] = {"r_precision": round_figure(per_query["r_precision"].mean())}
    details["verification"] = {"threshold": threshold} | _low_rates(pairs)
    return Evaluation(
        metrics=_metrics(per_query, per_pair, position, threshold, params),
        details=details | counts,
        per_query=per_query,
        per_pair=per_pair,
        accuracy_by_k=classification.accuracy_by_k,
        pairs=pairs,
        neighbours=classification.neighbours,
        mistakes=classification.mistakes,
    )


def hardest_pairs(per_pair: pd.DataFrame, n: int) -> np.ndarray:
    """Return the like pairs that are farthest apart, and the unlike ones that are nearest.

    Args:
        per_pair: one row a test pair, both kinds: `same`, `distance`.
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


def _positions(test_pairs: pd.DataFrame, samples: np.ndarray) -> np.ndarray:
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


def _means(per_query: pd.DataFrame, params: EvaluateParams) -> dict[str, str]:
    """Return the figures that are the mean of a column of `per_query`: figure to column."""
    if "predicted" not in per_query:
        return {}
    votes = [f"k{k}" for k in params.k]
    votes += [name for name in ("weighted", "top5", "coarse") if name in per_query]
    return {f"knn.{name}": name for name in votes} | {"retrieval.map_at_r": "average_precision"}


def _shares(per_query: pd.DataFrame, params: EvaluateParams) -> dict[str, tuple[str, np.ndarray]]:
    """Return the figures that are a share of some of the queries: column, and bool `[Q]`."""
    if "predicted" not in per_query:
        return {}
    shares: dict[str, tuple[str, np.ndarray]] = {}
    clean = ~per_query["near_duplicate"].to_numpy()
    if clean.any():
        shares[f"knn.k{params.vote_k}_clean"] = f"k{params.vote_k}", clean
    if "novel" in per_query:
        novel = per_query["novel"].to_numpy()
        for group, is_in in (("seen", ~novel), ("novel", novel)):
            shares |= {f"{group}.k{k}": (f"k{k}", is_in) for k in params.k}
        alone = [name for name in per_query if str(name).startswith("alone_")]
        shares |= {f"novel.{name}": (str(name), novel) for name in alone}
    return shares


def _pair_groups(
    per_query: pd.DataFrame, per_pair: pd.DataFrame, position: np.ndarray
) -> dict[str, np.ndarray]:
    """Return which pairs the verification figures of a group are about, bool `[P]`.

    A kind of queries without like or without unlike pairs is left out.
    """
    groups = {"verification": np.ones(len(per_pair), dtype=bool)}
    if "novel" in per_query:
        novel = per_query["novel"].to_numpy()[position[:, 0]]
        same = per_pair["same"].to_numpy()
        for group, is_in in (("seen", ~novel), ("novel", novel)):
            if same[is_in].any() and not same[is_in].all():
                groups[group] = is_in
    return groups


def _metrics(
    per_query: pd.DataFrame,
    per_pair: pd.DataFrame,
    position: np.ndarray,
    threshold: float,
    params: EvaluateParams,
) -> dict[str, dict[str, float]]:
    """Return the content of `metrics/evaluation.json`; for the arguments see `_intervals`."""
    figures = {
        figure: per_query[column].mean() for figure, column in _means(per_query, params).items()
    }
    for figure, (column, is_in) in _shares(per_query, params).items():
        figures[figure] = per_query[column].to_numpy()[is_in].mean()
    distances, same = per_pair["distance"].to_numpy(), per_pair["same"].to_numpy()
    for group, is_in in _pair_groups(per_query, per_pair, position).items():
        measured = _verify(distances[is_in], same[is_in], threshold)
        figures |= {
            f"{group}.{name}": value for name, value in zip(PAIR_FIGURES, measured, strict=True)
        }
    metrics: dict[str, dict[str, float]] = {group: {} for group in GROUPS}
    for figure, value in figures.items():
        group, _, name = figure.partition(".")
        metrics[group][name] = round_figure(value)
    return {group: named for group, named in metrics.items() if named}


def _verify(distances: np.ndarray, same: np.ndarray, threshold: float) -> tuple[float, ...]:
    """Return the values of `PAIR_FIGURES` for pairs, `[P]`."""
    false_accepts, false_rejects = error_rates(distances, same, threshold)
    return (
        auc(distances, same),
        equal_error_rate(distances, same),
        # The pairs are half same and half different, so the two rates weigh equally.
        1 - (false_accepts + false_rejects) / 2,
    )


def _intervals(
    per_query: pd.DataFrame,
    per_pair: pd.DataFrame,
    position: np.ndarray,
    threshold: float,
    params: EvaluateParams,
) -> dict[str, list[float]]:
    """Return the interval of every figure, the same draws of test images for all of them.

    Args:
        per_query: the outcome of each query.
        per_pair: the outcome of each test pair.
        position: rows of `per_query`, int64 `[P, 2]`: the two images of each pair.
        threshold: of the verification accuracy.
        params: the `evaluate` section.
    """
    means = _means(per_query, params)
    if means:
        means["retrieval.r_precision"] = "r_precision"
    columns = per_query[list(means.values())].to_numpy(np.float64)
    # Of each share, who counts and who of them is right, as rows.
    shares = {
        figure: (np.flatnonzero(is_in), np.flatnonzero(per_query[column].to_numpy() & is_in))
        for figure, (column, is_in) in _shares(per_query, params).items()
    }
    groups = {
        group: WeightedPairs(
            distances=per_pair["distance"].to_numpy()[is_in],
            same=per_pair["same"].to_numpy()[is_in],
            left=position[is_in, 0],
            right=position[is_in, 1],
            threshold=threshold,
        )
        for group, is_in in _pair_groups(per_query, per_pair, position).items()
    }

    def figures(weights: np.ndarray) -> Figures:
        found = dict(zip(means, weighted_means(columns, weights).tolist(), strict=True))
        for figure, (counted, right) in shares.items():
            weight = weights[counted].sum()
            found[figure] = float(weights[right].sum() / weight) if weight else np.nan
        for group, pairs in groups.items():
            names = [f"{group}.{name}" for name in PAIR_FIGURES]
            found |= zip(names, pairs.figures(weights), strict=True)
        return found

    return intervals(figures, len(per_query), params.resamples, params.seed)


def _low_rates(pairs: PairHistogram) -> dict[str, float | int]:
    """Return the true-accept rates at low rates of false accepts, and what they rest on."""
    rates = {
        name: round_figure(pairs.operating_point(far)[2])
        for name, far in LOW_RATES.items()
        if pairs.carries(far)
    }
    counts = {"like_pairs": int(pairs.like.sum()), "unlike_pairs": int(pairs.unlike.sum())}
    return rates | counts
