"""Verification of two images: whether they show one class, and how often that answer is wrong."""

from dataclasses import dataclass

from siamese.base.errors import InputError
from siamese.model.calibration import Calibration


@dataclass(frozen=True)
class Verdict:
    """The answer about a pair of images.

    Attributes:
        same: whether the distance is at most the threshold.
        distance: Euclidean, of the two embeddings.
        threshold: the operating point that was used.
        far: share of the unlike validation pairs that this threshold calls the same.
        frr: share of the like validation pairs that it calls different.
    """

    same: bool
    distance: float
    threshold: float
    far: float
    frr: float


def decide(distance: float, calibration: Calibration, far: float | None = None) -> Verdict:
    """Call a pair the same or different.

    Args:
        distance: of its embeddings.
        calibration: of the model that made them.
        far: the highest false-accept rate allowed; without it, the threshold is the one that
            decides most validation pairs correctly.

    Raises:
        InputError: `far` is out of range, or no threshold of the curve accepts so few.
    """
    curve = calibration.curve
    threshold = calibration.accuracy_threshold if far is None else _threshold(calibration, far)
    rates = curve.rates_at(threshold)
    return Verdict(bool(distance <= threshold), float(distance), threshold, *rates)


def _threshold(calibration: Calibration, far: float) -> float:
    """Return the highest threshold of the curve with at most that false-accept rate."""
    curve = calibration.curve
    if not 0 < far < 1:
        raise InputError(f"the false-accept rate is {far}; expected a number between 0 and 1")
    points = [
        (threshold, rate)
        for threshold, rate in zip(curve.threshold, curve.far, strict=True)
        if threshold >= 0
    ]
    allowed = [threshold for threshold, rate in points if rate <= far]
    if not allowed:
        raise InputError(
            f"no threshold of this model has a false-accept rate of {far:g} or less; the least on"
            f" its curve is {min(rate for _, rate in points):g}"
        )
    return max(allowed)
