"""Verification: do two images show the same class? Figures and thresholds from distances of pairs.

A pair is *accepted* as the same if its distance is at most the threshold. FAR is the share of
unlike pairs that are accepted, FRR the share of like pairs that are rejected.

Pairs at one distance are accepted or rejected together. So the thresholds considered lie halfway
between neighbouring observed distances, where rounding in a distance measured anew does no harm;
below the smallest, at half of it, and above the largest, at that one itself.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from siamese.errors import InputError

CURVE_POINTS = 200
# Below every distance: the threshold that rejects a pair at distance 0 too.
NONE = -1.0


@dataclass(frozen=True)
class Curve:
    """FAR and FRR by threshold: thresholds and FAR rise, FRR falls, from accepting none to all."""

    threshold: tuple[float, ...]
    far: tuple[float, ...]
    frr: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """Distance thresholds that were found on one set of pairs, to be used on others.

    Attributes:
        accuracy_threshold: the one with the most pairs decided right.
        eer_threshold: the one where FAR and FRR are most nearly equal.
        curve: about 200 operating points, to choose another threshold from.
    """

    accuracy_threshold: float
    eer_threshold: float
    curve: Curve

    def to_json(self) -> dict[str, Any]:
        """Return the content of a JSON file that `from_json` reads."""
        curve = {name: list(values) for name, values in vars(self.curve).items()}
        thresholds = {"accuracy": self.accuracy_threshold, "eer": self.eer_threshold}
        return {"thresholds": thresholds, "curve": curve}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: a key is missing or holds something else than numbers.
        """
        try:
            thresholds, points = content["thresholds"], content["curve"]
            columns = [tuple(map(float, points[name])) for name in ("threshold", "far", "frr")]
            accuracy, eer = float(thresholds["accuracy"]), float(thresholds["eer"])
            if not columns[0] or len(set(map(len, columns))) > 1:
                raise ValueError("the curve is empty, or its columns differ in length")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "the verification thresholds cannot be read: expected numbers under"
                f" `thresholds.accuracy`, `thresholds.eer` and `curve` ({error!r}); train again"
            ) from None
        return cls(accuracy, eer, Curve(*columns))


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
    # Imported here, as below: it takes a second, and whoever only asks a threshold need not wait.
    from sklearn.metrics import roc_auc_score

    _check(distances, same)
    return float(roc_auc_score(same, -distances))


def equal_error_rate(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the error rate where FAR and FRR are equal.

    They meet between two observed distances as a rule. The point is then interpolated on the
    straight line of the ROC between these two (which the rates of no threshold may reach).

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    _, far, frr = _operating_points(distances, same)
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
    _check(distances, same)
    accepted = distances <= threshold
    return float(accepted[~same].mean()), float((~accepted[same]).mean())


def calibrate(distances: np.ndarray, same: np.ndarray) -> Calibration:
    """Find thresholds on pairs whose answer is known.

    Of thresholds that are equally good the lowest is taken, which accepts the fewest.

    Args:
        distances: floats `[P]`.
        same: bool `[P]`.

    Raises:
        InputError: there are not both kinds of pairs, or a distance is not finite.
    """
    thresholds, far, frr = _operating_points(distances, same)
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


def _operating_points(
    distances: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all thresholds that decide differently, ascending, and their FAR and FRR."""
    from sklearn.metrics import roc_curve

    _check(distances, same)
    far, accepted, scores = roc_curve(same, -distances, drop_intermediate=False)
    n_like = np.count_nonzero(same)
    frr = (n_like - np.rint(accepted * n_like)) / n_like
    observed = -scores[1:]  # ascending; the first point accepts none
    lower, upper = observed[:-1], observed[1:]
    between = lower + (upper - lower) / 2
    # Where no number lies between two distances, halfway may round up: stay below the upper.
    between = np.where(between < upper, between, lower)
    none = observed[0] / 2 if observed[0] > 0 else NONE
    return np.concatenate([[none], between, observed[-1:]]), far, frr


def _check(distances: np.ndarray, same: np.ndarray) -> None:
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
