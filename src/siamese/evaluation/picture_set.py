"""Which pictures an evaluation gets, and of which test images."""

from pathlib import Path

import numpy as np

from siamese.base.dataset import Dataset
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.evaluate import Evaluation, hardest_pairs
from siamese.evaluation.params import EvaluateParams
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_mistakes,
    draw_neighbours,
    draw_pairs,
    draw_sentence,
    draw_verification,
)
from siamese.measures.knn import nearest_others


def draw_evaluation(
    evaluation: Evaluation,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw `confusion.png`, `neighbours.png`, `mistakes.png` and `verification.png`.

    Args:
        evaluation: of these embeddings.
        gallery: the labelled embeddings.
        queries: the test images.
        dataset: where the images and the names of their classes are from.
        params: the `evaluate` section: how many test images, and the seed that picks them.
        folder: an existing one.
    """
    rng = np.random.default_rng(params.seed)
    n_rows = min(params.sheet_queries, len(queries.samples))
    chosen = rng.choice(len(queries.samples), n_rows, replace=False)
    if evaluation.is_classified:
        _draw_answers(evaluation, gallery, queries, dataset, chosen, params, folder)
    else:
        _draw_others(evaluation, queries, dataset, chosen, params, folder)
    all_pairs = evaluation.all_pairs
    draw_verification(all_pairs.roc(), all_pairs.distances(), folder / "verification.png")


def _draw_answers(
    evaluation: Evaluation,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw the confusions, the neighbours of the queries chosen, and the worst mistakes."""
    predicted = evaluation.per_query["predicted"].to_numpy()
    _draw_classes(gallery, queries, predicted, dataset, folder / "confusion.png")
    worst = evaluation.mistakes[: len(chosen)]
    cells, worst_cells = (
        _cells(
            rows, evaluation.neighbours[rows, : params.sheet_neighbours], queries, gallery, dataset
        )
        for rows in (chosen, worst)
    )
    draw_neighbours(*cells, folder / "neighbours.png")
    taken_for = [dataset.classes.fine[label] for label in predicted[worst]]
    draw_mistakes(*worst_cells, taken_for, folder / "mistakes.png")


def _draw_others(
    evaluation: Evaluation,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw the same files where only verification is measured: test images beside each other."""
    sentence = "No class of the test images is in the gallery: only verification is measured"
    draw_sentence(sentence, folder / "confusion.png")
    others = nearest_others(queries.vectors, chosen, params.sheet_neighbours)
    cells = _cells(chosen, others, queries, queries, dataset)
    draw_neighbours(*cells, folder / "neighbours.png", "among the other test images")
    hardest = hardest_pairs(evaluation.per_pair, len(chosen))  # (2, n)
    pairs = evaluation.per_pair.iloc[hardest.ravel()]
    samples = pairs[["left", "right"]].to_numpy()  # (2n, 2)
    images = dataset.images[samples]
    draw_pairs(
        images.reshape(*hardest.shape, *images.shape[1:]),
        [[dataset.classes.fine[label] for label in labels] for labels in dataset.fine()[samples]],
        pairs["distance"].to_numpy().reshape(hardest.shape),
        evaluation.details["verification"]["threshold"],
        folder / "mistakes.png",
    )


def _draw_classes(
    gallery: Embeddings, queries: Embeddings, predicted: np.ndarray, dataset: Dataset, file: Path
) -> None:
    """Draw which superclasses are taken for which; classes, where there are no superclasses."""
    if gallery.coarse is None or queries.coarse is None:
        draw_confusion(queries.fine, predicted, dataset.classes.fine, file)
        return
    superclass = dict(zip(gallery.fine.tolist(), gallery.coarse.tolist(), strict=True))
    coarse = np.array([superclass[label] for label in predicted.tolist()])
    draw_confusion(queries.coarse, coarse, dataset.classes.coarse, file)


def _cells(
    rows: np.ndarray,
    neighbours: np.ndarray,
    queries: Embeddings,
    gallery: Embeddings,
    dataset: Dataset,
) -> tuple[np.ndarray, list[str], np.ndarray, list[list[str]]]:
    """Return images and class names of some queries, and of their neighbours in the gallery."""
    names = dataset.classes.fine
    return (
        dataset.images[queries.samples[rows]],
        [names[label] for label in queries.fine[rows]],
        dataset.images[gallery.samples[neighbours]],
        [[names[label] for label in labels] for labels in gallery.fine[neighbours]],
    )
