"""Verification of a claim: an image against all that the gallery has under one label.

How the distances to these references become one, and which distance is near enough, is
`siamese.measures.claims`.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.answers import Neighbour
from siamese.gallery.held import Held
from siamese.gallery.png import decode_png
from siamese.gallery.search import COLUMNS, Searcher, check_queries
from siamese.gallery.table import GalleryTable
from siamese.measures.claims import FalseKind, Rule, claim_distance, spread_of
from siamese.measures.knn import rank
from siamese.model.calibration import Calibration, ClaimCalibration

# Embeddings of one image differ by rounding alone: by less than this share of their length.
ROUNDED = 1e-3


@dataclass(frozen=True)
class ClaimVerdict:
    """The answer about an image that is said to be of a class.

    Attributes:
        label: the class.
        accepted: whether the distance is at most the threshold.
        distance: of the image, by the rule.
        threshold: the one that was calibrated for so many references.
        far: share of the false claims of validation that it accepts.
        frr: share of the true claims of validation that it rejects.
        against: what these false claims were: forgeries, where validation had enough of them, else
            images of other classes.
        rule: how the distances to the references became one.
        references: how many images the gallery has under the label.
        calibrated_references: the number of them that threshold and rates were measured with: the
            largest that is not above `references`.
        nearest: the nearest of them.
        is_copy: one of them is the same image, pixel by pixel, as the network sees it.
    """

    label: str
    accepted: bool
    distance: float
    threshold: float
    far: float
    frr: float
    against: FalseKind
    rule: Rule
    references: int
    calibrated_references: int
    nearest: Neighbour
    is_copy: bool


def claims_of(calibration: Calibration) -> ClaimCalibration:
    """Return the thresholds for claims.

    Raises:
        InputError: there are none.
    """
    if calibration.claims is None:
        raise InputError(
            "this model has no thresholds for claims: it is older than they are, or validation had"
            " too few images of a class; train it again, with more images of each class if need be"
        )
    return calibration.claims


def judge(
    asked: Searcher | Held,
    table: GalleryTable,
    images: np.ndarray,
    embeddings: np.ndarray,
    label: str,
    claims: ClaimCalibration,
) -> list[ClaimVerdict]:
    """Decide for each image whether it is accepted as one of a class.

    Args:
        asked: what has the references.
        table: of the same version.
        images: uint8 `[N, H, W, 3]`.
        embeddings: of the images, float32 `[N, D]`.
        label: of the class.
        claims: of the model that made the embeddings.

    Raises:
        InputError: the gallery has no image of the class, or an embedding is not finite.
    """
    stored, vectors = asked.of_label(label)
    if not len(vectors):
        raise _unknown(label, asked.label_names(), table.address)
    check_queries(table.address, len(vectors), vectors.shape[1], embeddings, 1)
    numbers = np.array(stored["number"], dtype=np.int64)
    place = claims.place(len(numbers))
    # By number, so that a gallery on disk and one in memory add up in the same order.
    threshold, spread = claims.threshold[place], spread_of(vectors[numbers.argsort()])
    verdicts = []
    # One by one: a class may have so many references that all differences at once take gigabytes.
    for image, embedding in zip(images, embeddings, strict=True):
        ranked, gaps = (each[0] for each in rank(embedding[None], vectors[None], numbers[None]))
        distance = claim_distance(gaps, spread, claims.rule).item()
        row = stored["number"].index(ranked[0].item())
        nearest = Neighbour(*(*(stored[name][row] for name in COLUMNS), gaps[0].item()))
        alike = ranked[gaps <= ROUNDED * np.linalg.norm(embedding)]
        verdicts.append(
            ClaimVerdict(
                label=nearest.label,
                accepted=distance <= threshold,
                distance=distance,
                threshold=threshold,
                far=claims.far[place],
                frr=claims.frr[place],
                against=claims.against,
                rule=claims.rule,
                references=len(numbers),
                calibrated_references=claims.references[place],
                nearest=nearest,
                is_copy=len(alike) > 0 and _has_image(table, alike, image),
            )
        )
    return verdicts


def _has_image(table: GalleryTable, numbers: np.ndarray, image: np.ndarray) -> bool:
    stored = table.lookup(numbers, ["image"])["image"].to_pylist()
    return any(one is not None and np.array_equal(decode_png(one), image) for one in stored)


def _unknown(label: str, names: Iterable[str], address: str) -> InputError:
    # In small letters: who writes a name in other capitals means it all the same.
    small = {name.lower(): name for name in names}
    near = difflib.get_close_matches(label.lower(), small, n=3)
    advice = f"did you mean {', '.join(f'`{small[name]}`' for name in near)}?"
    if not near:
        advice = "`siamese gallery list` lists the labels, `siamese enroll` adds images"
    return InputError(f"no image of the gallery at {address} has the label {label!r}; {advice}")
