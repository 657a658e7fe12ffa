"""Claims: is this image of the class that it claims to be of, given images enrolled under it?

The distances to these *references* become one, by a rule; a claim is accepted up to a threshold.
More references make the distance of a true claim smaller, so each number of them has its own
threshold.
"""

from typing import Literal, get_args

import numpy as np

# How the distances to all references become one. Of rules that are equally good the first is taken.
Rule = Literal["mean", "min"]
RULES: tuple[Rule, ...] = get_args(Rule)
# Claims that are false: of an image made to pass for the class, or of any image of another.
FalseKind = Literal["forgery", "stranger"]
# Numbers of references that claims are calibrated and tested with.
REFERENCES = (1, 3, 5, 10)


def claim_distance(distances: np.ndarray, rule: Rule) -> np.ndarray:
    """Return the distance of each claim.

    Args:
        distances: floats `[..., R]`, to the R references of each claim.
        rule: their minimum, or their mean.

    Returns:
        float64 `[...]`.
    """
    exact = np.asarray(distances, dtype=np.float64)
    return exact.min(axis=-1) if rule == "min" else exact.mean(axis=-1)
