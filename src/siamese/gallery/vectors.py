"""The exact nearest of vectors in memory, by a matrix product.

For a query q and a row g, |q - g|² = |q|² + 2 (|g|²/2 - q·g). What stands in brackets is the row's
*score*: the least score is the nearest row, and one product gives the scores of all rows. In
float32 each is wrong by no more than a known error. So the k nearest, ties included, are among the
rows whose score is within twice that error of the k-th least. `siamese.measures.knn.rank` orders
these few, and the answer is that of `siamese.measures.knn.nearest` to the last bit.

A processor spends most of the time on reading the vectors. Where nearly all of their length lies in
few directions, as of embeddings of a hundred classes, the product is taken over *short* vectors:
the part in these directions, and the length of the rest as one more value. By Cauchy and Schwarz, a
short score never exceeds the true one, so it tells which rows cannot be among the nearest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from siamese.base.blocks import blocks
from siamese.measures.knn import rank

if TYPE_CHECKING:
    import torch

# Scores held at once: in float32 by a processor, in float64 by a GPU.
SCORES_AT_ONCE, ON_DEVICE_AT_ONCE = 2**22, 2**27
# From this many queries on, BLAS multiplies matrices. Fewer are multiplied one by one, by one
# thread, which does not wait for threads that others keep from running. BLAS took 12 ms instead of
# 0.1 beside other work on two cores (50,000 short vectors); this takes 0.4. A million vectors take
# 17 ms either way: memory is the limit.
MATRIX_FROM = 8
# Values of vectors that are brought to float64 at once.
VALUES_AT_ONCE = 2**20
# The k-th least score is bounded by the least of each of so many groups of rows.
GROUPS = 1024
# Short vectors have a multiple of `STEP` values, half of all at most, and leave out this share of
# the squared lengths at most. With fewer rows than this, the product is not what takes long.
STEP, LEFT_OUT, SHORTENED_FROM = 16, 0.02, 10_000
# Rows that the directions are taken from; any directions give right answers.
LOOKED_AT = 10_000


@dataclass(frozen=True)
class Directions:
    """Turns vectors so that their first values hold most of their length.

    Attributes:
        axes: orthonormal columns, float64 `[D, D]`.
        kept: how many of them stay.
    """

    axes: np.ndarray
    kept: int

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Directions | None":
        """Return the directions of vectors, float32 `[N, D]`; None if shortening does not pay."""
        dimensions = vectors.shape[1]
        some = vectors[:: len(vectors) // LOOKED_AT + 1].astype(np.float64)
        sizes, axes = np.linalg.eigh(some.T @ some)  # ascending
        sizes, axes = np.maximum(sizes[::-1], 0), np.ascontiguousarray(axes[:, ::-1])
        left_out = 1 - np.cumsum(sizes) / max(sizes.sum(), np.finfo(np.float64).tiny)
        for kept in range(STEP - 1, dimensions // 2, STEP):
            if left_out[kept - 1] <= LEFT_OUT:
                return cls(axes, kept)
        return None

    def shortened(self, vectors: np.ndarray) -> np.ndarray:
        """Return the short form of vectors, float32 `[n, D]`, as float32 `[n, kept + 1]`."""
        turned = vectors.astype(np.float64) @ self.axes
        rest = np.sqrt(squared_lengths(turned[:, self.kept :]))
        return np.column_stack([turned[:, : self.kept], rest]).astype(np.float32)


class Vectors:
    """Vectors in memory, which find the nearest of themselves.

    Attributes:
        vectors: float32 `[N, D]`.
        numbers: of their rows, int64 `[N]`.
        halves: half of their squared lengths, float32 `[N]`.
        longest: the greatest of their lengths.
    """

    def __init__(self, vectors: np.ndarray, numbers: np.ndarray, shorten: bool = True) -> None:
        self.vectors, self.numbers = vectors, numbers
        self.halves = np.empty(len(vectors), dtype=np.float32)
        self.longest = 0.0
        for part in self._parts(len(vectors)):
            squares = squared_lengths(vectors[part])
            self.halves[part] = squares / 2
            self.longest = max(self.longest, float(np.sqrt(squares.max())))
        shorten = shorten and len(vectors) >= SHORTENED_FROM
        self.directions = Directions.of(vectors) if shorten else None
        self._compared = vectors
        if self.directions is not None:
            width = self.directions.kept + 1
            self._compared = np.empty((len(vectors), width), dtype=np.float32)
            for part in self._parts(len(vectors)):
                self._compared[part] = self.directions.shortened(vectors[part])

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.vectors)

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows nearest to each query, in the order of `siamese.measures.knn.rank`.

        Args:
            queries: float32 `[Q, D]`, finite; the squares of their lengths, and of the rows', are
                well inside the range of float32.
            k: neighbours wanted, from 1 to N.

        Returns:
            Rows, int64 `[Q, k]`, nearest first, and their distances, float64 `[Q, k]`.
        """
        rows = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float64)
        for row, near in enumerate(self._near(queries, k)):
            rows[row], distances[row] = self.ranked(queries[row], near, k)
        return rows, distances

    def ranked(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k of some rows that are nearest to one query `[D]`, and their distances."""
        rows = rows[np.argsort(self.numbers[rows])]  # so a place among them ranks as the number
        found = [
            rank(query[None], self.vectors[rows[part]][None], np.arange(len(rows))[None, part])
            for part in self._parts(len(rows))
        ]
        places, distances = (np.concatenate(each, axis=1)[0] for each in zip(*found, strict=True))
        if len(found) > 1:
            order = np.lexsort((places, distances))
            places, distances = places[order], distances[order]
        return rows[places[:k]], distances[:k]

    def error(self, query: np.ndarray) -> float:
        """Bound the error of one query's scores: up to D roundings of (|q| + |g|)² in float32."""
        float32, dimensions = np.finfo(np.float32), len(query)
        reach = float(np.sqrt(squared_lengths(query))) + self.longest
        return float((dimensions + 8) * float32.eps * reach**2 + 4 * dimensions * float32.tiny)

    def _near(self, queries: np.ndarray, k: int) -> Iterator[np.ndarray]:
        """Yield for each query the rows that may be among the k nearest."""
        compared = queries if self.directions is None else self.directions.shortened(queries)
        for part in blocks(len(queries), max(1, SCORES_AT_ONCE // len(self))):
            scores = np.empty((len(compared[part]), len(self)), dtype=np.float32)
            if len(scores) < MATRIX_FROM:
                for query, own in zip(compared[part], scores, strict=True):
                    np.vecdot(self._compared, query, out=own)
            else:
                np.matmul(compared[part], self._compared.T, out=scores)
            np.subtract(self.halves, scores, out=scores)
            for query, own in zip(queries[part], scores, strict=True):
                error = self.error(query)
                near = least(own, k, 2 * error)
                if self.directions is not None:
                    # No row of the k nearest is farther than the k-th of these.
                    edge = self.ranked(query, near, k)[1][-1] ** 2
                    limit = (edge - float(squared_lengths(query))) / 2 + 2 * error
                    near = np.flatnonzero(own <= limit)
                yield near

    def _parts(self, total: int) -> Iterator[slice]:
        return blocks(total, max(1, VALUES_AT_ONCE // self.vectors.shape[1]))


class VectorsOnDevice(Vectors):
    """Does what `Vectors` does, with the product on a GPU.

    In float64, as in `siamese.measures.knn`: no setting of PyTorch makes these products coarser.
    """

    def __init__(
        self, vectors: np.ndarray, numbers: np.ndarray, device: "torch.device | None"
    ) -> None:
        import torch

        super().__init__(vectors, numbers, shorten=False)
        self._on_device = torch.from_numpy(vectors).to(device, torch.float64)
        self._halves = self._on_device.square().sum(dim=1) / 2

    def _near(self, queries: np.ndarray, k: int) -> Iterator[np.ndarray]:
        import torch

        for part in blocks(len(queries), max(1, ON_DEVICE_AT_ONCE // len(self))):
            asked = torch.from_numpy(queries[part]).to(self._on_device)
            scores = torch.addmm(self._halves[None], asked, self._on_device.T, alpha=-1)
            kth = scores.topk(k, largest=False).values[:, -1:]
            errors = [2 * self.error(query) for query in queries[part]]  # float32's: to spare
            slack = torch.tensor(errors, dtype=torch.float64)[:, None].to(kth)
            which, rows = (scores <= kth + slack).nonzero(as_tuple=True)
            counts = which.bincount(minlength=len(asked)).tolist()
            yield from np.split(rows.cpu().numpy(), np.cumsum(counts)[:-1])


def least(scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """Return the rows whose score, float32 `[n]`, is within `slack` of the k-th least."""
    near = np.arange(len(scores))
    groups = min(GROUPS, len(scores) // 8)
    if k <= groups:
        # As many rows as groups are at or below the k-th least of the groups' least. A group is
        # every so-and-so-many-th row, so that rows which lie together are in different groups.
        whole = scores[: len(scores) // groups * groups].reshape(-1, groups)
        bound = np.partition(whole.min(axis=0), k - 1)[k - 1]
        near = np.flatnonzero(scores <= bound + slack)
    if k < len(near):
        kept = scores[near]
        near = near[kept <= np.partition(kept, k - 1)[k - 1] + slack]
    return near


def squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the squared length of vectors, `[..., D]`, as float64 `[...]`."""
    return np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64)
