"""What becomes of queries in a gallery: votes, mistakes, and how well their class is retrieved."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.evaluate_params import EvaluateParams, round_figure
from siamese.evaluation.retrieval import precision_at_r, relevant_counts
from siamese.measures.knn import class_ranking, nearest

# Of all queries, kept while their retrieval is judged.
NEIGHBOURS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Classification:
    """What became of the queries in the gallery; see `Evaluation`.

    Attributes:
        outcomes: of each query, the columns of `per_query` from the votes to R-precision.
        predicted: int64 `[Q]`.
        accuracy_by_k: columns `k`, `top1`.
        neighbours: int64 `[Q, K]`.
        mistakes: int64 `[M]`.
    """

    outcomes: pd.DataFrame
    predicted: np.ndarray
    accuracy_by_k: pd.DataFrame
    neighbours: np.ndarray
    mistakes: np.ndarray


def nothing_classified(n_queries: int) -> Classification:
    """Return what becomes of queries that there is nothing to classify by."""
    return Classification(
        outcomes=pd.DataFrame(),
        predicted=np.zeros(0, dtype=np.int64),
        accuracy_by_k=pd.DataFrame(columns=["k", "top1"]),
        neighbours=np.zeros((n_queries, 0), dtype=np.int64),
        mistakes=np.zeros(0, dtype=np.int64),
    )


def classify(gallery: Embeddings, queries: Embeddings, params: EvaluateParams) -> Classification:
    """Ask the neighbours of every query.

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
    n_queries = len(queries.samples)
    rows = np.empty((n_queries, ks[-1]), dtype=np.int64)
    of_nearest, average_precision, r_precision = np.empty((3, n_queries))
    # R may be half of the gallery, where there are few classes: not for all queries at once.
    at_once = max(1, NEIGHBOURS_AT_ONCE // wanted)
    for part in blocks(n_queries, at_once):
        found, distances = nearest(gallery.vectors, queries.vectors[part], wanted, progress=True)
        rows[part], of_nearest[part] = found[:, : ks[-1]], distances[:, 0]
        average_precision[part], r_precision[part] = precision_at_r(
            gallery.fine[found], queries.fine[part], relevant[part]
        )
    labels = gallery.fine[rows]  # (Q, K)
    predicted = {k: class_ranking(labels[:, :k], top=1)[:, 0] for k in ks}

    outcomes = pd.DataFrame()
    for k in sorted({*params.k, params.vote_k}):
        outcomes[f"k{k}"] = predicted[k] == queries.fine
    for name, is_right in _other_votes(
        gallery, queries, rows[:, : params.vote_k], predicted[params.vote_k], params.temperature
    ).items():
        outcomes[name] = is_right
    outcomes["average_precision"], outcomes["r_precision"] = average_precision, r_precision

    votes = (labels[:, : params.vote_k] == predicted[params.vote_k][:, None]).sum(axis=1)
    by_confidence = np.lexsort((of_nearest, -votes))
    is_wrong = predicted[params.vote_k] != queries.fine
    top1 = [round_figure(np.mean(predicted[k] == queries.fine)) for k in params.curve_k]
    return Classification(
        outcomes=outcomes,
        predicted=predicted[params.vote_k],
        accuracy_by_k=pd.DataFrame({"k": params.curve_k, "top1": top1}),
        neighbours=rows,
        mistakes=by_confidence[is_wrong[by_confidence]],
    )


def votes_alone(
    gallery: Embeddings,
    queries: Embeddings,
    novel: np.ndarray,
    enrolled: np.ndarray,
    params: EvaluateParams,
) -> dict[int, np.ndarray]:
    """Return by k where novel queries are right in a gallery of the enrolled samples alone.

    Args:
        gallery: all labelled embeddings.
        queries: all queries.
        novel: bool `[Q]`, which of them are novel.
        enrolled: bool `[G]`, gallery samples of their classes.
        params: the `evaluate` section.

    Returns:
        bool `[Q]` for 1 and `vote_k`, false for the others; none for a k of more than are enrolled.
    """
    ks = [k for k in sorted({1, params.vote_k}) if k <= enrolled.sum()]
    right = {k: np.zeros(len(novel), dtype=bool) for k in ks}
    if ks:
        rows, _ = nearest(gallery.vectors[enrolled], queries.vectors[novel], ks[-1], progress=True)
        labels = gallery.fine[enrolled][rows]  # (n, k)
        for k in ks:
            right[k][novel] = class_ranking(labels[:, :k], top=1)[:, 0] == queries.fine[novel]
    return right


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


def _cosine(queries: np.ndarray, gallery: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of each query with its neighbours, float64 `[Q, K]`."""
    queries, gallery = (
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for vectors in (queries.astype(np.float64), gallery.astype(np.float64))
    )
    return np.einsum("qd,qkd->qk", queries, gallery[rows])
