"""The test images that a map shows beside the gallery, and what they were taken for."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamese.base.dataset import Classes
from siamese.base.files import reading, sha256
from siamese.base.parquet import read_frame
from siamese.embeddings.embedding_file import load_embeddings

GALLERY, QUERIES = "data/embeddings/gallery.parquet", "data/embeddings/queries.parquet"
OUTCOMES = "metrics/per_query.parquet"


@dataclass(frozen=True)
class Queries:
    """Embedded images of the test split.

    Attributes:
        samples: int64 `[n]`, ascending.
        labels: the names of their classes, object `[n]`.
        called: what the evaluation took them for, object `[n]`; None where nothing tells.
        vectors: float32 `[n, D]`.
    """

    samples: np.ndarray
    labels: np.ndarray
    called: np.ndarray
    vectors: np.ndarray


def find_queries(
    workspace: Path, prepared: Path, made_of: dict[str, str]
) -> tuple[Queries | None, list[str]]:
    """Find the test images that belong to a gallery.

    Args:
        workspace: the project's folder.
        prepared: the data set's folder, for the names of the classes.
        made_of: the metadata of the gallery.

    Returns:
        The images, or None; and sentences on what is missing.

    Raises:
        InputError: a file is damaged.
    """
    file = workspace / QUERIES
    if not file.exists():
        return None, [f"There is no {QUERIES}, so the map has no test images."]
    names_file = prepared / "classes.json"
    fits = (
        (workspace / GALLERY, [made_of.get("embeddings")]),
        (names_file, made_of.get("prepared", "").split()[:1]),
    )
    if not all(path.exists() and [sha256(path)] == expected for path, expected in fits):
        return None, [
            "The test images are left out: their embeddings are not of the run that the gallery"
            " was built from. `siamese gallery build` brings both together."
        ]
    with reading(names_file, "prepare"):
        names = np.array(Classes.from_json(json.loads(names_file.read_text("utf-8"))).fine, object)
    queries = load_embeddings(file)
    called, notes = _called(workspace / OUTCOMES, queries.samples, names)
    return Queries(queries.samples, names[queries.fine], called, queries.vectors), notes


def _called(file: Path, samples: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the names that test images were given, object `[n]`, and what is missing."""
    unknown = np.full(len(samples), None, dtype=object)
    nothing_tells = "so nothing tells which test images went wrong"
    if not file.exists():
        return unknown, [f"There is no {OUTCOMES}, {nothing_tells}; `dvc repro` makes it."]
    with reading(file, "evaluate"):
        outcomes = read_frame(file)
        same_images = np.array_equal(outcomes["sample"].to_numpy(), samples)
    if not same_images:
        return unknown, [f"{OUTCOMES} is about other test images, {nothing_tells}."]
    if "predicted" not in outcomes:
        return unknown, ["Test images are only verified here, not classified: none went wrong."]
    return names[outcomes["predicted"].to_numpy()], []
