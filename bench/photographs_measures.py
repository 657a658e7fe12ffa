"""What an embedding of photographs is worth, by this project's own neighbours and votes."""

from collections.abc import Callable

import numpy as np

from siamese.base.dataset import Dataset
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import Answers, plain_vote, superclass_of_vote
from siamese.evaluation.params import EvaluateParams
from siamese.measures.knn import nearest, nearest_others

# From row numbers of a data set, int64 [n], to embeddings, float32 [n, D].
Embed = Callable[[np.ndarray], np.ndarray]


def validation_top1(
    embed: Embed, dataset: Dataset, gallery: np.ndarray, params: EvaluateParams
) -> dict[int, float]:
    """Return top-1 of the validation split by the number of neighbours that vote.

    Args:
        embed: makes the embeddings.
        dataset: the prepared data.
        gallery: rows of training samples that vote, int64 `[G]`.
        params: `k` is what is asked for. Where training has not all classes of validation, the
            nearest other validation sample alone decides, as in `Trainer.validate`.
    """
    rows, fine = dataset.rows("validation"), dataset.fine()
    if not np.isin(fine[rows], fine[dataset.rows("train")]).all():
        return {1: recall_at_1(embed, dataset, rows)}
    answers = answer(embed, dataset, gallery, rows, params)
    return {k: float(plain_vote(answers, k).mean()) for k in params.k}


def test_figures(
    embed: Embed, dataset: Dataset, params: EvaluateParams, k: int
) -> dict[str, float]:
    """Return what is reported of the test split.

    Args:
        embed: makes the embeddings.
        dataset: the prepared data.
        params: the `evaluate` section.
        k: neighbours that vote, as validation chose it.

    Returns:
        `top1` and, where there are superclasses, `coarse`: queries and gallery are those of the
        stage `evaluate`. Left out where the gallery has the class of no query. Where there are
        novel classes, `novel_recall`: recall@1 among all their test images.
    """
    figures = {}
    fine, gallery, queries = dataset.fine(), dataset.gallery(), dataset.queries()
    if np.isin(fine[queries], fine[gallery]).any():
        params = params.model_copy(update={"k": [k], "vote_k": k})
        answers = answer(embed, dataset, gallery, queries, params)
        figures["top1"] = float(plain_vote(answers, k).mean())
        if (is_right := superclass_of_vote(answers)) is not None:
            figures["coarse"] = float(is_right.mean())
    if len(novel := dataset.novel_classes()):
        figures["novel_recall"] = recall_at_1(embed, dataset, np.flatnonzero(np.isin(fine, novel)))
    return figures


def answer(
    embed: Embed,
    dataset: Dataset,
    gallery: np.ndarray,
    queries: np.ndarray,
    params: EvaluateParams,
) -> Answers:
    """Find as many neighbours of query rows among gallery rows as the greatest `params.k` asks."""
    known, asked = (
        Embeddings.of(dataset.samples, rows, embed(rows)) for rows in (gallery, queries)
    )
    found, _ = nearest(known.vectors, asked.vectors, max(params.k))
    return Answers(known, asked, found, params)


def recall_at_1(embed: Embed, dataset: Dataset, rows: np.ndarray) -> float:
    """Return the share of samples whose nearest other among them is of their class."""
    labels = dataset.fine()[rows]
    found = nearest_others(embed(rows), np.arange(len(rows)), 1)[:, 0]
    return float(np.mean(labels[found] == labels))
