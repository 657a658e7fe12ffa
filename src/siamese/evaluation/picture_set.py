"""Which pictures an evaluation gets, and of which test images."""

from pathlib import Path

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset, is_forged
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import superclasses
from siamese.evaluation.evaluate import Evaluation
from siamese.evaluation.judgement import Judgement
from siamese.evaluation.params import EvaluateParams
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_pairs,
    draw_rows,
    draw_sentence,
    draw_verification,
)
from siamese.measures.knn import nearest_others
from siamese.measures.manifest import are_given
from siamese.pictures.style import readable


def draw_evaluation(
    evaluation: Evaluation,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw `confusion.png`, `neighbours.png`, `mistakes.png` and `verification.png`.

    The `evaluate` section says how many test images are shown, and the seed that picks them.
    """
    rng = np.random.default_rng(params.seed)
    n_rows = min(params.sheet_queries, len(queries.samples))
    chosen = rng.choice(len(queries.samples), n_rows, replace=False)
    if evaluation.judgement:
        _draw_answers(evaluation.judgement, gallery, queries, dataset, chosen, params, folder)
    else:
        _draw_others(evaluation, queries, dataset, chosen, params, folder)
    file = folder / "verification.png"
    which = "the given pairs" if are_given(evaluation.per_pair) else "all pairs of test images"
    draw_verification(evaluation.roc, evaluation.distances, file, evaluation.skilled, which)


def hardest_pairs(pairs: pd.DataFrame, n: int) -> np.ndarray:
    """Return the n like pairs that are farthest apart, and the n unlike ones that are nearest.

    Returns:
        Rows of `pairs`, int64 `[2, n]`: like pairs, unlike pairs, the hardest first. Where there
        are fewer than n of a kind, that many of both.
    """
    distance, same = pairs["distance"].to_numpy(), pairs["same"].to_numpy()
    like, unlike = np.flatnonzero(same), np.flatnonzero(~same)
    n = min(n, len(like), len(unlike))
    like = like[np.argsort(-distance[like], kind="stable")]
    unlike = unlike[np.argsort(distance[unlike], kind="stable")]
    return np.stack([like[:n], unlike[:n]])


def _draw_answers(
    judgement: Judgement,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw the confusions, the neighbours of the queries chosen, and the worst mistakes."""
    classes, predicted = dataset.classes, judgement.predicted
    if gallery.coarse is None or queries.coarse is None:
        draw_confusion(queries.fine, predicted, classes.fine, folder / "confusion.png")
    else:
        coarse = superclasses(gallery, predicted)
        draw_confusion(queries.coarse, coarse, classes.coarse, folder / "confusion.png")
    neighbours = judgement.neighbours[:, : params.sheet_neighbours]
    samples = np.column_stack([queries.samples, gallery.samples[neighbours]])  # (Q, 1 + K)
    headline = _headline(samples, "in the gallery")
    draw_rows(*_shown(samples[chosen], dataset), headline, folder / "neighbours.png")
    worst = judgement.mistakes[: len(chosen)]
    if not len(worst):
        draw_sentence("No test image was classified wrong", folder / "mistakes.png")
        return
    draw_rows(
        *_shown(samples[worst], dataset),
        "The most confident mistakes: a test image, what it was taken for, and its"
        f" {neighbours.shape[1]} nearest in the gallery",
        folder / "mistakes.png",
        [f"taken for\n{readable(classes.fine[label])}" for label in predicted[worst]],
    )


def _draw_others(
    evaluation: Evaluation,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    params: EvaluateParams,
    folder: Path,
) -> None:
    """Draw the same files where nothing is classified: test images beside each other."""
    sentence = "No class of the test images is in the gallery: nothing is classified"
    draw_sentence(sentence, folder / "confusion.png")
    others = nearest_others(queries.vectors, chosen, params.sheet_neighbours)
    samples = queries.samples[np.column_stack([chosen, others])]  # (n, 1 + K)
    headline = _headline(samples, "among the other test images")
    draw_rows(*_shown(samples, dataset), headline, folder / "neighbours.png")
    pairs = evaluation.hard_pairs
    hardest = hardest_pairs(pairs, len(chosen))  # (2, n)
    if not hardest.size:
        draw_sentence("All unlike test pairs are of forgeries", folder / "mistakes.png")
        return
    samples = pairs[["left", "right"]].to_numpy()[hardest]  # (2, n, 2)
    draw_pairs(
        *_shown(samples, dataset),
        pairs["distance"].to_numpy()[hardest],
        evaluation.details["verification"]["threshold"],
        folder / "mistakes.png",
        are_forged=bool(is_forged(dataset.samples)[samples].any()),
    )


def _headline(samples: np.ndarray, source: str) -> str:
    n_nearest = samples.shape[1] - 1
    return (
        f"A test image (left) and its {n_nearest} nearest {source}:"
        " green the same class, red another"
    )


def _shown(samples: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of samples, uint8 `[..., H, W, 3]`, and the names of their classes."""
    names = np.array(dataset.classes.fine)[dataset.fine()[samples]]
    forged = is_forged(dataset.samples)[samples]
    return dataset.images[samples], np.where(forged, np.char.add(names, ", forged"), names)
