"""The distance from all known images beyond which an image counts as unlike anything."""

import numpy as np

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.measures.knn import nearest, nearest_others
from siamese.measures.verification import pair_distances


def novelty_distance(embeddings: Embeddings, splits: np.ndarray, share: float) -> float:
    """Return the distance within which a share of validation samples have their nearest known one.

    Known are the training samples, so that share of the images of known classes is recognised as
    known. Where validation has classes that training lacks, its samples can be recognised only by
    each other: then all other samples are known.

    Args:
        embeddings: of the gallery, G samples.
        splits: of these samples, `[G]`.
        share: of the validation samples, above 0 and at most 1. With 0.99, one image in a hundred
            of a known class will be called unlike anything.

    Returns:
        Of the validation samples' distances to their nearest known sample, the smallest that at
        least this share of them do not exceed.

    Raises:
        InputError: the share is out of range, or there is nothing to measure.
    """
    if not 0 < share <= 1:
        raise InputError(f"the share is {share}; expected a number above 0 and at most 1")
    vectors = embeddings.vectors
    known, held_out = (np.flatnonzero(splits == name) for name in ("train", "validation"))
    if not len(held_out):
        raise InputError(
            "the distance of novelty is measured from validation samples to training samples, and"
            f" there are 0 and {len(known)}; run `dvc repro embed`"
        )
    if np.isin(embeddings.fine[held_out], embeddings.fine[known]).all():
        distances = nearest(vectors[known], vectors[held_out], 1)[1][:, 0]
    else:
        others = nearest_others(vectors, held_out, 1)[:, 0]
        distances = pair_distances(vectors, held_out, others)
    return float(np.quantile(distances, share, method="inverted_cdf"))
