"""Claims: is this image of the class that it claims to be of, given images enrolled under it?

The distances to these *references* become one, by a rule; a claim is accepted up to a threshold.
More references make the distance of a true claim smaller, so each number of them has its own
threshold.

Some people write more evenly than others. The rule `relative` asks how far an image is from the
references beside how far these are from one another: a target-centric normalisation of scores
(Fierrez-Aguilar, Ortega-Garcia and Gonzalez-Rodriguez, *Target Dependent Score Normalization
Techniques and Their Application to Signature Verification*, 2005).
"""

from typing import Literal, get_args

import numpy as np

# How the distances to all references become one. Of rules that are equally good the first is taken.
Rule = Literal["mean", "min", "relative"]
RULES: tuple[Rule, ...] = get_args(Rule)
# Claims that are false: of an image made to pass for the class, or of any image of another.
FalseKind = Literal["forgery", "stranger"]
# Numbers of references that claims are calibrated and tested with.
REFERENCES = (1, 3, 5, 10)
# Of more references than these, evenly chosen ones tell how far they are from one another.
MOST = 1000


def claim_distance(distances: np.ndarray, spread: np.ndarray | float, rule: Rule) -> np.ndarray:
    """Return the distance of each claim.

    Args:
        distances: floats `[..., R]`, to the R references of each claim.
        spread: of these references, see `spread_of`; floats `[...]`.
        rule: their minimum, their mean, or their mean less the spread, which may be below 0.

    Returns:
        float64 `[...]`.
    """
    exact = np.asarray(distances, dtype=np.float64)
    if rule == "min":
        return exact.min(axis=-1)
    return exact.mean(axis=-1) - (spread if rule == "relative" else 0)


def spread_of(references: np.ndarray) -> float:
    """Return the mean distance from a reference to a reference, itself among them.

    So that a single one has none, and that of a few, which is uncertain, counts for less.

    Args:
        references: embeddings, float32 `[R, D]`.
    """
    from scipy.spatial.distance import pdist

    count = len(references)
    if count > MOST:
        references = references[np.linspace(0, count - 1, MOST).astype(int)]
    return float(2 * pdist(references.astype(np.float64)).sum() / len(references) ** 2)
