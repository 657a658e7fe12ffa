"""Verification of pairs, measured again for every draw of test images.

Pairs that share an image are not independent, so it is images that are drawn, not pairs: a pair
counts as often as its two images were drawn together, the product of their weights. That is the
pigeonhole bootstrap (Owen, *The Pigeonhole Bootstrap*, 2007), which errs to the safe side: in
simulations with four pairs per image its intervals were 1.5 to 1.7 times as wide as the figures
scatter, where drawing pairs gave 0.7 to 0.9 times.
"""

from dataclasses import dataclass

import numpy as np

from siamese.measures.verification import where_rates_meet


@dataclass(frozen=True)
class PairRates:
    """How often pairs are accepted and rejected wrongly, by threshold.

    Attributes:
        far: share of unlike pairs that are accepted, floats `[T]`, rising from 0 to 1.
        frr: share of like pairs that are rejected, floats `[T]`, falling from 1 to 0.
        far_at_threshold: the FAR at the calibrated threshold.
        frr_at_threshold: the FRR there.
    """

    far: np.ndarray
    frr: np.ndarray
    far_at_threshold: float
    frr_at_threshold: float


class WeightedPairs:
    """Pairs in the order of their distances, to be measured under many weights.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`, of both kinds.
        left: the image of each pair that its weight is looked up by, integers `[P]`.
        right: the other image, integers `[P]`.
        threshold: the calibrated distance up to which pairs are accepted.
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

    def rates(self, weights: np.ndarray) -> PairRates | None:
        """Return the error rates of a draw; None where it has no pair of one kind.

        Where every weight is 1, they are those of `siamese.measures.verification` to the last bit.

        Args:
            weights: how often each image was drawn, float64 `[Q]`.
        """
        weight = weights[self._left] * weights[self._right]  # (P,)
        # Accepted by number of accepted pairs, none first.
        like = np.append(0, np.where(self._same, weight, 0).cumsum())
        unlike = np.append(0, np.where(self._same, 0, weight).cumsum())
        if like[-1] == 0 or unlike[-1] == 0:
            return None
        far, frr = unlike / unlike[-1], (like[-1] - like) / like[-1]
        at = self._n_accepted
        return PairRates(far[self._steps], frr[self._steps], float(far[at]), float(frr[at]))


def area_under_roc(rates: PairRates) -> float:
    """Return the chance that a like pair is nearer than an unlike one, a tie counting half."""
    return float(np.trapezoid(1 - rates.frr, rates.far))


def equal_error_rate(rates: PairRates) -> float:
    """Return the error rate where FAR and FRR are equal."""
    return where_rates_meet(rates.far, rates.frr)


def accuracy(rates: PairRates) -> float:
    """Return the share decided right at the calibrated threshold, both kinds weighing equally."""
    return 1 - (rates.far_at_threshold + rates.frr_at_threshold) / 2


def false_accepts(rates: PairRates) -> float:
    """Return the FAR at the calibrated threshold."""
    return rates.far_at_threshold


def false_rejects(rates: PairRates) -> float:
    """Return the FRR at the calibrated threshold."""
    return rates.frr_at_threshold
