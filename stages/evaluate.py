"""Measure the embedding on the test split, and draw what a person would look at."""

import workspace

import json
from pathlib import Path

import numpy as np
import pandas as pd

from siamese.dataset import load_dataset
from siamese.embedding_file import load_embeddings
from siamese.evaluation import EvaluateParams, evaluate
from siamese.files import new_file, new_folder, reading, write_json
from siamese.manifest import read_manifest
from siamese.params import read_sections
from siamese.pictures import draw_confusion, draw_neighbours, draw_training
from siamese.verification import Calibration

PREPARED, PAIRS, EMBEDDINGS = Path("data/prepared"), Path("data/pairs"), Path("data/embeddings")
MODEL, METRICS, PICTURES = Path("data/model"), Path("metrics"), Path("data/pictures")


def main() -> None:
    """Write `metrics/evaluation.json`, the accuracy by k and the pictures."""
    params = read_sections(evaluate=EvaluateParams)
    dataset = load_dataset(PREPARED)
    gallery = load_embeddings(EMBEDDINGS / "gallery.parquet")
    queries = load_embeddings(EMBEDDINGS / "queries.parquet")
    with reading(MODEL / "verification.json", "train") as file:
        thresholds = json.loads(file.read_text(encoding="utf-8"))
    with reading(METRICS / "training.csv", "train") as file:
        history = pd.read_csv(file)
    evaluation = evaluate(
        gallery,
        queries,
        read_manifest(PAIRS / "test.parquet", dataset.samples, "test"),
        Calibration.from_json(thresholds),
        params.evaluate,
    )

    classes = dataset.classes
    with new_folder(PICTURES) as folder:
        if gallery.coarse is None or queries.coarse is None:
            actual, predicted, names = queries.fine, evaluation.predicted, classes.fine
        else:
            superclass = dict(zip(gallery.fine.tolist(), gallery.coarse.tolist(), strict=True))
            predicted = np.array([superclass[label] for label in evaluation.predicted.tolist()])
            actual, names = queries.coarse, classes.coarse
        draw_confusion(actual, predicted, names, folder / "confusion.png")

        rng = np.random.default_rng(params.evaluate.seed)
        n_queries = min(params.evaluate.sheet_queries, len(queries.samples))
        chosen = rng.choice(len(queries.samples), n_queries, replace=False)
        rows = evaluation.neighbours[chosen, : params.evaluate.sheet_neighbours]
        draw_neighbours(
            dataset.images[queries.samples[chosen]],
            [classes.fine[label] for label in queries.fine[chosen]],
            dataset.images[gallery.samples[rows]],
            [[classes.fine[label] for label in labels] for labels in gallery.fine[rows]],
            folder / "neighbours.png",
        )
        draw_training(history, folder / "training.png")
    with new_file(METRICS / "accuracy_by_k.csv") as file:
        evaluation.accuracy_by_k.to_csv(file, index=False)
    write_json(METRICS / "evaluation.json", evaluation.metrics)
    print(f"evaluate: {evaluation.metrics}")


if __name__ == "__main__":
    workspace.run(main)
