"""Euclidean distances whose gradient is finite everywhere, also between equal embeddings."""

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


def _safe_sqrt(squared: Tensor) -> Tensor:
    # The slope of the square root at zero is infinite, and infinity times zero is NaN: so zeros are
    # kept away from it, in the forward and in the backward pass.
    positive = squared > 0
    return torch.where(positive, squared.where(positive, 1.0).sqrt(), 0.0)
