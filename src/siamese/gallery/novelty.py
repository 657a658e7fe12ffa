"""How far from everything known an image may lie before it is called unlike anything."""

import numpy as np

from siamese.errors import InputError
from siamese.knn import nearest


def novelty_distance(known: np.ndarray, held_out: np.ndarray, share: float) -> float:
    """Return the distance within which a share of held-out samples have their nearest known one.

    Args:
        known: embeddings of the training samples, float32 `[G, D]`.
        held_out: embeddings of the validation samples, of the same classes, float32 `[V, D]`.
        share: of the held-out samples, above 0 and at most 1; 0.99 means that one image in a
            hundred of a known class will be called unlike anything.

    Returns:
        The smallest of the held-out samples' distances to their nearest known sample that at least
        that share of them do not exceed.

    Raises:
        InputError: the share is out of range, or there is nothing to measure.
    """
    if not 0 < share <= 1:
        raise InputError(f"the share is {share}; expected a number above 0 and at most 1")
    if not len(known) or not len(held_out):
        raise InputError(
            "the distance of novelty is measured from validation samples to training samples, and"
            f" there are {len(held_out)} and {len(known)}; run `dvc repro embed`"
        )
    _, distances = nearest(known, held_out, 1)
    return float(np.quantile(distances[:, 0], share, method="inverted_cdf"))
