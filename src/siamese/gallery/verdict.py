"""Verification of two images: the same class or not, and how often such an answer is wrong."""

from dataclasses import dataclass

import numpy as np

from siamese.base.errors import InputError
from siamese.model.calibration import Calibration


@dataclass(frozen=True)
class Verdict:
    """The answer about a pair of images.

    Attributes:
        same: whether the distance is at most the threshold.
        distance: Euclidean, of the two embeddings.
        threshold: the operating point that was used.
        far: the share of unlike pairs that are called the same there, measured on validation.
        frr: the share of like pairs that are called different there, likewise.
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
        far: the false-accept rate allowed; without it the threshold is the one with the most
            validation pairs decided right.

    Raises:
        InputError: no threshold of the curve accepts so few.
    """
    curve = calibration.curve
    threshold = calibration.accuracy_threshold if far is None else _threshold(calibration, far)
    # Between two points of the curve, on the straight line.
    at_far, at_frr = (
        float(np.interp(threshold, curve.threshold, rates)) for rates in (curve.far, curve.frr)
    )
    return Verdict(bool(distance <= threshold), float(distance), threshold, at_far, at_frr)


def _threshold(calibration: Calibration, far: float) -> float:
    """Return the highest threshold of the curve with at most that false-accept rate."""
    curve = calibration.curve
    if not 0 < far < 1:
        raise InputError(f"the false-accept rate is {far}; expected a number between 0 and 1")
    allowed = [
        threshold
        for threshold, rate in zip(curve.threshold, curve.far, strict=True)
        if rate <= far and threshold >= 0
    ]
    if not allowed:
        least = next(
            rate
            for threshold, rate in zip(curve.threshold, curve.far, strict=True)
            if threshold >= 0
        )
        raise InputError(
            f"no threshold of this model has a false-accept rate of {far:g} or less; the least on"
            f" its curve is {least:g}"
        )
    return max(allowed)
