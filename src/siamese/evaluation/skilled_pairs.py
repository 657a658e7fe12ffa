"""Pairs that are hard on purpose: an image, and a forgery that was made to pass for its class."""

from dataclasses import dataclass

import numpy as np

from siamese.measures.verification import pair_distances

# Images of a class of each kind; of more, so many are drawn. Their pairs would be millions, which
# say little more of a class, since they share their images.
MOST = 100


@dataclass(frozen=True)
class SkilledPairs:
    """All pairs of genuine images of one class, and all of a genuine image and a forgery of it.

    Only classes that have forgeries are among them. No two are exact copies. Of a class with very
    many images, some are paired.

    Attributes:
        members: rows of the embeddings, int64 `[P, 2]`; of a forgery it is the second.
        distances: float64 `[P]`.
        same: bool `[P]`, whether both images are genuine.
        labels: the class of each pair, int64 `[P]`.
    """

    members: np.ndarray
    distances: np.ndarray
    same: np.ndarray
    labels: np.ndarray


def skilled_pairs(
    vectors: np.ndarray, labels: np.ndarray, pictures: np.ndarray
) -> SkilledPairs | None:
    """Pair the images of each class that has forgeries.

    Args:
        vectors: embeddings, float32 `[N, D]`.
        labels: int64 `[N]`; of a forgery -1-c, where c is the class that it claims.
        pictures: int64 `[N]`, one number for all exact copies of an image.

    Returns:
        Class by class; None if there are not both kinds of pairs.
    """
    members, distances, same, of = [], [], [], []
    for label in np.unique(-1 - labels[labels < 0]):
        genuine, forged = (_some(np.flatnonzero(labels == one)) for one in (label, -1 - label))
        first, second = np.triu_indices(len(genuine), 1)
        left = np.concatenate([genuine[first], genuine.repeat(len(forged))])
        right = np.concatenate([genuine[second], np.tile(forged, len(genuine))])
        differ = pictures[left] != pictures[right]
        left, right = left[differ], right[differ]
        members.append(np.stack([left, right], axis=1))
        distances.append(pair_distances(vectors, left, right))
        same.append(labels[right] >= 0)
        of.append(np.full(len(left), label))
    if not distances or len({*np.concatenate(same).tolist()}) < 2:
        return None
    return SkilledPairs(*(np.concatenate(part) for part in (members, distances, same, of)))


def _some(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= MOST:
        return rows
    return np.random.default_rng(0).choice(rows, MOST, replace=False)
