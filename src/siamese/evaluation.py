"""What the embedding is worth on the test split: k-NN classification and verification."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from siamese.embedding_file import Embeddings
from siamese.errors import InputError
from siamese.knn import class_ranking, nearest
from siamese.params import Section
from siamese.verification import (
    Calibration,
    auc,
    equal_error_rate,
    error_rates,
    pair_distances,
)


class FloorParams(Section):
    """The `floor` section of `params.yaml`."""

    k: int = Field(ge=1)


class EvaluateParams(Section):
    """The `evaluate` section of `params.yaml`."""

    k: list[int] = Field(min_length=1)
    vote_k: int = Field(ge=1)
    temperature: float = Field(gt=0)
    curve_k: list[int] = Field(min_length=1)
    sheet_queries: int = Field(ge=1, le=100)
    sheet_neighbours: int = Field(ge=1, le=50)
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("k", "curve_k")
    @classmethod
    def _positive(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or sorted(set(value)) != value:
            raise ValueError("expected whole numbers from 1 up, ascending, none twice")
        return value


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what the pictures are drawn from.

    Attributes:
        metrics: the content of `metrics/evaluation.json`: fractions in [0, 1], four decimals.
        accuracy_by_k: columns `k`, `top1`.
        predicted: int64 `[Q]`, the fine label voted for each query by `vote_k` neighbours.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first.
    """

    metrics: dict[str, Any]
    accuracy_by_k: pd.DataFrame
    predicted: np.ndarray
    neighbours: np.ndarray


def evaluate(
    gallery: Embeddings,
    queries: Embeddings,
    test_pairs: pd.DataFrame,
    calibration: Calibration,
    params: EvaluateParams,
) -> Evaluation:
    """Classify every query by its neighbours in the gallery, and verify the test pairs.

    Args:
        gallery: labelled embeddings to vote with.
        queries: labelled embeddings to classify; none of them is in the gallery.
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
    rows, _ = nearest(gallery.vectors, queries.vectors, ks[-1], progress=True)
    labels = gallery.fine[rows]  # (Q, K)
    top1 = {k: class_ranking(labels[:, :k], top=1)[:, 0] for k in ks}
    accuracy = {k: _accuracy(top1[k], queries.fine) for k in ks}

    voters = labels[:, : params.vote_k]
    similarity = _cosine(queries.vectors, gallery.vectors, rows[:, : params.vote_k])
    # Taken relative to the nearest, which changes no vote and cannot overflow.
    closeness = similarity - similarity.max(axis=1, keepdims=True)
    weighted = class_ranking(voters, top=1, weights=np.exp(closeness / params.temperature))[:, 0]
    ranking = class_ranking(voters, top=5)
    knn: dict[str, float] = {f"k{k}": accuracy[k] for k in params.k}
    knn["weighted"] = _accuracy(weighted, queries.fine)
    knn["top5"] = _round((ranking == queries.fine[:, None]).any(axis=1).mean())
    if gallery.coarse is not None and queries.coarse is not None:
        superclass = np.zeros(gallery.fine.max() + 1, dtype=np.int64)
        superclass[gallery.fine] = gallery.coarse
        knn["coarse"] = _accuracy(superclass[top1[params.vote_k]], queries.coarse)

    position = np.searchsorted(queries.samples, test_pairs[["left", "right"]].to_numpy())
    distances = pair_distances(queries.vectors, position[:, 0], position[:, 1])
    same = test_pairs["same"].to_numpy()
    false_accepts, false_rejects = error_rates(distances, same, calibration.accuracy_threshold)
    verification = {
        "auc": _round(auc(distances, same)),
        "eer": _round(equal_error_rate(distances, same)),
        # The pairs are half same and half different, so the two rates weigh equally.
        "accuracy": _round(1 - (false_accepts + false_rejects) / 2),
    }
    curve = pd.DataFrame({"k": params.curve_k, "top1": [accuracy[k] for k in params.curve_k]})
    return Evaluation(
        metrics={"knn": knn, "verification": verification},
        accuracy_by_k=curve,
        predicted=top1[params.vote_k],
        neighbours=rows,
    )


def plain_vote_accuracy(
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    queries: np.ndarray,
    query_labels: np.ndarray,
    k: int,
) -> float:
    """Return the share of queries whose k nearest in the gallery elect their label.

    Args:
        gallery: float32 `[G, D]`.
        gallery_labels: int64 `[G]`.
        queries: float32 `[Q, D]`.
        query_labels: int64 `[Q]`.
        k: neighbours that vote.
    """
    rows, _ = nearest(gallery, queries, k, progress=True)
    return _accuracy(class_ranking(gallery_labels[rows], top=1)[:, 0], query_labels)


def _accuracy(predicted: np.ndarray, actual: np.ndarray) -> float:
    return _round(np.mean(predicted == actual))


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
