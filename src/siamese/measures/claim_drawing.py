"""Trying claims: references are drawn among the images of a class, and others claim to be of it.

*True* claims are those of the class's other images; *strangers* are images of other classes, drawn
at random; *forgeries* are all images made to pass for the class. An exact copy of a reference is no
claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from siamese.base.blocks import blocks
from siamese.measures.claims import REFERENCES, FalseKind, Rule, claim_distance, spread_of
from siamese.measures.verification import pair_distances

KINDS = ("true", *get_args(FalseKind))
# References of a class are drawn this often, or less often where there are many images: about so
# many claims of a kind tell all that the classes have to tell.
DRAWS, CLAIMS = 10, 20_000
PAIRS_AT_ONCE = 2**15


@dataclass(frozen=True)
class Claims:
    """Claims that were tried, each against R references.

    Attributes:
        distances: to the references, float64 `[n, R]`.
        spread: of the references of each claim among themselves, float64 `[n]`.
        claimed: the class that each claims, int64 `[n]`.
        own: the class of its image, int64 `[n]`; of a forgery the one that it claims.
        kind: `true`, `stranger` or `forgery`, str `[n]`.
    """

    distances: np.ndarray
    spread: np.ndarray
    claimed: np.ndarray
    own: np.ndarray
    kind: np.ndarray

    @property
    def n_classes(self) -> int:
        """How many classes had enough images to be claimed."""
        return len(np.unique(self.claimed))

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return int((self.kind == kind).sum())

    def against(self, false: FalseKind) -> "Claims":
        """Return the true claims, and the false ones of one kind."""
        chosen = (self.kind == "true") | (self.kind == false)
        return Claims(**{name: values[chosen] for name, values in vars(self).items()})

    def decided_by(self, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance of each claim, float64 `[n]`, and whether it is true, bool `[n]`."""
        return claim_distance(self.distances, self.spread, rule), self.kind == "true"


def claims_by_references(
    vectors: np.ndarray, labels: np.ndarray, pictures: np.ndarray
) -> dict[int, Claims]:
    """Try claims against each of `REFERENCES`; see `draw_claims`.

    Numbers that less than half of the classes have enough images for are left out: what few classes
    tell is worth less than the figures of fewer references.
    """
    drawn = {
        number: claims
        for number in REFERENCES
        if (claims := draw_claims(vectors, labels, pictures, number))
    }
    most = max((claims.n_classes for claims in drawn.values()), default=0)
    return {number: claims for number, claims in drawn.items() if 2 * claims.n_classes >= most}


def draw_claims(
    vectors: np.ndarray,
    labels: np.ndarray,
    pictures: np.ndarray,
    n_references: int,
    seed: int = 0,
) -> Claims | None:
    """Draw the references of every class several times, and try claims against them.

    Classes that have no image left after the references are not claimed; their images are strangers
    to others.

    Args:
        vectors: embeddings, float32 `[N, D]`.
        labels: their classes from 0, int64 `[N]`; of a forgery -1-c, where c is what it claims.
        pictures: int64 `[N]`, one number for all exact copies of an image.
        n_references: R.
        seed: of the references and the strangers.

    Returns:
        Class by class; None if none has enough images.
    """
    rows_of = _rows_by_label(labels)
    candidates = {
        label: rows[np.unique(pictures[rows], return_index=True)[1]]
        for label, rows in rows_of.items()
        if label >= 0
    }
    n_true = {label: len(rows) - n_references for label, rows in candidates.items()}
    claimed = [label for label, count in n_true.items() if count > 0]
    if not claimed:
        return None
    n_draws = min(DRAWS, max(1, CLAIMS // sum(n_true[label] for label in claimed)))
    n_strangers = max(1, CLAIMS // (n_draws * len(claimed)))
    genuine = np.flatnonzero(labels >= 0)
    genuine = genuine[labels[genuine].argsort(kind="stable")]

    references, images = [], []
    for label in claimed:
        rng = np.random.default_rng([seed, label])
        # Before the strangers are drawn, so that fewer references are the first of more.
        orders = [rng.permutation(candidates[label]) for _ in range(n_draws)]
        forged = rows_of.get(-1 - label, np.zeros(0, dtype=np.int64))
        first, end = np.searchsorted(labels[genuine], [label, label + 1])
        n_others = len(genuine) - (end - first)
        for order in orders:
            chosen = order[:n_references]
            others = rng.choice(n_others, min(n_strangers, n_others), replace=False)
            others += (others >= first) * (end - first)  # past the class itself
            shown = np.concatenate([rows_of[label], genuine[others], forged])
            images.append(shown[~np.isin(pictures[shown], pictures[chosen])])
            references.append(chosen)
    return _claims_of(vectors, labels, references, images)


def _claims_of(
    vectors: np.ndarray,
    labels: np.ndarray,
    references: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
) -> Claims:
    """Lay out claims: `images` of each set of `references`, rows, both int64."""
    shown = np.concatenate(images)
    which = np.arange(len(images)).repeat([len(rows) for rows in images])
    enrolled = np.stack(references)  # (sets, R)
    distances = np.empty((len(shown), enrolled.shape[1]))
    for part in blocks(len(shown), max(1, PAIRS_AT_ONCE // enrolled.shape[1])):
        right = enrolled[which[part]]  # (n, R)
        left = np.broadcast_to(shown[part, None], right.shape)
        found = pair_distances(vectors, left.reshape(-1), right.reshape(-1))
        distances[part] = found.reshape(right.shape)
    spread = np.array([spread_of(vectors[rows]) for rows in enrolled])[which]
    is_forged = labels[shown] < 0
    own = np.where(is_forged, -1 - labels[shown], labels[shown])
    claimed = labels[enrolled[which, 0]]
    kind = np.where(is_forged, "forgery", np.where(own == claimed, "true", "stranger"))
    return Claims(distances, spread, claimed, own, kind)


def _rows_by_label(labels: np.ndarray) -> dict[int, np.ndarray]:
    order = labels.argsort(kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))
