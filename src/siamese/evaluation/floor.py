"""What costs no learning: k-NN on vectors that nobody has trained."""

import numpy as np
from pydantic import Field

from siamese.knn import class_ranking, nearest
from siamese.params import Section


class FloorParams(Section):
    """The `floor` section of `params.yaml`."""

    k: int = Field(ge=1)


def plain_vote_accuracy(
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    queries: np.ndarray,
    query_labels: np.ndarray,
    k: int,
) -> float:
    """Return the share of queries whose k nearest in the gallery elect their label, four decimals.

    Args:
        gallery: float32 `[G, D]`.
        gallery_labels: int64 `[G]`.
        queries: float32 `[Q, D]`.
        query_labels: int64 `[Q]`.
        k: neighbours that vote.
    """
    rows, _ = nearest(gallery, queries, k, progress=True)
    predicted = class_ranking(gallery_labels[rows], top=1)[:, 0]
    return round(float(np.mean(predicted == query_labels)), 4)
