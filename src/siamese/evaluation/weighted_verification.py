"""The verification figures of a draw of test images, for the bootstrap.

Pairs that share an image are not independent, so it is images that are drawn, not pairs: a pair
counts as often as its two images were drawn together, the product of their weights. That is the
pigeonhole bootstrap (Owen, *The Pigeonhole Bootstrap*, 2007), which errs to the safe side: in
simulations with four pairs an image its intervals were 1.5 to 1.7 times as wide as the figures
scatter, where drawing pairs gave 0.7 to 0.9 times.
"""

import numpy as np

from siamese.measures.verification import where_rates_meet


class WeightedPairs:
    """Pairs in the order of their distances, to be measured under many weights.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`, of both kinds.
        left: the image of each pair that its weight is looked up by, integers `[P]`.
        right: the other image, integers `[P]`.
        threshold: distance up to which pairs are accepted, for the accuracy.
    """

    def __init__(
        self,
        distances: np.ndarray,
        same: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        threshold: float,
    ) -> None:
        order = np.argsort(distances, kind="stable")
        ascending = distances[order]
        self._same = same[order]
        self._left, self._right = left[order], right[order]
        # Pairs at one distance are accepted together: only the last of them ends a step.
        is_last = np.append(np.diff(ascending) > 0, True)
        # Numbers of pairs that can be accepted: none, or all up to the end of a step.
        self._steps = np.append(0, np.flatnonzero(is_last) + 1)
        self._n_accepted = int(np.searchsorted(ascending, threshold, side="right"))

    def figures(self, weights: np.ndarray) -> tuple[float, float, float]:
        """Return the area under the ROC, the equal error rate and the accuracy of a draw.

        They are those of `siamese.measures.verification` where every weight is 1, and not a number
        where the draw has no pair of one kind.

        Args:
            weights: how often each image was drawn, float64 `[Q]`.
        """
        weight = weights[self._left] * weights[self._right]  # (P,)
        like = np.append(0, np.where(self._same, weight, 0).cumsum())
        unlike = np.append(0, np.where(self._same, 0, weight).cumsum())
        if like[-1] == 0 or unlike[-1] == 0:
            return np.nan, np.nan, np.nan
        tar, far = like / like[-1], unlike / unlike[-1]  # by number of accepted pairs
        accuracy = (tar[self._n_accepted] + 1 - far[self._n_accepted]) / 2
        tar, far = tar[self._steps], far[self._steps]
        return float(np.trapezoid(tar, far)), where_rates_meet(far, 1 - tar), float(accuracy)
