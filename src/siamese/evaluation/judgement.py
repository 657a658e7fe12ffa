"""How a gallery judges its queries: votes, mistakes, and how well their class is retrieved."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import Answers
from siamese.evaluation.figures import outcomes_of, round_figure
from siamese.evaluation.params import EvaluateParams
from siamese.evaluation.retrieval import relevant_counts
from siamese.measures.knn import nearest

# Of all queries, kept while their retrieval is judged.
NEIGHBOURS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Judgement:
    """What became of Q queries in a gallery; see `siamese.evaluation.evaluate.Evaluation`.

    Attributes:
        outcomes: the columns of `per_query` from the votes to R-precision.
        predicted: the class that `vote_k` neighbours elect, int64 `[Q]`.
        accuracy_by_k: columns `k`, `top1`.
        neighbours: gallery rows, int64 `[Q, K]`.
        mistakes: int64 `[M]`.
    """

    outcomes: dict[str, np.ndarray]
    predicted: np.ndarray
    accuracy_by_k: pd.DataFrame
    neighbours: np.ndarray
    mistakes: np.ndarray


def no_judgement(n_queries: int) -> Judgement:
    """Return what becomes of queries that a gallery has no class of."""
    return Judgement(
        outcomes={},
        predicted=np.zeros(0, dtype=np.int64),
        accuracy_by_k=pd.DataFrame(columns=["k", "top1"]),
        neighbours=np.zeros((n_queries, 0), dtype=np.int64),
        mistakes=np.zeros(0, dtype=np.int64),
    )


def judge(gallery: Embeddings, queries: Embeddings, params: EvaluateParams) -> Judgement:
    """Let the neighbours of every query judge it.

    Raises:
        InputError: a k is larger than the gallery.
    """
    ks = sorted({*params.k, *params.curve_k, params.vote_k, params.sheet_neighbours})
    if ks[-1] > len(gallery.samples):
        raise InputError(
            f"params.yaml: `evaluate` asks for {ks[-1]} neighbours, but the gallery has only"
            f" {len(gallery.samples)} samples"
        )
    wanted = max(ks[-1], int(relevant_counts(gallery.fine, queries.fine).max()))
    superclasses = _superclasses(gallery, queries)
    n_queries = len(queries.samples)
    neighbours = np.empty((n_queries, ks[-1]), dtype=np.int64)
    distance, n_votes = np.empty((2, n_queries))  # of the nearest; for the class predicted
    predicted = np.empty((len(ks), n_queries), dtype=np.int64)
    outcomes: list[dict[str, np.ndarray]] = []
    # R may be half of the gallery, where there are few classes: not for all queries at once.
    for part in blocks(n_queries, max(1, NEIGHBOURS_AT_ONCE // wanted)):
        rows, distances = nearest(gallery.vectors, queries.vectors[part], wanted, progress=True)
        answers = Answers(
            query_vectors=queries.vectors[part],
            query_labels=queries.fine[part],
            gallery_vectors=gallery.vectors,
            gallery_labels=gallery.fine,
            rows=rows,
            superclasses=superclasses,
            vote_k=params.vote_k,
            temperature=params.temperature,
        )
        outcomes.append(outcomes_of(answers, params, "whole"))
        neighbours[part], distance[part] = rows[:, : ks[-1]], distances[:, 0]
        predicted[:, part] = [answers.elected(k) for k in ks]
        voters = answers.neighbour_labels[:, : params.vote_k]
        n_votes[part] = (voters == answers.elected(params.vote_k)[:, None]).sum(axis=1)

    is_right = dict(zip(ks, predicted == queries.fine, strict=True))  # bool [Q] by k
    by_confidence = np.lexsort((distance, -n_votes))
    top1 = [round_figure(is_right[k].mean()) for k in params.curve_k]
    return Judgement(
        outcomes={name: np.concatenate([part[name] for part in outcomes]) for name in outcomes[0]},
        predicted=predicted[ks.index(params.vote_k)],
        accuracy_by_k=pd.DataFrame({"k": params.curve_k, "top1": top1}),
        neighbours=neighbours,
        mistakes=by_confidence[~is_right[params.vote_k][by_confidence]],
    )


def judge_alone(
    gallery: Embeddings,
    queries: Embeddings,
    novel: np.ndarray,
    enrolled: np.ndarray,
    params: EvaluateParams,
) -> dict[str, np.ndarray]:
    """Let the enrolled samples alone judge the novel queries.

    Args:
        gallery: all labelled embeddings.
        queries: all queries.
        novel: bool `[Q]`, which of them are novel.
        enrolled: bool `[G]`, gallery samples of their classes.
        params: the `evaluate` section.

    Returns:
        bool `[Q]` by column of `per_query`, false for the other queries; no votes of more than are
        enrolled.
    """
    n_enrolled = int(enrolled.sum())
    if not n_enrolled:
        return {}
    vectors = gallery.vectors[enrolled]
    rows, _ = nearest(
        vectors, queries.vectors[novel], min(params.vote_k, n_enrolled), progress=True
    )
    answers = Answers(
        query_vectors=queries.vectors[novel],
        query_labels=queries.fine[novel],
        gallery_vectors=vectors,
        gallery_labels=gallery.fine[enrolled],
        rows=rows,
        superclasses=None,
        vote_k=params.vote_k,
        temperature=params.temperature,
    )
    columns = {}
    for name, is_right in outcomes_of(answers, params, "enrolled").items():
        columns[name] = np.zeros(len(novel), dtype=bool)
        columns[name][novel] = is_right
    return columns


def _superclasses(gallery: Embeddings, queries: Embeddings) -> np.ndarray | None:
    """Return the superclass of each label, int64 `[C]`; None for data without superclasses."""
    if gallery.coarse is None or queries.coarse is None:
        return None
    superclasses = np.zeros(max(gallery.fine.max(), queries.fine.max()) + 1, dtype=np.int64)
    superclasses[gallery.fine] = gallery.coarse
    superclasses[queries.fine] = queries.coarse
    return superclasses
