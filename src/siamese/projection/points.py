"""Which images a map shows: rows of the gallery and test images, evenly of every class."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from siamese.gallery.rows import vectors_of
from siamese.gallery.table import GalleryTable
from siamese.projection.queries import Queries

# Points of a map, those enrolled not counted. The page stays fluid with several times as many;
# t-SNE takes its time.
POINTS = 10_000
PIPELINE, ENROLLED, QUERY = KINDS = ("pipeline", "enrolled", "query")


@dataclass(frozen=True)
class Points:
    """What a map shows: rows of the pipeline, enrolled rows and test images, in this order.

    Attributes:
        numbers: of the gallery's row, or of the test image's sample; int64 `[n]`, ascending within
            each kind.
        kinds: of `KINDS`, object `[n]`.
        labels: names of classes, object `[n]`.
        called: what test images were taken for, object `[n]`; None for others, and where nothing
            tells.
    """

    numbers: np.ndarray
    kinds: np.ndarray
    labels: np.ndarray
    called: np.ndarray

    def __len__(self) -> int:
        """Count the points."""
        return len(self.numbers)

    @classmethod
    def of_rows(cls, rows: pd.DataFrame) -> Self:
        """Make points of rows of the gallery, as `read_rows` gives them."""
        return cls(
            rows["number"].to_numpy(np.int64),
            rows["source"].to_numpy(object),
            rows["label"].to_numpy(object),
            np.full(len(rows), None, dtype=object),
        )

    @classmethod
    def of_queries(cls, queries: Queries) -> Self:
        """Make points of test images."""
        kinds = np.full(len(queries.samples), QUERY, dtype=object)
        return cls(queries.samples, kinds, queries.labels, queries.called)

    def __getitem__(self, which: np.ndarray) -> "Points":
        """Return some of the points, by rows or by a mask."""
        fields = {name: values[which] for name, values in vars(self).items()}
        return replace(self, **fields)

    def joined(self, other: "Points") -> "Points":
        """Return these points, then others."""
        fields = {
            name: np.concatenate([values, getattr(other, name)])
            for name, values in vars(self).items()
        }
        return replace(self, **fields)


def read_rows(table: GalleryTable) -> pd.DataFrame:
    """Read `number`, `label`, `superclass` and `source` of all rows, by ascending number."""
    columns = ["number", "label", "superclass", "source"]
    return table.read(columns).sort_by("number").to_pandas()


def read_vectors(table: GalleryTable, numbers: np.ndarray) -> np.ndarray:
    """Return the vectors of rows, float32 `[n, D]`, in the order of `numbers`, int64 `[n]`."""
    vectors = np.empty((len(numbers), table.dimensions), dtype=np.float32)
    order = np.argsort(numbers)
    for batch in table.batches(["number", "vector"]) if len(numbers) else []:
        found = batch.column("number").to_numpy()
        places = np.searchsorted(numbers, found, sorter=order).clip(max=len(numbers) - 1)
        rows = order[places]
        is_wanted = numbers[rows] == found
        vectors[rows[is_wanted]] = vectors_of(batch.column("vector"))[is_wanted]
    return vectors


def choose(rows: pd.DataFrame, queries: Queries | None, limit: int = POINTS) -> Points:
    """Choose what a map shows: at most `limit` points, half of them test images if there are many.

    Enrolled rows, up to as many again, come on top: who enrols an image wants to see it.

    Args:
        rows: of the gallery, as `read_rows` gives them.
        queries: the test images, if there are any.
        limit: of the rows of the pipeline and the test images together.
    """
    gallery = Points.of_rows(rows)
    pipeline, enrolled = (gallery[gallery.kinds == kind] for kind in (PIPELINE, ENROLLED))
    enrolled = enrolled[evenly(enrolled.labels, limit)]
    if queries is None:
        return pipeline[evenly(pipeline.labels, limit)].joined(enrolled)
    asked = Points.of_queries(queries)
    n_asked = min(len(asked), max(limit // 2, limit - len(pipeline)))
    pipeline = pipeline[evenly(pipeline.labels, limit - n_asked)]
    return pipeline.joined(enrolled).joined(asked[evenly(asked.labels, n_asked)])


def evenly(labels: np.ndarray, limit: int) -> np.ndarray:
    """Choose at most `limit` rows, of every class as many as of the others, as far as it has them.

    Args:
        labels: of any kind, `[n]`.
        limit: rows wanted.

    Returns:
        int64 `[min(n, limit)]`, ascending; the same ones for the same labels.
    """
    shuffled = np.random.default_rng(0).permutation(len(labels))
    turn = pd.Series(labels[shuffled]).groupby(labels[shuffled]).cumcount().to_numpy()
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:limit]])
