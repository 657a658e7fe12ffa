"""The plane in which vectors differ most: their first two principal components."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """Two directions, and the point that they go through.

    Attributes:
        mean: float64 `[D]`.
        axes: unit vectors, float64 `[2, D]`, the direction of the greatest variance first. The
            component that is largest in size is positive, as in scikit-learn.
        explained: the share of the whole variance along each, float64 `[2]`.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Return where vectors, float32 `[n, D]`, lie in the plane, float64 `[n, 2]`."""
        return (vectors - self.mean) @ self.axes.T


def fit_plane(parts: Iterable[np.ndarray], dimensions: int) -> Plane:
    """Find the plane of vectors of which only a part is in memory at once.

    Args:
        parts: float32 `[n, D]` each.
        dimensions: D.
    """
    count, origin = 0, np.zeros(dimensions)
    total, products = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for part in parts:
        if not count and len(part):
            origin = part[0].astype(np.float64)  # near the mean, so that little is lost in rounding
        shifted = part - origin
        count += len(part)
        total += shifted.sum(axis=0)
        products += shifted.T @ shifted
    mean = total / max(count, 1)
    values, vectors = np.linalg.eigh(products - count * np.outer(mean, mean))
    values = np.maximum(values[::-1], 0)
    axes = np.zeros((2, dimensions))
    n_axes = min(2, dimensions)
    axes[:n_axes] = vectors[:, ::-1].T[:n_axes]
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.where(axes[[0, 1], largest] < 0, -1, 1)[:, None]
    explained = np.zeros(2)
    if values.sum() > 0:
        explained[:n_axes] = values[:n_axes] / values.sum()
    return Plane(origin + mean, axes, explained)
