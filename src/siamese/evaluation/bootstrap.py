"""How far a figure would move with other test images: intervals by the bootstrap.

The test images are drawn again with replacement, as many as there are, and every figure is measured
again (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, the percentile interval). A
draw is given as weights: how often each image was drawn. The interval does not hold the chance of
training, another seed: that takes several runs.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from siamese.base.progress import progress_bar
from siamese.evaluation.figures import round_figure

CONFIDENCE = 0.95
# Gives figures by name, when told how often each test image was drawn, float64 `[N]`; not a number
# where a draw leaves nothing to measure.
Measure = Callable[[np.ndarray], dict[str, float]]


class Estimate(NamedTuple):
    """A value and the ends of its 95 % interval, rounded as they are written."""

    value: float
    low: float
    high: float


def estimate(measure: Measure, n_images: int, resamples: int, seed: int) -> dict[str, Estimate]:
    """Measure the images as they are, and again in every draw.

    An interval is widened to hold the value itself where the draws are so skewed that it would be
    left out. A value of 0 or 1, all wrong or all right, has an interval without width: the
    bootstrap has seen no other outcome.

    Args:
        measure: the figures; a draw that leaves nothing to measure is left out.
        n_images: how many images are drawn from, and how many each draw has.
        resamples: how many draws.
        seed: of the draws.
    """
    bar = progress_bar("bootstrap", "draw", total=resamples)
    values, drawn = measure_draws(measure, n_images, resamples, seed, bar)
    return {name: _estimate(value, drawn[name]) for name, value in values.items()}


def measure_draws(
    measure: Measure, n_images: int, resamples: int, seed: int, bar: "tqdm[Any]"
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measure the images as they are, and again in every draw, under a bar; see `estimate`.

    Returns:
        By name, the value, and the values of the draws that leave something to measure, floats.
    """
    values = measure(np.ones(n_images))
    drawn: dict[str, list[float]] = {name: [] for name in values}
    with bar:
        for weights in draws(n_images, resamples, seed):
            for name, value in measure(weights).items():
                drawn[name].append(value)
            bar.update()
    measured = {name: np.array(found) for name, found in drawn.items()}
    return values, {name: found[np.isfinite(found)] for name, found in measured.items()}


def draws(n_images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, float64 `[n_images]`, for one draw after the other."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        images = rng.integers(n_images, size=n_images)
        yield np.bincount(images, minlength=n_images).astype(np.float64)


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (value, value)
    return Estimate(*map(round_figure, (value, min(low, value), max(high, value))))
