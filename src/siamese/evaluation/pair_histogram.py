"""Verification at low rates of false accepts, on every pair among the test samples.

Pairs that are given are counted in the same way, and nothing else then.

A rate of 0.1 % rests on one unlike pair in a thousand, so a list of some thousand pairs cannot
carry it. All pairs can: 49.5 million unlike ones among CIFAR-100's 10,000 test images. They are
counted in a histogram of 100,000 bins from distance 0 to the greatest one possible, twice the
length of the longest embedding; for embeddings of length 1 a bin is 0.00002 wide. Operating points
lie between bins, where FAR and TAR are exact. What is lost is that a threshold cannot fall inside a
bin: a TAR at a stated FAR is too low by at most the like pairs of one bin, and never too high.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from siamese.base.blocks import blocks
from siamese.base.progress import progress_bar

if TYPE_CHECKING:  # imported where tables are made: it takes half a second
    import pandas as pd

FINE_BINS = 100_000
COARSE_BINS = 100  # of the histogram for people
ROWS_AT_ONCE = 512
DISTANCES_AT_ONCE = 2**23
LOWEST_FAR, POINTS_PER_DECADE = 1e-6, 50


@dataclass(frozen=True)
class PairHistogram:
    """How many like and unlike pairs there are by distance.

    Attributes:
        top: distance where the last bin ends; what lies beyond by rounding is counted in it.
        like: int64 `[B]`, pairs of one class in each bin from distance 0 to `top`.
        unlike: int64 `[B]`.
    """

    top: float
    like: np.ndarray
    unlike: np.ndarray

    def operating_point(self, far: float) -> tuple[float, float, float]:
        """Return threshold, FAR and TAR of the most that can be accepted at a stated FAR.

        The threshold is the highest end of a bin up to which the share of unlike pairs does not
        exceed `far`.
        """
        n_bins = int(np.searchsorted(self.unlike.cumsum(), self._allowed(far), side="right"))
        return (
            self.top * n_bins / len(self.like),
            float(self.unlike[:n_bins].sum() / self.unlike.sum()),
            float(self.like[:n_bins].sum() / self.like.sum()),
        )

    def carries(self, far: float) -> bool:
        """Whether there are enough unlike pairs for this FAR to be one of them at least."""
        return self._allowed(far) >= 1

    def _allowed(self, far: float) -> int:
        """Return how many unlike pairs may be accepted at a stated FAR."""
        # The addition keeps rounding from costing a pair where far · n is a whole number.
        return int(far * int(self.unlike.sum()) + 1e-6)

    def roc(self) -> "pd.DataFrame":
        """Return operating points: `far`, `tar`, `threshold`, FAR ascending on a logarithmic grid.

        FARs that the pairs do not carry are left out.
        """
        import pandas as pd

        decades = round(-np.log10(LOWEST_FAR))
        grid = np.logspace(-decades, 0, decades * POINTS_PER_DECADE + 1)
        points = [self.operating_point(far) for far in grid.tolist() if self.carries(far)]
        table = pd.DataFrame(points, columns=["threshold", "far", "tar"])
        # Six significant digits: a FAR of one pair in fifty million is still told from none.
        table["far"] = [float(f"{far:.6g}") for far in table["far"]]
        table = table.round({"tar": 6, "threshold": 6}).drop_duplicates("far")
        return table[["far", "tar", "threshold"]].reset_index(drop=True)

    def distances(self) -> "pd.DataFrame":
        """Return the shares of the pairs of a kind by distance: `distance`, `like`, `unlike`."""
        import pandas as pd

        shares = {
            name: (bins.reshape(COARSE_BINS, -1).sum(axis=1) / bins.sum()).round(6)
            for name, bins in (("like", self.like), ("unlike", self.unlike))
        }
        middle = (np.arange(COARSE_BINS) + 0.5) * self.top / COARSE_BINS
        return pd.DataFrame({"distance": middle.round(6), **shares})


def true_accepts(pairs: PairHistogram, far: float) -> float | None:
    """Return the TAR at a stated FAR; None if there are too few unlike pairs for that FAR."""
    return pairs.operating_point(far)[2] if pairs.carries(far) else None


def pair_histogram(vectors: np.ndarray, labels: np.ndarray) -> PairHistogram:
    """Count the Euclidean distances of all pairs of samples.

    Memory: some 0.5 GB, for a part of the matrix of distances. 50 million pairs take seconds.

    Args:
        vectors: float32 `[N, D]`, finite.
        labels: int64 `[N]`.
    """
    points = vectors.astype(np.float64)
    squares = np.square(points).sum(axis=1)  # (N,)
    top = greatest_distance(vectors)
    like, unlike = np.zeros((2, FINE_BINS), dtype=np.int64)
    at_once = max(1, min(ROWS_AT_ONCE, DISTANCES_AT_ONCE // len(points)))
    parts = list(blocks(len(points), at_once))
    for rows in progress_bar("all pairs", "chunk", parts):
        start = rows.start
        # Each pair once: of these rows with each other, and with the rows after them.
        squared = squares[rows, None] + squares[None, start:] - 2 * points[rows] @ points[start:].T
        first, second = np.triu_indices(squared.shape[0], 1, squared.shape[1])
        distance = np.sqrt(np.maximum(squared[first, second], 0))
        some = histogram_of(distance, labels[rows][first] == labels[start:][second], top)
        like += some.like
        unlike += some.unlike
    return PairHistogram(top, like, unlike)


def greatest_distance(vectors: np.ndarray) -> float:
    """Return the greatest distance that vectors of such lengths can have, float32 `[N, D]`."""
    longest = float(np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1).max()))
    # Six digits: embeddings of length 1, but for rounding, get bins that end at 2.
    return float(f"{2 * longest:.6g}") or 1.0


def histogram_of(distances: np.ndarray, same: np.ndarray, top: float) -> PairHistogram:
    """Count pairs by distance, floats `[P]`, and kind, bool `[P]`, in bins that end at `top`."""
    bins = np.minimum((distances * (FINE_BINS / top)).astype(np.int64), FINE_BINS - 1)
    like, unlike = (np.bincount(bins[kind], minlength=FINE_BINS) for kind in (same, ~same))
    return PairHistogram(top, like, unlike)
