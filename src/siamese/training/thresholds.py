"""Thresholds for verification, found on the validation split after training."""

from dataclasses import replace

import numpy as np

from siamese.measures.claim_drawing import Claims, claims_by_references
from siamese.measures.claims import RULES, FalseKind
from siamese.measures.verification import equal_error_rate, operating_points, pair_distances
from siamese.model.calibration import Calibration, ClaimCalibration, Curve
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.training_data import TrainingData

CURVE_POINTS = 200


def calibrate_network(network: SiameseNetwork, data: TrainingData) -> Calibration:
    """Find the thresholds of a network on the validation split, embedded in float32.

    Raises:
        InputError: see `calibrate`.
    """
    embeddings = embed_images(network, data.validation_images)
    distances = pair_distances(embeddings, *data.validation_pairs.T)
    claims = calibrate_claims(embeddings, data.validation_labels, data.validation_pictures)
    return replace(calibrate(distances, data.validation_same), claims=claims)


def calibrate(distances: np.ndarray, same: np.ndarray) -> Calibration:
    """Find thresholds on pairs whose answer is known.

    Of thresholds that are equally good the lowest is taken, which accepts the fewest.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    thresholds, far, frr = operating_points(distances, same)
    wrong, gap = _counted_wrong(far, frr, same)
    # Equally many distances between one point of the curve and the next, both ends included.
    n_points = min(CURVE_POINTS, len(thresholds))
    chosen = np.linspace(0, len(thresholds) - 1, n_points).round().astype(int)
    curve = (tuple(values[chosen].tolist()) for values in (thresholds, far, frr))
    return Calibration(
        accuracy_threshold=float(thresholds[wrong.argmin()]),
        eer_threshold=float(thresholds[gap.argmin()]),
        curve=Curve(*curve),
    )


def calibrate_claims(
    vectors: np.ndarray, labels: np.ndarray, pictures: np.ndarray
) -> ClaimCalibration | None:
    """Find the rule for claims that has the lowest equal error rates, and its thresholds.

    The false claims are forgeries, if half of the classes have some, else strangers: of a few
    forgeries no rate could be told.

    Args:
        vectors: float32 `[N, D]`.
        labels: int64 `[N]`; of a forgery -1-c, where c is the class that it claims.
        pictures: int64 `[N]`, one number for all exact copies of an image.

    Returns:
        The thresholds; None if there are not two images of a class, or no false claims.

    Raises:
        InputError: a distance is not finite.
    """
    drawn = claims_by_references(vectors, labels, pictures)
    has_forgeries = drawn and all(map(_are_mostly_forged, drawn.values()))
    against: FalseKind = "forgery" if has_forgeries else "stranger"
    usable = {
        number: claims.against(against) for number, claims in drawn.items() if claims.count(against)
    }
    if not usable:
        return None
    errors = {
        rule: np.mean([equal_error_rate(*one.decided_by(rule)) for one in usable.values()])
        for rule in RULES
    }
    rule = min(RULES, key=errors.__getitem__)
    points = [_at_equal_rates(*claims.decided_by(rule)) for claims in usable.values()]
    threshold, far, frr = zip(*points, strict=True)
    return ClaimCalibration(rule, tuple(usable), threshold, far, frr, against)


def _are_mostly_forged(claims: Claims) -> bool:
    """Tell whether half of the classes or more have forgeries."""
    return 2 * len(np.unique(claims.claimed[claims.kind == "forgery"])) >= claims.n_classes


def _at_equal_rates(distances: np.ndarray, same: np.ndarray) -> tuple[float, float, float]:
    """Return the threshold where FAR and FRR are most nearly equal, and these."""
    points = operating_points(distances, same)
    best = _counted_wrong(*points[1:], same)[1].argmin()
    threshold, far, frr = (float(values[best]) for values in points)
    return threshold, far, frr


def _counted_wrong(
    far: np.ndarray, frr: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many pairs are decided wrong, and how unequal FAR and FRR are; floats `[T]` each.

    Counted in whole pairs, so that rounding cannot decide between equals.
    """
    n_like, n_unlike = np.count_nonzero(same), np.count_nonzero(~same)
    accepted, rejected = np.rint(far * n_unlike), np.rint(frr * n_like)
    return accepted + rejected, np.abs(accepted * n_like - rejected * n_unlike)
