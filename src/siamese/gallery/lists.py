"""An index of vectors in memory: lists of rows that lie together, of which a query looks at few.

Each row is in the list of the nearest of √N centres, which k-means finds: an *inverted file*, as
IVF_FLAT of LanceDB and FAISS. The lists are the vectors themselves, put into this order, so nothing
is stored twice and an exact search uses the same memory. Scores, ranking and ties are those of
`siamese.gallery.vectors`: only rows of lists that a query does not look at can be missed.

A query looks at the lists whose centres are not much farther than the nearest centre. So an image
in the middle of a class looks at a few lists, and one between classes at many.
"""

import numpy as np

from siamese.base.blocks import blocks
from siamese.gallery.vectors import Vectors, least, squared_lengths

# Rows per list that centres are trained on, and rounds of training.
TRAINED_ON, ROUNDS = 48, 10
# Scores of centres that are held at once.
SCORES_AT_ONCE = 2**20
# How far a query looks, as a multiple of the mean squared distance of rows to their centres. It is
# doubled until the share of the ten nearest rows that is found reaches the target. Rows of the
# gallery need half of this; images that are like several of its classes need all of it.
FIRST_REACH, TARGET = 1.0, 0.99
# Of the squared length of the longest vector: so that doubling gets somewhere.
LEAST_SPREAD = 1e-6
K = 10
# Rows that recall is measured on; each is asked about as if the gallery did not hold it.
N_ASKED = 200
# Values of each vector that are moved at once: a second copy of all might not fit.
MOVED_AT_ONCE = 4


def grouped(vectors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find centres, and put the vectors of each list together, in place.

    Args:
        vectors: float32 `[N, D]`; their order is changed.
        seed: of the choice of rows that centres are trained on.

    Returns:
        The centres, float32 `[L, D]`; where each list begins and the last one ends, int64
        `[L + 1]`; and which row has come to each place, int64 `[N]`.
    """
    n_lists = max(1, round(len(vectors) ** 0.5))
    rng = np.random.default_rng(seed)
    n_trained = min(len(vectors), TRAINED_ON * n_lists)
    trained = vectors[np.sort(rng.choice(len(vectors), n_trained, replace=False))]
    centres = trained[rng.choice(n_trained, n_lists, replace=False)]
    for _ in range(ROUNDS):
        nearest = _nearest_centres(trained, centres)
        order, starts = _by_list(nearest, n_lists)
        filled = np.flatnonzero(np.diff(starts))  # an empty list keeps its centre
        counts = np.diff(starts)[filled, None]
        for values in blocks(vectors.shape[1], MOVED_AT_ONCE):
            sums = np.add.reduceat(trained[order, values], starts[filled], axis=0)
            centres[filled, values] = sums / counts
    order, starts = _by_list(_nearest_centres(vectors, centres), n_lists)
    for values in blocks(vectors.shape[1], MOVED_AT_ONCE):
        vectors[:, values] = vectors[order, values]
    return centres, starts, order


class Lists:
    """Finds the nearest of vectors in some lists.

    Attributes:
        reach: by how much the squared distance to a centre may exceed that to the nearest centre.
        recall: share of the ten nearest rows that is found, measured on rows.
    """

    def __init__(self, rows: Vectors, centres: np.ndarray, starts: np.ndarray) -> None:
        """Take vectors and what `grouped` has returned about them, and measure the recall."""
        self._rows, self._centres, self._starts = rows, centres, starts
        self._halves = (squared_lengths(centres) / 2).astype(np.float32)
        rng = np.random.default_rng(0)
        asked = np.sort(rng.choice(len(rows), min(N_ASKED, len(rows)), replace=False))
        vectors = rows.vectors[asked]
        own = np.searchsorted(starts, asked, side="right") - 1
        spread = float(squared_lengths(vectors - centres[own]).mean())
        self.reach = FIRST_REACH * max(spread, LEAST_SPREAD * rows.longest**2)
        right = rows.nearest(vectors, min(K + 1, len(rows)))[0]
        while (recall := self._recall(asked, right)) < TARGET:
            self.reach *= 2
        self.recall = recall

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Do what `Vectors.nearest` does, in the lists whose centres are nearest to a query.

        Where these lists have fewer than k rows, all rows are searched.
        """
        rows = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float64)
        for row, query in enumerate(queries):
            near = self._near(query, k)
            if near is None:
                found, gaps = self._rows.nearest(query[None], k)
                rows[row], distances[row] = found[0], gaps[0]
            else:
                rows[row], distances[row] = self._rows.ranked(query, near, k)
        return rows, distances

    def _near(self, query: np.ndarray, k: int) -> np.ndarray | None:
        """Return the rows that may be among the k nearest; None if the lists have too few."""
        distances = 2 * (self._halves - np.vecdot(self._centres, query))  # squared, less |q|²
        lists = np.flatnonzero(distances <= distances.min() + self.reach)
        firsts, ends = self._starts[lists], self._starts[lists + 1]
        places = np.concatenate([[0], np.cumsum(ends - firsts)])  # of the lists among the scores
        if places[-1] < k:
            return None
        scores = np.empty(places[-1], dtype=np.float32)
        for first, end, place in zip(
            firsts.tolist(), ends.tolist(), places[:-1].tolist(), strict=True
        ):
            own = scores[place : place + end - first]
            np.vecdot(self._rows.vectors[first:end], query, out=own)
            np.subtract(self._rows.halves[first:end], own, out=own)
        near = least(scores, k, 2 * self._rows.error(query))
        which = np.searchsorted(places, near, side="right") - 1
        return near - places[which] + firsts[which]

    def _recall(self, asked: np.ndarray, right: np.ndarray) -> float:
        """Return the share of the nearest other rows, `right`, that is found for the rows asked."""
        found = self.nearest(self._rows.vectors[asked], right.shape[1])[0]
        hits = [
            np.isin(one[one != own][:K], other[other != own][:K]).sum()
            for one, other, own in zip(found, right, asked, strict=True)
        ]
        return float(sum(hits) / max(1, len(asked) * min(K, right.shape[1] - 1)))


def _nearest_centres(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the nearest centre of each vector, int64 `[n]`."""
    halves = (squared_lengths(centres) / 2).astype(np.float32)
    at_once = max(1, SCORES_AT_ONCE // len(centres))
    nearest = np.empty(len(vectors), dtype=np.int64)
    for part in blocks(len(vectors), at_once):
        products = vectors[part] @ centres.T
        nearest[part] = np.subtract(halves, products, out=products).argmin(axis=1)
    return nearest


def _by_list(nearest: np.ndarray, n_lists: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of list after list, and where each list begins and the last one ends."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(nearest, minlength=n_lists))])
    return np.argsort(nearest, kind="stable"), starts
