"""Thresholds for verification, found on the validation pairs after training."""

import numpy as np

from siamese.measures.verification import operating_points, pair_distances
from siamese.model.calibration import Calibration, Curve
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.training_data import TrainingData

CURVE_POINTS = 200


def calibrate_network(network: SiameseNetwork, data: TrainingData) -> Calibration:
    """Find the thresholds of a network on the validation pairs, embedded in float32.

    Raises:
        InputError: see `calibrate`.
    """
    embeddings = embed_images(network, data.validation_images)
    distances = pair_distances(embeddings, *data.validation_pairs.T)
    return calibrate(distances, data.validation_same)


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
    # Counted in whole pairs, so that rounding cannot decide between equals.
    n_like, n_unlike = np.count_nonzero(same), np.count_nonzero(~same)
    accepted, rejected = np.rint(far * n_unlike), np.rint(frr * n_like)
    wrong = accepted + rejected
    gap = np.abs(accepted * n_like - rejected * n_unlike)
    # Equally many distances between one point of the curve and the next, both ends included.
    n_points = min(CURVE_POINTS, len(thresholds))
    chosen = np.linspace(0, len(thresholds) - 1, n_points).round().astype(int)
    curve = (tuple(values[chosen].tolist()) for values in (thresholds, far, frr))
    return Calibration(
        accuracy_threshold=float(thresholds[wrong.argmin()]),
        eer_threshold=float(thresholds[gap.argmin()]),
        curve=Curve(*curve),
    )
