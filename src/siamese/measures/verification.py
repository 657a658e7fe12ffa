"""Verification: do two images show the same class? Figures and thresholds from distances of pairs.

A pair is *accepted* as the same if its distance is at most the threshold. FAR is the share of
unlike pairs that are accepted, FRR the share of like pairs that are rejected.

Pairs at one distance are accepted or rejected together. So the thresholds considered lie halfway
between neighbouring observed distances, where rounding in a distance measured again does no harm;
below the smallest, at half of it, and above the largest, at that one itself.
"""

import numpy as np

from siamese.base.errors import InputError

# Below every distance: the threshold that rejects a pair at distance 0 too.
REJECT_ALL = -1.0


def pair_distances(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of each pair, float64 `[P]`.

    Args:
        embeddings: float32 `[N, D]`.
        left: rows of `embeddings`, integers `[P]`.
        right: rows of `embeddings`, integers `[P]`.
    """
    gaps = np.subtract(embeddings[left], embeddings[right], dtype=np.float64)  # (P, D)
    return np.sqrt(np.square(gaps, out=gaps).sum(axis=1))


def auc(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the chance that a like pair is nearer than an unlike one, a tie counting half.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    # Imported here, as below: it takes a second, which asking for a threshold need not cost.
    from sklearn.metrics import roc_auc_score

    check_pairs(distances, same)
    return float(roc_auc_score(same, -distances))


def equal_error_rate(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the error rate where FAR and FRR are equal.

    As a rule they meet between two observed distances. The point is then interpolated on the
    straight line of the ROC between these two (which the rates of no threshold may reach).

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    _, far, frr = operating_points(distances, same)
    return where_rates_meet(far, frr)


def where_rates_meet(far: np.ndarray, frr: np.ndarray) -> float:
    """Return the rate at which FAR and FRR are equal, on straight lines between operating points.

    Args:
        far: floats `[T]`, rising from 0 to 1.
        frr: floats `[T]`, falling from 1 to 0.
    """
    # FAR - FRR rises from -1 to 1: the first point at or above 0 ends the segment.
    end = int((far >= frr).argmax())
    before, after = frr[end - 1] - far[end - 1], far[end] - frr[end]
    part = before / (before + after)
    return float(far[end - 1] + part * (far[end] - far[end - 1]))


def error_rates(distances: np.ndarray, same: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return FAR and FRR when pairs at distance `threshold` or less are accepted.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.
        threshold: any float.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    check_pairs(distances, same)
    accepted = distances <= threshold
    return float(accepted[~same].mean()), float((~accepted[same]).mean())


def operating_points(
    distances: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all thresholds that decide differently, ascending, and their FAR and FRR."""
    from sklearn.metrics import roc_curve

    check_pairs(distances, same)
    far, accepted, scores = roc_curve(same, -distances, drop_intermediate=False)
    n_like = np.count_nonzero(same)
    frr = (n_like - np.rint(accepted * n_like)) / n_like
    observed = -scores[1:]  # ascending; the first point accepts none
    lower, upper = observed[:-1], observed[1:]
    between = lower + (upper - lower) / 2
    # Where no number lies between two distances, halfway may round up: stay below the upper.
    between = np.where(between < upper, between, lower)
    none = observed[0] / 2 if observed[0] > 0 else REJECT_ALL
    return np.concatenate([[none], between, observed[-1:]]), far, frr


def check_pairs(distances: np.ndarray, same: np.ndarray) -> None:
    """Refuse pairs that nothing can be measured of.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    n_like = int(np.count_nonzero(same))
    if n_like in (0, len(same)):
        raise InputError(
            f"verification needs like and unlike pairs, but of {len(same)} pairs {n_like} are like;"
            " check `pairs.validation` and `pairs.test`"
        )
    if not np.isfinite(distances).all():
        raise InputError(
            "the distance of a pair is not finite; the network has diverged:"
            " lower `train.learning_rate`"
        )
