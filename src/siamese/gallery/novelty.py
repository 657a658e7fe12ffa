"""The distance from all known images beyond which an image counts as unlike anything."""

import numpy as np

from siamese.base.errors import InputError
from siamese.measures.knn import nearest, nearest_others
from siamese.measures.verification import pair_distances


def novelty_distance(known: np.ndarray, held_out: np.ndarray, share: float) -> float:
    """Return the distance within which a share of held-out samples have their nearest known one.

    That share of the images of known classes is then recognised as known.

    Args:
        known: embeddings of the training samples, float32 `[G, D]`.
        held_out: embeddings of the validation samples, of the same classes, float32 `[V, D]`.
        share: of the held-out samples, above 0 and at most 1. With 0.99, one image in a hundred of
            a known class will be called unlike anything.

    Returns:
        Of the held-out samples' distances to their nearest known sample, the smallest that at least
        this share of them do not exceed.

    Raises:
        InputError: the share is out of range, or there is nothing to measure.
    """
    _check(share)
    if not len(known) or not len(held_out):
        raise InputError(
            "the distance of novelty is measured from validation samples to training samples, and"
            f" there are {len(held_out)} and {len(known)}; run `dvc repro embed`"
        )
    _, distances = nearest(known, held_out, 1)
    return _quantile(distances[:, 0], share)


def novelty_distance_among(vectors: np.ndarray, rows: np.ndarray, share: float) -> float:
    """Return the distance within which a share of samples have the nearest other one.

    For data where some classes of the held-out samples are not in training: those samples can be
    recognised only by each other.

    Args:
        vectors: embeddings of the gallery, float32 `[G, D]`, at least two.
        rows: of the validation samples in it, int64 `[V]`.
        share: as for `novelty_distance`.

    Raises:
        InputError: the share is out of range.
    """
    _check(share)
    others = nearest_others(vectors, rows, 1)[:, 0]
    return _quantile(pair_distances(vectors, rows, others), share)


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"the share is {share}; expected a number above 0 and at most 1")


def _quantile(distances: np.ndarray, share: float) -> float:
    return float(np.quantile(distances, share, method="inverted_cdf"))
