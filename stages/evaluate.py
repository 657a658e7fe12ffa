"""Measure the embedding on the test split, and draw what a person would look at."""

import workspace

import json
from pathlib import Path

import numpy as np

from siamese.base.dataset import load_dataset, pictures_of
from siamese.base.files import new_folder, reading
from siamese.base.params import Section, read_sections
from siamese.duplicates.near_duplicate_file import FILE, read_near_duplicates
from siamese.embeddings.embedding_file import load_embeddings
from siamese.evaluation.evaluate import evaluate
from siamese.evaluation.params import EvaluateParams
from siamese.evaluation.picture_set import draw_evaluation
from siamese.evaluation.result_files import save_evaluation
from siamese.measures.manifest import read_manifest
from siamese.model.calibration import Calibration
from siamese.preparation.copies import copied_queries

PREPARED, PAIRS, EMBEDDINGS = Path("data/prepared"), Path("data/pairs"), Path("data/embeddings")
DUPLICATES = Path("data/duplicates")
MODEL, METRICS, PICTURES = Path("data/model"), Path("metrics"), Path("data/pictures")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    evaluate: EvaluateParams


def main() -> None:
    """Write the figures, the outcome of every query and pair, the tables and the pictures."""
    params = read_sections(Params)
    dataset = load_dataset(PREPARED)
    gallery = load_embeddings(EMBEDDINGS / "gallery.parquet")
    queries = load_embeddings(EMBEDDINGS / "queries.parquet")
    forged = None
    if len(dataset.forged("test")):
        forged = load_embeddings(EMBEDDINGS / "forged.parquet")
    near_duplicate = read_near_duplicates(DUPLICATES / FILE, queries.samples)
    with reading(MODEL / "verification.json", "train") as file:
        thresholds = json.loads(file.read_text(encoding="utf-8"))
    evaluation = evaluate(
        gallery,
        queries,
        copied_queries(dataset),
        near_duplicate,
        np.isin(queries.fine, dataset.novel_classes()),
        read_manifest(PAIRS / "test.parquet", dataset.samples, "test"),
        Calibration.from_json(thresholds),
        params.evaluate,
        forged,
        pictures_of(dataset.samples),
    )
    with new_folder(PICTURES) as folder:
        draw_evaluation(evaluation, gallery, queries, dataset, params.evaluate, folder)
    save_evaluation(evaluation, dataset.classes.fine, METRICS)
    print(f"evaluate: {evaluation.metrics}")


if __name__ == "__main__":
    workspace.run(main)
