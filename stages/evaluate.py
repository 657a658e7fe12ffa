"""Measure the embedding on the test split, and draw what a person would look at."""

import workspace

import json
from pathlib import Path

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset, load_dataset
from siamese.base.files import new_file, new_folder, reading, write_json
from siamese.base.params import Section, read_sections
from siamese.duplicates.near_duplicate_file import FILE, read_near_duplicates
from siamese.embeddings.embedding_file import Embeddings, load_embeddings
from siamese.evaluation.class_table import (
    CLASS_COLUMNS,
    class_table,
    confused_pairs,
    confusion_counts,
)
from siamese.evaluation.evaluate import (
    Evaluation,
    evaluate,
    hardest_pairs,
)
from siamese.evaluation.evaluate_params import EvaluateParams
from siamese.evaluation.evaluation_files import save_per_pair, save_per_query
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_mistakes,
    draw_neighbours,
    draw_pairs,
    draw_sentence,
    draw_verification,
)
from siamese.measures.knn import nearest_others
from siamese.measures.manifest import read_manifest
from siamese.model.calibration import Calibration

PREPARED, PAIRS, EMBEDDINGS = Path("data/prepared"), Path("data/pairs"), Path("data/embeddings")
DUPLICATES = Path("data/duplicates")
MODEL, METRICS, PICTURES = Path("data/model"), Path("metrics"), Path("data/pictures")
CONFUSED = 10  # pairs of classes listed


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    evaluate: EvaluateParams


def main() -> None:
    """Write the figures, the outcome of every query and pair, the tables and the pictures."""
    params = read_sections(Params)
    dataset = load_dataset(PREPARED)
    gallery = load_embeddings(EMBEDDINGS / "gallery.parquet")
    queries = load_embeddings(EMBEDDINGS / "queries.parquet")
    near_duplicate = read_near_duplicates(DUPLICATES / FILE, queries.samples)
    with reading(MODEL / "verification.json", "train") as file:
        thresholds = json.loads(file.read_text(encoding="utf-8"))
    evaluation = evaluate(
        gallery,
        queries,
        near_duplicate,
        np.isin(queries.fine, dataset.novel_classes()),
        read_manifest(PAIRS / "test.parquet", dataset.samples, "test"),
        Calibration.from_json(thresholds),
        params.evaluate,
    )

    names = dataset.classes.fine
    tables = {
        "accuracy_by_k": evaluation.accuracy_by_k,
        "classes": pd.DataFrame(columns=list(CLASS_COLUMNS)),
        "distances": evaluation.pairs.distances(),
        "roc": evaluation.pairs.roc(),
    }
    details = evaluation.details
    if evaluation.is_classified:
        predicted = evaluation.per_query["predicted"].to_numpy()
        counts = confusion_counts(queries.fine, predicted)
        tables["classes"] = class_table(counts, names)
        details = details | {"confused": confused_pairs(counts, names, CONFUSED)}
    with new_folder(PICTURES) as folder:
        rng = np.random.default_rng(params.evaluate.seed)
        n_rows = min(params.evaluate.sheet_queries, len(queries.samples))
        chosen = rng.choice(len(queries.samples), n_rows, replace=False)
        n_neighbours = params.evaluate.sheet_neighbours
        if evaluation.is_classified:
            draw_answers(evaluation, gallery, queries, dataset, chosen, n_neighbours, folder)
        else:
            draw_others(evaluation, queries, dataset, chosen, n_neighbours, folder)
        draw_verification(tables["roc"], tables["distances"], folder / "verification.png")
    for name, table in tables.items():
        with new_file(METRICS / f"{name}.csv") as file:
            table.to_csv(file, index=False)
    with new_file(METRICS / "per_query.parquet") as file:
        save_per_query(evaluation.per_query, file)
    with new_file(METRICS / "per_pair.parquet") as file:
        save_per_pair(evaluation.per_pair, file)
    write_json(METRICS / "details.json", details)
    write_json(METRICS / "evaluation.json", evaluation.metrics)
    print(f"evaluate: {evaluation.metrics}")


def draw_answers(
    evaluation: Evaluation,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    n_neighbours: int,
    folder: Path,
) -> None:
    """Draw the confusions, the neighbours of the queries chosen, and the worst mistakes."""
    predicted = evaluation.per_query["predicted"].to_numpy()
    draw_classes(gallery, queries, predicted, dataset, folder / "confusion.png")
    worst = evaluation.mistakes[: len(chosen)]
    cells, worst_cells = (
        sheet(rows, evaluation.neighbours[rows, :n_neighbours], queries, gallery, dataset)
        for rows in (chosen, worst)
    )
    draw_neighbours(*cells, folder / "neighbours.png")
    taken_for = [dataset.classes.fine[label] for label in predicted[worst]]
    draw_mistakes(*worst_cells, taken_for, folder / "mistakes.png")


def draw_others(
    evaluation: Evaluation,
    queries: Embeddings,
    dataset: Dataset,
    chosen: np.ndarray,
    n_neighbours: int,
    folder: Path,
) -> None:
    """Draw the same files where verification alone is asked: test images beside each other."""
    sentence = "No class of the test images is in the gallery: verification alone is asked"
    draw_sentence(sentence, folder / "confusion.png")
    others = nearest_others(queries.vectors, chosen, n_neighbours)
    cells = sheet(chosen, others, queries, queries, dataset)
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


def draw_classes(
    gallery: Embeddings, queries: Embeddings, predicted: np.ndarray, dataset: Dataset, file: Path
) -> None:
    """Draw which superclasses are taken for which; classes, where there are no superclasses."""
    if gallery.coarse is None or queries.coarse is None:
        draw_confusion(queries.fine, predicted, dataset.classes.fine, file)
        return
    superclass = dict(zip(gallery.fine.tolist(), gallery.coarse.tolist(), strict=True))
    coarse = np.array([superclass[label] for label in predicted.tolist()])
    draw_confusion(queries.coarse, coarse, dataset.classes.coarse, file)


def sheet(
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


if __name__ == "__main__":
    workspace.run(main)
