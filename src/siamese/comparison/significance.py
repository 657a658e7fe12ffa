"""Statistical tests of a difference: between two models on the same queries, or between settings.

Two models that answered the same queries are compared query by query (*paired*): what is hard for
both says nothing about either. Two settings are compared by several runs of each, whose spread says
what chance does in training.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese.base.progress import progress_bar
from siamese.evaluation.bootstrap import Measure, measure_draws

LEVEL = 0.05
RESAMPLES = 2000
SEED = 0  # of the resamples: equal results give equal words
_VALUES_AT_ONCE = 2_000_000  # of resampled values: bounds memory

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Outcome:
    """A difference, head minus base, and what a test says of it.

    Attributes:
        difference: as measured.
        interval: its 95 % confidence interval, not corrected for the number of metrics.
        p: how often chance alone gives a difference at least as large; not corrected either.
        test: the test's name.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    test: str


def mcnemar(base: Bools, head: Bools) -> Outcome:
    """Compare two models' right and wrong answers to the same queries.

    McNemar (1947), in its exact form: of the queries that one model alone has right, each is the
    base's or the head's like a toss of a fair coin. The interval is the paired bootstrap's.

    Args:
        base: bool `[Q]`, whether the base model is right.
        head: of the same queries.
    """
    from scipy.stats import binomtest

    won = int(np.count_nonzero(head & ~base))
    lost = int(np.count_nonzero(base & ~head))
    p = float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0
    n = len(base)
    # A resample of queries is a draw of how many are won, lost and neither.
    shares = np.array([won, lost, n - won - lost]) / n
    draws = np.random.default_rng(SEED).multinomial(n, shares, RESAMPLES)  # (R, 3)
    return Outcome(
        (won - lost) / n, _interval((draws[:, 0] - draws[:, 1]) / n), p, "McNemar, exact"
    )


def bootstrap_means(base: Floats, head: Floats) -> Outcome:
    """Compare the means of two models' figures of the same queries by the paired bootstrap.

    Efron and Tibshirani (1993): queries are drawn with replacement, and both models are
    measured on each draw.

    Args:
        base: floats `[Q]`, a figure of each query.
        head: of the same queries.
    """
    gaps = np.subtract(head, base, dtype=np.float64)  # (Q,)
    rng = np.random.default_rng(SEED)
    n = len(gaps)
    at_once = max(1, _VALUES_AT_ONCE // n)
    counts = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    means = np.concatenate([gaps[rng.integers(n, size=(k, n))].mean(axis=1) for k in counts])
    return _bootstrapped(float(gaps.mean()), means, "paired bootstrap")


def bootstrap_images(base: Measure, head: Measure, n_images: int) -> dict[str, Outcome]:
    """Compare figures of pairs of images by the paired bootstrap over the images.

    It is images that are drawn, not pairs, which are not independent; see
    `siamese.evaluation.pair_rates`. The two sides may have been measured on other pairs
    of the same images. A draw that leaves a side without like or without unlike pairs is left out.

    Returns:
        An outcome by name for each figure that both sides have.
    """

    def gaps(weights: np.ndarray) -> dict[str, float]:
        ours, theirs = base(weights), head(weights)
        return {name: theirs[name] - ours[name] for name in ours if name in theirs}

    bar = progress_bar("resamples", "resample", total=RESAMPLES, leave=False)
    measured, drawn = measure_draws(gaps, n_images, RESAMPLES, SEED, bar)
    return {
        name: _bootstrapped(gap, drawn[name], "paired bootstrap") for name, gap in measured.items()
    }


def welch(base: Sequence[float], head: Sequence[float]) -> Outcome:
    """Compare two settings by a figure of several runs of each.

    Welch's t-test (1947), which allows the settings to spread differently. Runs that agree in every
    digit on both sides have no spread to compare with: the difference then counts as none (p = 1).

    Each side has the figure of each of its runs, at least two.
    """
    from scipy.stats import ttest_ind

    difference = float(np.mean(head) - np.mean(base))
    if np.ptp(base) == 0 and np.ptp(head) == 0:
        return Outcome(difference, (difference, difference), 1.0, "none: no spread")
    with warnings.catch_warnings():
        # One side without spread is no reason to doubt the other's.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        result = ttest_ind(head, base, equal_var=False)
    interval = result.confidence_interval(1 - LEVEL)
    return Outcome(
        difference, (float(interval.low), float(interval.high)), float(result.pvalue), "Welch's t"
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that a false alarm in any of them is as rare as in one.

    Holm (1979): the smallest counts as many times as there are values, the next once less, and none
    less than one before it.
    """
    n = len(p_values)
    corrected = [0.0] * n
    highest = 0.0
    for rank, position in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (n - rank) * p_values[position]))
        corrected[position] = highest
    return corrected


def _bootstrapped(difference: float, draws: NDArray[np.float64], test: str) -> Outcome:
    """Read interval and p off the resampled differences `[R]`.

    p is twice the share of resamples on the far side of zero, the sample itself counted among them:
    never 0, and 1 where nothing ever differs.
    """
    beyond = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    p = min(1.0, 2 * (1 + int(beyond)) / (1 + len(draws)))
    return Outcome(difference, _interval(draws), p, test)


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)
