"""What the embedding is worth on the test split: classification, retrieval and verification."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from siamese.embedding_file import Embeddings
from siamese.errors import InputError
from siamese.evaluation.all_pairs import PairHistogram, pair_histogram
from siamese.evaluation.bootstrap import CONFIDENCE, Figures, intervals, weighted_means
from siamese.evaluation.retrieval import precision_at_r, relevant_counts
from siamese.evaluation.weighted_verification import WeightedPairs
from siamese.knn import class_ranking, nearest
from siamese.params import Section
from siamese.verification import (
    Calibration,
    auc,
    equal_error_rate,
    error_rates,
    pair_distances,
)

# Rates of false accepts that the rate of true accepts is given at, by the name of its figure.
LOW_RATES = {"tar_at_far_1%": 0.01, "tar_at_far_0.1%": 0.001}


class EvaluateParams(Section):
    """The `evaluate` section of `params.yaml`."""

    k: list[int] = Field(min_length=1)
    vote_k: int = Field(ge=1)
    temperature: float = Field(gt=0)
    curve_k: list[int] = Field(min_length=1)
    sheet_queries: int = Field(ge=1, le=100)
    sheet_neighbours: int = Field(ge=1, le=50)
    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("k", "curve_k")
    @classmethod
    def _positive(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or sorted(set(value)) != value:
            raise ValueError("expected whole numbers from 1 up, ascending, none twice")
        return value


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what the pictures and tables are made from.

    Attributes:
        metrics: the content of `metrics/evaluation.json`: fractions in [0, 1], four decimals.
        details: the content of `metrics/details.json`, but for the classes most confused.
        per_query: one row a query: `sample`, whether each vote was right, AP@R and R-precision,
            `near_duplicate`, `predicted` (by `vote_k` neighbours) and `fine`.
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


def evaluate(
    gallery: Embeddings,
    queries: Embeddings,
    near_duplicate: np.ndarray,
    test_pairs: pd.DataFrame,
    calibration: Calibration,
    params: EvaluateParams,
) -> Evaluation:
    """Classify every query by its neighbours, judge its retrieval, and verify pairs of queries.

    Args:
        gallery: labelled embeddings to vote with.
        queries: labelled embeddings to classify; none of them is in the gallery.
        near_duplicate: bool `[Q]`, queries whose photograph is in the gallery too.
        test_pairs: `left`, `right` (sample numbers among the queries), `same`.
        calibration: thresholds from the validation split.
        params: the `evaluate` section.

    Raises:
        InputError: a k is larger than the gallery.
    """
    ks = sorted({*params.k, *params.curve_k, params.vote_k, params.sheet_neighbours})
    if ks[-1] > len(gallery.samples):
        raise InputError(
            f"params.yaml: `evaluate` asks for {ks[-1]} neighbours, but the gallery has only"
            f" {len(gallery.samples)} samples"
        )
    relevant = relevant_counts(gallery.fine, queries.fine)
    wanted = max(ks[-1], int(relevant.max()))
    rows, distances = nearest(gallery.vectors, queries.vectors, wanted, progress=True)
    labels = gallery.fine[rows]  # (Q, K)
    predicted = {k: class_ranking(labels[:, :k], top=1)[:, 0] for k in ks}

    per_query = pd.DataFrame({"sample": queries.samples})
    for k in sorted({*params.k, params.vote_k}):
        per_query[f"k{k}"] = predicted[k] == queries.fine
    for name, is_right in _other_votes(
        gallery, queries, rows[:, : params.vote_k], predicted[params.vote_k], params.temperature
    ).items():
        per_query[name] = is_right
    average_precision, r_precision = precision_at_r(labels, queries.fine, relevant)
    per_query["average_precision"], per_query["r_precision"] = average_precision, r_precision
    per_query["near_duplicate"] = near_duplicate
    per_query["predicted"], per_query["fine"] = predicted[params.vote_k], queries.fine

    position = np.searchsorted(queries.samples, test_pairs[["left", "right"]].to_numpy())
    per_pair = test_pairs[["left", "right", "same"]].assign(
        distance=pair_distances(queries.vectors, position[:, 0], position[:, 1])
    )
    pairs = pair_histogram(queries.vectors, queries.fine)
    threshold = calibration.accuracy_threshold
    votes = (labels[:, : params.vote_k] == predicted[params.vote_k][:, None]).sum(axis=1)
    by_confidence = np.lexsort((distances[:, 0], -votes))
    is_wrong = predicted[params.vote_k] != queries.fine
    top1 = [_round(np.mean(predicted[k] == queries.fine)) for k in params.curve_k]
    return Evaluation(
        metrics=_metrics(per_query, per_pair, threshold, params),
        details={
            "intervals": _intervals(per_query, per_pair, position, threshold, params),
            "bootstrap": {
                "confidence": CONFIDENCE,
                "resamples": params.resamples,
                "seed": params.seed,
                "unit": "test images",
            },
            "retrieval": {"r_precision": _round(r_precision.mean())},
            "verification": {"threshold": threshold} | _low_rates(pairs),
            "near_duplicates": {"queries": int(near_duplicate.sum()), "of": len(near_duplicate)},
        },
        per_query=per_query,
        per_pair=per_pair,
        accuracy_by_k=pd.DataFrame({"k": params.curve_k, "top1": top1}),
        pairs=pairs,
        neighbours=rows[:, : ks[-1]],
        mistakes=by_confidence[is_wrong[by_confidence]],
    )


def _other_votes(
    gallery: Embeddings,
    queries: Embeddings,
    rows: np.ndarray,
    predicted: np.ndarray,
    temperature: float,
) -> dict[str, np.ndarray]:
    """Return by the name of the figure where other ways to count the votes are right, bool `[Q]`.

    Args:
        gallery: of the voters.
        queries: that the vote is about.
        rows: gallery rows of the voters, int64 `[Q, k]`, nearest first.
        predicted: the class of the plain vote, int64 `[Q]`.
        temperature: of the weighted vote.
    """
    voters = gallery.fine[rows]
    similarity = _cosine(queries.vectors, gallery.vectors, rows)
    # Taken relative to the nearest, which changes no vote and cannot overflow.
    closeness = similarity - similarity.max(axis=1, keepdims=True)
    weighted = class_ranking(voters, top=1, weights=np.exp(closeness / temperature))[:, 0]
    ranking = class_ranking(voters, top=5)
    right = {
        "weighted": weighted == queries.fine,
        "top5": (ranking == queries.fine[:, None]).any(axis=1),
    }
    if gallery.coarse is not None and queries.coarse is not None:
        superclass = np.zeros(gallery.fine.max() + 1, dtype=np.int64)
        superclass[gallery.fine] = gallery.coarse
        right["coarse"] = superclass[predicted] == queries.coarse
    return right


def _accuracies(per_query: pd.DataFrame, params: EvaluateParams) -> dict[str, str]:
    """Return the figures that are the mean of a column of `per_query`: figure to column."""
    votes = [f"k{k}" for k in params.k]
    votes += [name for name in ("weighted", "top5", "coarse") if name in per_query]
    return {f"knn.{name}": name for name in votes} | {"retrieval.map_at_r": "average_precision"}


def _metrics(
    per_query: pd.DataFrame, per_pair: pd.DataFrame, threshold: float, params: EvaluateParams
) -> dict[str, dict[str, float]]:
    """Return the content of `metrics/evaluation.json`."""
    knn: dict[str, float] = {}
    retrieval: dict[str, float] = {}
    for figure, column in _accuracies(per_query, params).items():
        group, _, name = figure.partition(".")
        (knn if group == "knn" else retrieval)[name] = _round(per_query[column].mean())
    clean = per_query[~per_query["near_duplicate"]]
    if len(clean):
        knn[f"k{params.vote_k}_clean"] = _round(clean[f"k{params.vote_k}"].mean())

    distances, same = per_pair["distance"].to_numpy(), per_pair["same"].to_numpy()
    false_accepts, false_rejects = error_rates(distances, same, threshold)
    verification = {
        "auc": _round(auc(distances, same)),
        "eer": _round(equal_error_rate(distances, same)),
        # The pairs are half same and half different, so the two rates weigh equally.
        "accuracy": _round(1 - (false_accepts + false_rejects) / 2),
    }
    return {"knn": knn, "retrieval": retrieval, "verification": verification}


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
    means = _accuracies(per_query, params) | {"retrieval.r_precision": "r_precision"}
    columns = per_query[list(means.values())].to_numpy(np.float64)
    clean = ~per_query["near_duplicate"].to_numpy()
    is_right = per_query[f"k{params.vote_k}"].to_numpy()
    pairs = WeightedPairs(
        distances=per_pair["distance"].to_numpy(),
        same=per_pair["same"].to_numpy(),
        left=position[:, 0],
        right=position[:, 1],
        threshold=threshold,
    )

    def figures(weights: np.ndarray) -> Figures:
        found = dict(zip(means, weighted_means(columns, weights).tolist(), strict=True))
        if clean.any():
            weight = weights[clean].sum()
            right = weights[clean & is_right].sum()
            found[f"knn.k{params.vote_k}_clean"] = float(right / weight) if weight else np.nan
        names = ("verification.auc", "verification.eer", "verification.accuracy")
        return found | dict(zip(names, pairs.figures(weights), strict=True))

    return intervals(figures, len(per_query), params.resamples, params.seed)


def _low_rates(pairs: PairHistogram) -> dict[str, float | int]:
    """Return the true-accept rates at low rates of false accepts, and what they rest on."""
    rates = {name: _round(pairs.operating_point(far)[2]) for name, far in LOW_RATES.items()}
    counts = {"like_pairs": int(pairs.like.sum()), "unlike_pairs": int(pairs.unlike.sum())}
    return rates | counts


def _round(value: Any) -> float:
    # Ten thousand queries carry four decimals.
    return round(float(value), 4)


def _cosine(queries: np.ndarray, gallery: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of each query with its neighbours, float64 `[Q, K]`."""
    queries, gallery = (
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for vectors in (queries.astype(np.float64), gallery.astype(np.float64))
    )
    return np.einsum("qd,qkd->qk", queries, gallery[rows])
