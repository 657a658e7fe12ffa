"""The contrastive loss, in three separate steps: distances, loss of each pair, reduction.

    J = ½ [ y·D² + (1 − y)·max(0, m − D)² ],    y = 1 for two images of the SAME class

after Hadsell, Chopra and LeCun, *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR
2006, equation 4 (whose Y is 1 − y: it is 0 for similar pairs).
"""

from typing import Literal

import torch
from torch import Tensor


def distance_of(left: Tensor, right: Tensor) -> Tensor:
    """Return the Euclidean distance of each pair.

    Args:
        left: float `[P, D]`.
        right: float `[P, D]`.

    Returns:
        float `[P]`. Its gradient at distance zero is zero.
    """
    return _safe_sqrt((left - right).square().sum(dim=1))


def distance_matrix(left: Tensor, right: Tensor) -> Tensor:
    """Return the Euclidean distance of each left row to each right row.

    Taken through the dot product, one matrix product for all pairs. In float32 that rounds squared
    distances of unit vectors by about 1e-7: distances near zero may be off by some 1e-4.

    Args:
        left: float `[N, D]`.
        right: float `[M, D]`.

    Returns:
        float `[N, M]`. Its gradient at distance zero is zero.
    """
    squares = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)[None, :]
    return _safe_sqrt((squares - 2 * left @ right.T).clamp_min(0))


def contrastive_loss(
    distance: Tensor,
    same: Tensor,
    margin: float,
    power: Literal[1, 2] = 2,
    like_weight: float = 1.0,
) -> Tensor:
    """Return the loss of each pair: ½ [ w·y·Dᵖ + (1 − y)·max(0, m − D)ᵖ ].

    With the defaults p = 2 and w = 1 this is J, exactly.

    Args:
        distance: D, float, any shape.
        same: bool of the same shape: true for two images of the same class.
        margin: m, the distance beyond which unlike pairs cost nothing.
        power: p.
        like_weight: w, a factor on the term of the like pairs.

    Returns:
        float of the same shape.
    """
    pull = like_weight * distance.pow(power)
    push = (margin - distance).clamp_min(0).pow(power)
    return 0.5 * torch.where(same, pull, push)


def balanced_mean(losses: Tensor, same: Tensor, counted: Tensor | None = None) -> Tensor:
    """Average like and unlike pairs apart, so that neither outnumbers the other.

    On a batch that is half like pairs, as the manifests are, this is the plain mean. All pairs of a
    batch are mostly unlike: there it makes one like pair weigh as much as many unlike ones.

    Args:
        losses: float, any shape.
        same: bool of the same shape.
        counted: bool of the same shape: which pairs count; all, if left out.

    Returns:
        A scalar: half the mean over the like pairs plus half the mean over the unlike pairs. A kind
        of which there is no pair adds nothing.
    """
    if counted is None:
        counted = torch.ones_like(same)
    like, unlike = same & counted, ~same & counted
    zero = losses.new_zeros(())
    like_mean = torch.where(like, losses, zero).sum() / like.sum().clamp_min(1)
    unlike_mean = torch.where(unlike, losses, zero).sum() / unlike.sum().clamp_min(1)
    return 0.5 * (like_mean + unlike_mean)


def _safe_sqrt(squared: Tensor) -> Tensor:
    # The slope of the square root at zero is infinite, and infinity times zero is NaN: so zeros are
    # kept away from it, in the forward and in the backward pass.
    positive = squared > 0
    return torch.where(positive, squared.where(positive, 1.0).sqrt(), 0.0)
