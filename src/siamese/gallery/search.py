"""The nearest rows of a gallery: exact, in the order of `siamese.measures.knn.rank`.

A few queries are answered by LanceDB's own scan of the table on disk, which proposes candidates by
distances in float32. For many queries the vectors are read into memory once and searched by
`siamese.measures.knn.nearest`. Both give the same numbers and the same distances to the last bit.
Where the table has an index, the candidates come from it, and the answers lack what it misses.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.gallery.failures import reading
from siamese.gallery.rows import vectors_of
from siamese.gallery.table import GalleryTable, one_of
from siamese.measures.knn import SPARE, nearest_in_parts, rank

# From this many queries on, vectors are read into memory: LanceDB's scan takes a millisecond or two
# per query on 50,000 rows, scikit-learn's search a tenth of that, after a second to import it.
MANY_QUERIES = 100
# Up to this many rows, many queries are answered from memory even where there is an index: that is
# faster, and nothing is missed. On a million rows memory answers 44 queries per second, the index
# 120 and more.
MEMORY_ROWS = 300_000
# Queries that the index is asked at once.
AT_ONCE = 100
# Where rounding leaves open which rows are nearest, LanceDB is asked for `MORE` times as many
# candidates, up to a limit; then the vectors are read.
MORE, MOST_CANDIDATES = 8, 4096
# Vectors held between calls, and read at once where there are more, in bytes.
MEMORY = 2**30
# What an answer says of a row, beside its distance: the first fields of a `Neighbour`.
COLUMNS = ("number", "label", "superclass", "file", "source")


class Searcher:
    """Answers queries on one gallery, and remembers what it read of it."""

    def __init__(self, table: GalleryTable) -> None:
        self.table = table
        # LanceDB's table and its version, numbers, vectors.
        self._held: tuple[object, int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.table)

    def nearest(
        self, queries: np.ndarray, k: int, exact: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows nearest to each query.

        Args:
            queries: float32 `[Q, D]`.
            k: neighbours wanted, from 1 to the number of rows.
            exact: search without the index, if there is one. Many queries on up to `MEMORY_ROWS`
                rows never use it.

        Returns:
            Numbers, int64 `[Q, k]`, nearest first and the lower number first at equal distance; and
            their distances, float64 `[Q, k]`.

        Raises:
            InputError: k is out of range, or the queries have other dimensions or are not finite.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        n_rows = len(self.table)
        check_queries(self.table.address, n_rows, self.table.dimensions, queries, k)
        from_memory = len(queries) >= MANY_QUERIES and n_rows <= MEMORY_ROWS
        index = None if exact or from_memory else self.table.index
        if index is not None:
            return self.by_index(queries, k, index.probes)
        numbers = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float64)
        waiting = np.arange(len(queries))
        wanted = k + SPARE
        while 0 < len(waiting) < MANY_QUERIES and wanted <= MOST_CANDIDATES:
            scanned = self._scan(queries[waiting], k, min(wanted, n_rows), n_rows)
            numbers[waiting], distances[waiting], is_open = scanned
            waiting = waiting[is_open]
            wanted *= MORE
        if len(waiting):
            found = nearest_in_parts(self._pieces(), queries[waiting], k)
            numbers[waiting], distances[waiting] = found
        return numbers, distances

    def neighbours(
        self, queries: np.ndarray, k: int, exact: bool = True
    ) -> tuple[dict[str, list[Any]], np.ndarray, np.ndarray]:
        """Find the rows that `nearest` finds, and what the table says of them.

        Returns:
            The columns `COLUMNS` of all rows found, each row once, as lists; for each query the
            positions of its rows in them, int64 `[Q, k]`; and their distances, float64 `[Q, k]`.
        """
        numbers, distances = self.nearest(queries, k, exact)
        table = self.table.lookup(numbers, COLUMNS)
        positions = np.searchsorted(table["number"].to_numpy(), numbers)
        return {name: table[name].to_pylist() for name in COLUMNS}, positions, distances

    def of_label(self, label: str) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the columns `COLUMNS` of all n rows of a class, as lists, in no set order.

        And their vectors, float32 `[n, D]`.
        """
        found = self.table.read(["vector", *COLUMNS], one_of("label", [label]))
        vectors = vectors_of(found["vector"].combine_chunks())
        return {name: found[name].to_pylist() for name in COLUMNS}, vectors

    def label_names(self) -> list[str]:
        """Return the names of all classes, in no set order."""
        return self.table.read(["label"])["label"].unique().to_pylist()

    def _scan(
        self, queries: np.ndarray, k: int, wanted: int, n_rows: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rank LanceDB's candidates; tell for which queries others might be nearer, bool `[Q]`."""
        candidates = self._candidates(queries, wanted)
        assert candidates is not None, "a scan of all rows finds as many as there are"
        numbers, vectors, squared = candidates
        ranked, distances = rank(queries, vectors, numbers)
        # Apart from rounding, no row left out is nearer than the last candidate.
        last = squared.max(axis=1)
        edge = distances[:, k - 1] ** 2
        # Squares beyond float32 are infinite and leave everything open: their difference is NaN.
        with np.errstate(invalid="ignore"):
            is_closed = edge < last - rounding_error(last, queries.shape[1])
        is_open = ~is_closed & (wanted < n_rows)
        return ranked[:, :k], distances[:, :k], is_open

    def by_index(self, queries: np.ndarray, k: int, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """Rank what the index finds in the partitions nearest to each query.

        Args:
            queries: float32 `[Q, D]`.
            k: neighbours wanted.
            probes: partitions that are looked at.

        Returns:
            As `nearest`. Where these partitions have fewer rows than the candidates wanted, all
            rows are searched.
        """
        numbers = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float64)
        wanted = min(k + SPARE, len(self.table))
        for part in blocks(len(queries), AT_ONCE):
            candidates = self._candidates(queries[part], wanted, probes)
            if candidates is None:
                numbers[part], distances[part] = self.nearest(queries[part], k)
                continue
            found, vectors, _ = candidates
            ranked, gaps = rank(queries[part], vectors, found)
            numbers[part], distances[part] = ranked[:, :k], gaps[:, :k]
        return numbers, distances

    def _candidates(
        self, queries: np.ndarray, wanted: int, probes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Ask LanceDB, which scans all rows, or those in some partitions of the index.

        Returns:
            Numbers `[Q, wanted]`, vectors `[Q, wanted, D]` and squared distances `[Q, wanted]`, in
            no set order. None if the partitions of a query have fewer rows than wanted.
        """
        # Several queries go in as a list: LanceDB then says which query each row belongs to.
        asked = queries[0] if len(queries) == 1 else list(queries)
        with reading(self.table.address):
            query: Any = self.table.lance.search(asked, vector_column_name="vector")
            query = query.distance_type("l2")  # LanceDB returns its square
            query = query.bypass_vector_index() if probes is None else query.nprobes(probes)
            found = query.select(["number", "vector", "_distance"]).limit(wanted).to_arrow()
        if found.num_rows < len(queries) * wanted:
            return None
        if "query_index" in found.column_names:
            found = found.sort_by("query_index")
        shape = (len(queries), wanted)
        vectors = vectors_of(found["vector"].combine_chunks())
        return (
            found["number"].to_numpy().reshape(shape),
            vectors.reshape(*shape, self.table.dimensions),
            found["_distance"].to_numpy().astype(np.float64).reshape(shape),
        )

    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield numbers and vectors of all rows, and hold them for the next call if they fit."""
        # A gallery that was deleted and made again counts its versions from one again.
        lance, version = self.table.lance, self.table.version
        if self._held is None or self._held[0] is not lance or self._held[1] != version:
            self._held = None
            pieces = self._read_pieces()
            first = next(pieces)
            second = next(pieces, None)
            if second is not None:
                yield first
                yield second
                yield from pieces
                return
            self._held = (lance, version, *first)
        yield self._held[2:]

    def _read_pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield numbers and vectors by ascending number, of at most `MEMORY` bytes at once."""
        dimensions = self.table.dimensions
        left = len(self.table)
        batches = self.table.batches(["number", "vector"])
        batch = next(batches)
        while left:
            size = min(left, max(1, MEMORY // (4 * dimensions)))
            numbers = np.empty(size, dtype=np.int64)
            vectors = np.empty((size, dimensions), dtype=np.float32)
            filled = 0
            while filled < size:
                if not len(batch):
                    batch = next(batches)
                part = batch.slice(0, size - filled)
                numbers[filled : filled + len(part)] = part.column(0).to_numpy()
                vectors[filled : filled + len(part)] = vectors_of(part.column(1))
                filled += len(part)
                batch = batch.slice(len(part))
            # By number, so that the lower row of a tie is the one with the lower number.
            if (np.diff(numbers) < 0).any():
                order = np.argsort(numbers)
                numbers, vectors = numbers[order], vectors[order]
            yield numbers, vectors
            left -= size


def check_queries(address: str, n_rows: int, dimensions: int, queries: np.ndarray, k: int) -> None:
    """Refuse what cannot be asked of a gallery.

    Args:
        address: of the gallery.
        n_rows: that it has.
        dimensions: D, of its vectors.
        queries: float32 `[Q, D]`.
        k: neighbours wanted.

    Raises:
        InputError: it is empty, k is out of range, or the queries have other dimensions or are not
            finite.
    """
    if not n_rows:
        raise InputError(f"the gallery at {address} is empty; `siamese enroll` adds images")
    if not 1 <= k <= n_rows:
        raise InputError(
            f"{k} neighbours are asked for, but the gallery at {address} has {n_rows} rows;"
            " expected a number from 1 to that"
        )
    if queries.ndim != 2 or queries.shape[1] != dimensions:
        raise InputError(
            f"expected queries as float32 [Q, {dimensions}], found {list(queries.shape)}; were they"
            " made by another network than the gallery?"
        )
    if not np.isfinite(queries).all():
        row = int((~np.isfinite(queries).all(axis=1)).argmax())
        raise InputError(f"query {row} holds a value that is not finite")


def rounding_error(squared: np.ndarray, dimensions: int) -> np.ndarray:
    """Bound the error of LanceDB's squared distances, float64 `[Q]`.

    It sums the squares of D differences in float32. All terms are positive, so the error is
    relative: one rounding per difference, which is then squared, one per square, and fewer than D
    for the sum (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). The
    bound is twice that, and allows for values that underflow.

    Args:
        squared: what LanceDB returned, `[Q]`.
        dimensions: D.
    """
    relative = 2 * (dimensions + 3) * np.finfo(np.float32).eps
    return relative * squared + dimensions * 4 * float(np.finfo(np.float32).tiny)
