"""Figures of skilled pairs and of claims, measured again for every draw of classes.

Both ask whether an image is of a class, a writer say, and it is classes that were sampled: the
images of one are drawn together. What happens within a class counts as often as it was drawn. The
claim of a stranger has two classes, and counts as often as both were drawn together, as pairs do of
their images: see `siamese.evaluation.pair_rates`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from siamese.evaluation.bootstrap import Measure
from siamese.evaluation.figures import Figure, OfClaims, OfSkilledPairs
from siamese.evaluation.pair_rates import WeightedPairs
from siamese.evaluation.skilled_pairs import SkilledPairs
from siamese.measures.claim_drawing import Claims
from siamese.measures.claims import RULES
from siamese.model.calibration import Calibration


def class_measurement(
    figures: Sequence[Figure],
    classes: np.ndarray,
    skilled: SkilledPairs | None,
    claims: Mapping[int, Claims],
    calibration: Calibration,
) -> Measure:
    """Return what measures figures on a draw of the test split's classes.

    Args:
        figures: rows of the table; those of other sources, and those that the data or the
            calibration do not have, are left out.
        classes: all labels of the test split, int64 `[C]` ascending; drawn by their positions.
        skilled: None if there are none.
        claims: by number of references.
        calibration: gives the thresholds, and the rule for claims.
    """
    n_classes, calibrated = len(classes), calibration.claims

    def weighted(
        distances: np.ndarray, same: np.ndarray, one: np.ndarray, other: np.ndarray, at: float
    ) -> WeightedPairs:
        # Of a single class where both are one: the other weight is then 1, which comes last.
        right = np.where(one == other, n_classes, np.searchsorted(classes, other))
        return WeightedPairs(distances, same, np.searchsorted(classes, one), right, at)

    measured: dict[tuple[str, int], WeightedPairs] = {}
    if skilled:
        threshold = calibration.accuracy_threshold
        labels = skilled.labels
        parts = (skilled.distances, skilled.same, labels, labels)
        measured["skilled", 0] = weighted(*parts, threshold)
    rule = calibrated.rule if calibrated else RULES[0]
    for number, tried in claims.items():
        threshold = calibrated.threshold[calibrated.place(number)] if calibrated else 0.0
        for against in ("forgery", "stranger"):
            if tried.count(against):
                some = tried.against(against)
                parts = (*some.decided_by(rule), some.claimed, some.own)
                measured[against, number] = weighted(*parts, threshold)

    wanted = []
    for figure in figures:
        source = figure.source
        if isinstance(source, OfSkilledPairs):
            wanted.append((figure.name, ("skilled", 0), source.measure))
        elif isinstance(source, OfClaims) and (calibrated or not source.needs_threshold):
            wanted.append((figure.name, (source.against, source.references), source.measure))
    wanted = [one for one in wanted if one[1] in measured]

    def measure(weights: np.ndarray) -> dict[str, float]:
        rates = {place: one.rates(np.append(weights, 1)) for place, one in measured.items()}
        return {
            name: np.nan if (found := rates[place]) is None else measure_rates(found)
            for name, place, measure_rates in wanted
        }

    return measure
