"""One version of a gallery in memory, which answers without LanceDB.

The rows of the pipeline and the enrolled ones are held apart. What the table's metadata names (the
model, the embeddings, the data set) determines the first. So a newer version of the gallery usually
takes them over, and reads the enrolled rows alone.

A version never changes once it is read. So whoever asks one, in any thread, gets neighbours and
labels that belong together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from siamese.gallery.lists import Lists, grouped
from siamese.gallery.rows import vectors_of
from siamese.gallery.search import COLUMNS, check_queries
from siamese.gallery.table import IS_ENROLLED, GalleryTable
from siamese.gallery.vector_index import INDEX_FROM
from siamese.gallery.vectors import Vectors, VectorsOnDevice, squared_lengths
from siamese.measures.knn import LONGEST, SHORTEST, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

# Columns of few different values, which are held as codes.
CODED = ("label", "superclass", "source")
# Bytes of vectors that are read at once.
READ_AT_ONCE = 2**20
# Of a row, at most: for each value of its vector (half of which a short form may hold again), and
# for number, codes, half a square and the name of its file.
BYTES_PER_VALUE, OTHER_BYTES = 6, 64
# Metadata that determines the rows of the pipeline.
IDENTITY = ("model", "embeddings", "prepared")


@dataclass(frozen=True)
class Columns:
    """What an answer says of rows, except for their distances.

    Attributes:
        numbers: int64 `[n]`.
        codes: by column, positions in its texts, int32 `[n]`.
        texts: by column, its different values.
        files: where the images came from, `n` strings.
    """

    numbers: np.ndarray
    codes: dict[str, np.ndarray]
    texts: dict[str, list[str | None]]
    files: "pa.Array"

    def in_order(self, order: np.ndarray) -> "Columns":
        """Return the rows in another order, int64 `[n]`."""
        codes = {name: codes[order] for name, codes in self.codes.items()}
        return Columns(self.numbers[order], codes, self.texts, self.files.take(order))

    def of(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """Return the columns of some rows, int64 `[m]`, as lists of `m` values."""
        coded: dict[str, list[Any]] = {
            name: [self.texts[name][code] for code in codes[rows].tolist()]
            for name, codes in self.codes.items()
        }
        # One by one: Arrow's `take` costs more than a product with all vectors.
        files = [self.files[row].as_py() for row in rows.tolist()]
        return {**coded, "number": self.numbers[rows].tolist(), "file": files}


class Part:
    """Some rows of a gallery, ready to be asked."""

    def __init__(
        self, vectors: np.ndarray, columns: Columns, device: "torch.device | None" = None
    ) -> None:
        """Take float32 `[n, D]`, which may be put into another order, and their columns.

        With a device that is a GPU, products are taken there, and never with an index.
        """
        self.lists: Lists | None = None
        if device is not None and device.type != "cpu":
            self.rows: Vectors = VectorsOnDevice(vectors, columns.numbers, device)
        elif len(vectors) < INDEX_FROM:
            self.rows = Vectors(vectors, columns.numbers)
        else:
            centres, starts, order = grouped(vectors)
            columns = columns.in_order(order)
            self.rows = Vectors(vectors, columns.numbers, shorten=False)
            self.lists = Lists(self.rows, centres, starts)
        self.columns = columns

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def of_label(self, label: str) -> np.ndarray:
        """Return the rows of a class, int64 `[n]`."""
        names = self.columns.texts["label"]
        code = names.index(label) if label in names else -1
        return np.flatnonzero(self.columns.codes["label"] == code)

    def nearest(self, queries: np.ndarray, k: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows, int64 `[Q, k]`, and their distances, float64 `[Q, k]`."""
        searched = self.rows if exact or self.lists is None else self.lists
        return searched.nearest(queries, k)


@dataclass(frozen=True)
class Held:
    """A version of a gallery in memory.

    Attributes:
        address: of the gallery.
        dimensions: D, of its vectors.
        metadata: of its table.
        pipeline: its rows from the pipeline.
        enrolled: its enrolled rows.
    """

    address: str
    dimensions: int
    metadata: dict[str, str]
    pipeline: Part
    enrolled: Part

    @classmethod
    def read(
        cls,
        table: GalleryTable,
        limit: int,
        device: "torch.device | None" = None,
        earlier: "Held | None" = None,
    ) -> Self | None:
        """Read the version of a table that is open.

        Args:
            table: nobody else may change what it shows meanwhile.
            limit: bytes that the rows may take.
            device: a GPU that holds the vectors, too.
            earlier: an earlier version, held with the same device.

        Returns:
            None if the rows would take more than the limit.

        Raises:
            Unreadable: the table's files are gone or damaged.
        """
        dimensions, metadata = table.dimensions, table.metadata
        n_rows, n_enrolled = len(table), table.count(IS_ENROLLED)
        n_pipeline = n_rows - n_enrolled
        if n_rows * (BYTES_PER_VALUE * dimensions + OTHER_BYTES) > limit:
            return None
        if earlier is not None and earlier._has_pipeline_of(metadata, n_pipeline):
            pipeline = earlier.pipeline
        else:
            at_once = max(1, READ_AT_ONCE // (4 * dimensions))
            batches = table.slices(["vector", *COLUMNS], at_once) if n_pipeline else []
            own = (batch.filter(_is_of_pipeline(batch)) for batch in batches)
            pipeline = Part(*_read(own, n_pipeline, dimensions), device)
        batches = table.batches(["vector", *COLUMNS], IS_ENROLLED) if n_enrolled else []
        enrolled = Part(*_read(batches, n_enrolled, dimensions), device)
        return cls(table.address, dimensions, metadata, pipeline, enrolled)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.pipeline) + len(self.enrolled)

    def neighbours(
        self, queries: np.ndarray, k: int, exact: bool = True
    ) -> tuple[dict[str, list[Any]], np.ndarray, np.ndarray]:
        """Do what `siamese.gallery.search.Searcher.neighbours` does; `exact` uses no lists."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        check_queries(self.address, len(self), self.dimensions, queries, k)
        self._check_lengths(queries, k)
        # Rows of the pipeline come first, then the enrolled ones.
        rows, distances, numbers = (
            np.empty((len(queries), 0), type_) for type_ in (int, float, int)
        )
        for part, first in ((self.pipeline, 0), (self.enrolled, len(self.pipeline))):
            if len(part):
                found, gaps = part.nearest(queries, min(k, len(part)), exact)
                rows = np.hstack([rows, found + first])
                distances = np.hstack([distances, gaps])
                numbers = np.hstack([numbers, part.columns.numbers[found]])
        order = np.lexsort((numbers, distances), axis=-1)[:, :k]
        rows, distances = (np.take_along_axis(each, order, 1) for each in (rows, distances))
        unique, positions = np.unique(rows, return_inverse=True)
        split = np.searchsorted(unique, len(self.pipeline))
        both = (
            self.pipeline.columns.of(unique[:split]),
            self.enrolled.columns.of(unique[split:] - len(self.pipeline)),
        )
        stored = {name: both[0][name] + both[1][name] for name in COLUMNS}
        return stored, positions.reshape(rows.shape), distances

    def of_label(self, label: str) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Do what `siamese.gallery.search.Searcher.of_label` does."""
        rows = self.pipeline.of_label(label), self.enrolled.of_label(label)
        both = self.pipeline.columns.of(rows[0]), self.enrolled.columns.of(rows[1])
        vectors = self.pipeline.rows.vectors[rows[0]], self.enrolled.rows.vectors[rows[1]]
        stored = {name: both[0][name] + both[1][name] for name in COLUMNS}
        return stored, np.concatenate(vectors)

    def label_names(self) -> list[str]:
        """Return the names of all classes, in no set order."""
        texts = (part.columns.texts["label"] for part in (self.pipeline, self.enrolled))
        return list({name for names in texts for name in names if name is not None})

    def _has_pipeline_of(self, metadata: dict[str, str], n_rows: int) -> bool:
        """Tell whether another version has the same rows of the pipeline, for certain."""
        same = all(
            name in metadata and metadata[name] == self.metadata.get(name) for name in IDENTITY
        )
        return same and n_rows == len(self.pipeline)

    def _check_lengths(self, queries: np.ndarray, k: int) -> None:
        """Refuse what `siamese.measures.knn.nearest` refuses, in its words."""
        parts = [part.rows for part in (self.pipeline, self.enrolled) if len(part)]
        longest = max(part.longest for part in parts)
        longest = max(longest, float(np.sqrt(squared_lengths(queries).max(initial=0))))
        if longest and not SHORTEST <= longest <= LONGEST:
            nearest(np.concatenate([part.vectors for part in parts]), queries, k)


def _read(
    batches: Iterable["pa.RecordBatch"], n_rows: int, dimensions: int
) -> tuple[np.ndarray, Columns]:
    """Return the vectors, float32 `[n_rows, dimensions]`, and the columns of rows."""
    import pyarrow as pa

    # Filled in place: a second copy might not fit.
    vectors = np.empty((n_rows, dimensions), dtype=np.float32)
    numbers = np.empty(n_rows, dtype=np.int64)
    codes = {name: np.empty(n_rows, dtype=np.int32) for name in CODED}
    known: dict[str, dict[str | None, int]] = {name: {} for name in CODED}
    files = [pa.array([], pa.string())]
    filled = 0
    for batch in batches:
        place = slice(filled, filled + len(batch))
        filled = place.stop
        vectors[place] = vectors_of(batch.column("vector"))
        numbers[place] = batch.column("number").to_numpy()
        for name in CODED:
            column = batch.column(name).dictionary_encode("encode")  # null has a code, too
            own = [
                known[name].setdefault(text, len(known[name]))
                for text in column.dictionary.to_pylist()
            ]
            codes[name][place] = np.array(own, dtype=np.int32)[column.indices.to_numpy()]
        files.append(batch.column("file"))
    texts = {name: list(codes_of) for name, codes_of in known.items()}
    return vectors, Columns(numbers, codes, texts, pa.concat_arrays(files))


def _is_of_pipeline(batch: "pa.RecordBatch") -> "pa.Array":
    import pyarrow.compute as pc

    return pc.equal(batch.column("source"), "pipeline")
