"""How a gallery judges its queries: votes, mistakes, and how well their class is retrieved."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import Answers, plain_vote, relevant_counts
from siamese.evaluation.figures import RECALL_KS, Gallery, outcomes_of, round_figure
from siamese.evaluation.params import EvaluateParams
from siamese.measures.knn import QUERIES_AT_ONCE, nearest, nearest_others

# Of all queries, kept while their retrieval is judged.
NEIGHBOURS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Judgement:
    """What became of Q queries in a gallery.

    Attributes:
        outcomes: the columns of `metrics/per_query.parquet` from the votes to R-precision.
        predicted: the class that `vote_k` neighbours elect, int64 `[Q]`.
        accuracy_by_k: columns `k`, `top1`.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first.
        mistakes: int64 `[M]`, the queries predicted wrong, by row, the most confident first: by
            the votes for the wrong class, and with as many by the distance of the nearest. But no
            class that is taken for another comes again before all that are have come.
    """

    outcomes: dict[str, np.ndarray]
    predicted: np.ndarray
    accuracy_by_k: pd.DataFrame
    neighbours: np.ndarray
    mistakes: np.ndarray


def judge(gallery: Embeddings, queries: Embeddings, params: EvaluateParams) -> Judgement:
    """Let the neighbours of every query judge it.

    Raises:
        InputError: a k is larger than the gallery.
    """
    most = max(*params.k, *params.curve_k, params.vote_k, params.sheet_neighbours)
    if most > len(gallery.samples):
        raise InputError(
            f"params.yaml: `evaluate` asks for {most} neighbours, but the gallery has only"
            f" {len(gallery.samples)} samples"
        )
    wanted = max(most, int(relevant_counts(gallery.fine, queries.fine).max()))
    n_queries = len(queries.samples)
    neighbours = np.empty((n_queries, most), dtype=np.int64)
    predicted = np.empty(n_queries, dtype=np.int64)
    n_votes, distance = np.empty((2, n_queries))  # for the class predicted; of the nearest
    is_right = np.empty((n_queries, len(params.curve_k)), dtype=bool)
    outcomes: list[dict[str, np.ndarray]] = []
    # R may be half of the gallery, where there are few classes: not for all queries at once.
    for part in blocks(n_queries, max(1, NEIGHBOURS_AT_ONCE // wanted)):
        rows, distances = nearest(gallery.vectors, queries.vectors[part], wanted, progress=True)
        answers = Answers(gallery, _chosen(queries, part), rows, params)
        outcomes.append(outcomes_of(answers, "whole"))
        neighbours[part], distance[part] = rows[:, :most], distances[:, 0]
        predicted[part] = answers.elected(params.vote_k)
        voters = answers.neighbour_labels[:, : params.vote_k]
        n_votes[part] = (voters == predicted[part, None]).sum(axis=1)
        for number, k in enumerate(params.curve_k):
            is_right[part, number] = plain_vote(answers, k)

    by_confidence = np.lexsort((distance, -n_votes))
    mistakes = by_confidence[(predicted != queries.fine)[by_confidence]]
    confusion = pd.DataFrame({"fine": queries.fine[mistakes], "predicted": predicted[mistakes]})
    n_before = confusion.groupby(["fine", "predicted"]).cumcount()
    top1 = [round_figure(share) for share in is_right.mean(axis=0)]
    return Judgement(
        outcomes=_joined(outcomes),
        predicted=predicted,
        accuracy_by_k=pd.DataFrame({"k": params.curve_k, "top1": top1}),
        neighbours=neighbours,
        mistakes=mistakes[n_before.argsort(kind="stable")],
    )


def judge_alone(
    gallery: Embeddings,
    queries: Embeddings,
    novel: np.ndarray,
    enrolled: np.ndarray,
    params: EvaluateParams,
) -> dict[str, np.ndarray]:
    """Let the enrolled samples alone, bool `[G]`, judge the novel queries, bool `[Q]`.

    Returns:
        bool `[Q]` by column of `metrics/per_query.parquet`, false for the other queries; no votes
        of more than are enrolled.
    """
    if not enrolled.any():
        return {}
    alone, asked = _chosen(gallery, enrolled), _chosen(queries, novel)
    k = min(params.vote_k, len(alone.samples))
    rows, _ = nearest(alone.vectors, asked.vectors, k, progress=True)
    return _spread(outcomes_of(Answers(alone, asked, rows, params), "enrolled"), novel)


def judge_novel_among_others(
    gallery: Embeddings,
    queries: Embeddings,
    novel: np.ndarray,
    enrolled: np.ndarray,
    params: EvaluateParams,
) -> dict[str, np.ndarray]:
    """Search for the novel queries, bool `[Q]`, among one another and the enrolled, bool `[G]`.

    Returns:
        bool or float64 `[Q]` by column of `metrics/per_query.parquet`, false or 0 for the other
        queries.
    """
    parts = _chosen(queries, novel), _chosen(gallery, enrolled)
    samples, fine, vectors = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("samples", "fine", "vectors")
    )
    order = samples.argsort()
    images = Embeddings(samples[order], fine[order], None, vectors[order])
    rows = np.searchsorted(images.samples, parts[0].samples)
    return _spread(judge_among_others(images, rows, "novel_others", params), novel)


def judge_among_others(
    images: Embeddings, rows: np.ndarray, others: Gallery, params: EvaluateParams
) -> dict[str, np.ndarray]:
    """Search for some images among all others.

    Args:
        images: labelled embeddings.
        rows: which are searched for, int64 `[n]`.
        others: what the others are, in the table of figures.
        params: the `evaluate` section.

    Returns:
        bool or float64 `[n]` by column of `metrics/per_query.parquet`; the last says whether there
        is another image of the class.
    """
    wanted = max(*RECALL_KS, int(np.bincount(images.fine).max()) - 1)
    at_once = min(QUERIES_AT_ONCE, max(1, NEIGHBOURS_AT_ONCE // wanted))
    is_findable = "findable" if others == "others" else "novel_findable"
    outcomes = []
    with progress_bar("among others", "image", total=len(rows)) as bar:
        for part in blocks(len(rows), at_once):
            asked = rows[part]
            found = nearest_others(images.vectors, asked, wanted)
            answers = Answers(images, _chosen(images, asked), found, params, has_queries=True)
            columns = outcomes_of(answers, others)
            outcomes.append(columns | {is_findable: answers.n_relevant > 0})
            bar.update(len(asked))
    return _joined(outcomes)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the columns of one part of the queries after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spread(columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Give columns of the queries chosen, bool `[Q]`, a zero for each of the others."""
    spread = {name: np.zeros(len(chosen), values.dtype) for name, values in columns.items()}
    for name, values in columns.items():
        spread[name][chosen] = values
    return spread


def _chosen(embeddings: Embeddings, rows: slice | np.ndarray) -> Embeddings:
    coarse = embeddings.coarse
    return Embeddings(
        embeddings.samples[rows],
        embeddings.fine[rows],
        None if coarse is None else coarse[rows],
        embeddings.vectors[rows],
    )
