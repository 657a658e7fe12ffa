"""The accuracy of a protocol with folds: what each is decided by was found on the others.

So do the ten folds of *Labeled Faces in the Wild* (Huang, Ramesh, Berg and Learned-Miller, 2007):
the threshold for a fold is the one that is most accurate on the other nine. Both kinds of pairs
weigh equally, which in folds with as many of each is the share of pairs decided right.
"""

import numpy as np

from siamese.evaluation.pair_rates import WeightedPairs
from siamese.measures.verification import operating_points


class FoldedPairs:
    """Pairs in two folds or more, to be measured under many weights.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`, of both kinds in each fold.
        left: the image of each pair that its weight is looked up by, integers `[P]`.
        right: the other image, integers `[P]`.
        folds: integers `[P]`.
    """

    def __init__(
        self,
        distances: np.ndarray,
        same: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        folds: np.ndarray,
    ) -> None:
        self._parts = []
        for fold in np.unique(folds):
            is_own = folds == fold
            own, others = (
                WeightedPairs(distances[some], same[some], left[some], right[some], 0.0)
                for some in (is_own, ~is_own)
            )
            thresholds, _, _ = operating_points(distances[~is_own], same[~is_own])
            # Which of its own operating points each threshold of the others is.
            places = np.searchsorted(np.unique(distances[is_own]), thresholds, side="right")
            self._parts.append((own, others, places))

    def accuracies(self, weights: np.ndarray) -> np.ndarray | None:
        """Return the accuracy of each fold; None where a draw has no pair of one kind in a fold.

        Of thresholds that are equally accurate on the other folds the lowest is taken.

        Args:
            weights: how often each image was drawn, float64 `[Q]`.
        """
        accuracies = []
        for own, others, places in self._parts:
            rates, found = own.rates(weights), others.rates(weights)
            if rates is None or found is None:
                return None
            # Rounded, so that the last bits cannot decide between equals.
            at = places[(found.far + found.frr).round(12).argmin()]
            accuracies.append(1 - (rates.far[at] + rates.frr[at]) / 2)
        return np.array(accuracies)


def mean_accuracy(accuracies: np.ndarray) -> float:
    """Return the mean over folds, floats `[F]`."""
    return float(accuracies.mean())


def standard_error(accuracies: np.ndarray) -> float:
    """Return the standard error of that mean, from how the folds, floats `[F]`, scatter."""
    return float(accuracies.std(ddof=1) / np.sqrt(len(accuracies)))
