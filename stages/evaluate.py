"""Measure the embedding on the test split, and draw what a person would look at."""

import workspace

import json
from pathlib import Path

import numpy as np
import pandas as pd

from siamese.data.dataset import Dataset, load_dataset
from siamese.data.manifest import read_manifest
from siamese.data.near_duplicates import FILE, read_near_duplicates
from siamese.embedding_file import Embeddings, load_embeddings
from siamese.evaluation.class_table import class_table, confused_pairs, confusion_counts
from siamese.evaluation.evaluate import EvaluateParams, Evaluation, evaluate
from siamese.evaluation.evaluation_files import save_per_pair, save_per_query
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_mistakes,
    draw_neighbours,
    draw_training,
    draw_verification,
)
from siamese.files import new_file, new_folder, reading, write_json
from siamese.params import read_sections
from siamese.verification import Calibration

PREPARED, PAIRS, EMBEDDINGS = Path("data/prepared"), Path("data/pairs"), Path("data/embeddings")
MODEL, METRICS, PICTURES = Path("data/model"), Path("metrics"), Path("data/pictures")
CONFUSED = 10  # pairs of classes listed


def main() -> None:
    """Write the figures, the outcome of every query and pair, the tables and the pictures."""
    params = read_sections(evaluate=EvaluateParams)
    dataset = load_dataset(PREPARED)
    gallery = load_embeddings(EMBEDDINGS / "gallery.parquet")
    queries = load_embeddings(EMBEDDINGS / "queries.parquet")
    near_duplicate = read_near_duplicates(PREPARED / FILE, queries.samples)
    with reading(MODEL / "verification.json", "train") as file:
        thresholds = json.loads(file.read_text(encoding="utf-8"))
    with reading(METRICS / "training.csv", "train") as file:
        history = pd.read_csv(file)
    evaluation = evaluate(
        gallery,
        queries,
        near_duplicate,
        read_manifest(PAIRS / "test.parquet", dataset.samples, "test"),
        Calibration.from_json(thresholds),
        params.evaluate,
    )

    predicted = evaluation.per_query["predicted"].to_numpy()
    names = dataset.classes.fine
    counts = confusion_counts(queries.fine, predicted, len(names))
    tables = {
        "accuracy_by_k": evaluation.accuracy_by_k,
        "classes": class_table(counts, names),
        "distances": evaluation.pairs.distances(),
        "roc": evaluation.pairs.roc(),
    }
    with new_folder(PICTURES) as folder:
        draw_classes(gallery, queries, predicted, dataset, folder / "confusion.png")
        rng = np.random.default_rng(params.evaluate.seed)
        n_rows = min(params.evaluate.sheet_queries, len(queries.samples))
        chosen = rng.choice(len(queries.samples), n_rows, replace=False)
        n_columns = params.evaluate.sheet_neighbours
        cells = sheet(chosen, evaluation, gallery, queries, dataset, n_columns)
        draw_neighbours(*cells, folder / "neighbours.png")
        worst = evaluation.mistakes[:n_rows]
        cells = sheet(worst, evaluation, gallery, queries, dataset, n_columns)
        taken_for = [names[label] for label in predicted[worst]]
        draw_mistakes(*cells, taken_for, folder / "mistakes.png")
        draw_training(history, folder / "training.png")
        draw_verification(tables["roc"], tables["distances"], folder / "verification.png")
    for name, table in tables.items():
        with new_file(METRICS / f"{name}.csv") as file:
            table.to_csv(file, index=False)
    with new_file(METRICS / "per_query.parquet") as file:
        save_per_query(evaluation.per_query, file)
    with new_file(METRICS / "per_pair.parquet") as file:
        save_per_pair(evaluation.per_pair, file)
    details = evaluation.details | {"confused": confused_pairs(counts, names, CONFUSED)}
    write_json(METRICS / "details.json", details)
    write_json(METRICS / "evaluation.json", evaluation.metrics)
    print(f"evaluate: {evaluation.metrics}")


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
    evaluation: Evaluation,
    gallery: Embeddings,
    queries: Embeddings,
    dataset: Dataset,
    n_neighbours: int,
) -> tuple[np.ndarray, list[str], np.ndarray, list[list[str]]]:
    """Return images and class names of some queries, and of the nearest neighbours of each."""
    names = dataset.classes.fine
    neighbours = evaluation.neighbours[rows, :n_neighbours]
    return (
        dataset.images[queries.samples[rows]],
        [names[label] for label in queries.fine[rows]],
        dataset.images[gallery.samples[neighbours]],
        [[names[label] for label in labels] for labels in gallery.fine[neighbours]],
    )


if __name__ == "__main__":
    workspace.run(main)
