"""How far a figure would move with other test images: intervals by the bootstrap.

The test images are drawn anew with replacement, as many as there are, and every figure is measured
again (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, the percentile interval). A
draw is given as weights: how often each image was drawn. What the interval does not hold is the
chance of training, another seed: that takes several runs.
"""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

CONFIDENCE = 0.95

Figures = dict[str, float]


def intervals(
    figures: Callable[[np.ndarray], Figures], n_images: int, resamples: int, seed: int
) -> dict[str, list[float]]:
    """Return an interval of each figure, four decimals.

    An interval is widened to hold the figure itself where the draws are so skewed that it would be
    left out. A figure of 0 or 1, all wrong or all right, has an interval without width: the
    bootstrap has seen no other outcome.

    Args:
        figures: returns the figures of a draw, by name, for weights float64 `[n_images]`; not a
            number where a draw leaves nothing to measure, which is left out.
        n_images: how many images are drawn from.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        For each figure the ends `[low, high]` of its 95 % interval.
    """
    point = figures(np.ones(n_images))
    drawn: dict[str, list[float]] = {name: [] for name in point}
    bar = tqdm(draws(n_images, resamples, seed), "bootstrap", resamples, unit="draw", disable=None)
    for weights in bar:
        for name, value in figures(weights).items():
            drawn[name].append(value)
    return {name: _interval(np.array(drawn[name]), point[name]) for name in point}


def draws(n_images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, float64 `[n_images]`, for one draw after the other.

    Args:
        n_images: how many images are drawn from, and how many are drawn, with replacement.
        resamples: how many draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        images = rng.integers(n_images, size=n_images)
        yield np.bincount(images, minlength=n_images).astype(np.float64)


def weighted_means(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of each column in a draw, float64 `[C]`.

    Args:
        columns: float64 `[Q, C]`.
        weights: float64 `[Q]`.
    """
    return weights @ columns / weights.sum()


def _interval(drawn: np.ndarray, point: float) -> list[float]:
    tail = (1 - CONFIDENCE) / 2
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (point, point)
    return [round(float(min(low, point)), 4), round(float(max(high, point)), 4)]
