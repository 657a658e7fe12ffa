"""What an embedding of photographs is worth, by this project's own neighbours and votes."""

from collections.abc import Callable

import numpy as np

from siamese.base.dataset import Dataset
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import Answers, plain_vote, superclass_of_vote
from siamese.evaluation.judgement import judge_among_others
from siamese.evaluation.params import EvaluateParams
from siamese.measures.knn import nearest

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
        return {1: among_themselves(embed, dataset, rows, params)["recall"]}
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
        novel classes, `novel_recall` and `novel_map`: what `among_themselves` returns for all their
        test images.
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
        rows = np.flatnonzero(np.isin(fine, novel))
        found = among_themselves(embed, dataset, rows, params)
        figures |= {f"novel_{name}": share for name, share in found.items()}
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


def among_themselves(
    embed: Embed, dataset: Dataset, rows: np.ndarray, params: EvaluateParams
) -> dict[str, float]:
    """Return how well each of some samples finds the others of its class among them, as `evaluate`.

    Returns:
        `recall`: recall@1, the share whose nearest other is of their class. `map`: MAP@R (see
        `siamese.evaluation.answers`), which photographs of one series do not suffice for.
    """
    images = Embeddings.of(dataset.samples, rows, embed(rows))
    found = judge_among_others(images, np.arange(len(rows)), "others", params)
    columns = {"recall": "recall_at_1", "map": "average_precision"}
    is_in = found["findable"]
    return {name: float(found[column][is_in].mean()) for name, column in columns.items()}
