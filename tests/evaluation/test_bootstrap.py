"""Intervals: what they must hold, and that they are as wide as theory has it."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.evaluation.bootstrap import draws, estimate


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    return lambda weights: {"mean": float(weights @ values / weights.sum())}


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 5))
def test_an_interval_holds_the_value_and_lies_within_what_is_possible(
    right: list[bool], seed: int
) -> None:
    values = np.array(right, dtype=np.float64)
    found = estimate(mean_of(values), len(values), 100, seed)["mean"]
    assert found.value == round(values.mean(), 4)
    assert values.min() <= found.low <= found.value <= found.high <= values.max()


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_it_is_as_wide_as_the_binomial_distribution_has_it(share: float) -> None:
    from scipy.stats import binom

    n = 2000
    values = (np.arange(n) < share * n).astype(np.float64)
    _, low, high = estimate(mean_of(values), n, 4000, 0)["mean"]
    exact_low, exact_high = binom.ppf([0.025, 0.975], n, share) / n
    width = exact_high - exact_low
    assert low == pytest.approx(exact_low, abs=0.06 * width)
    assert high == pytest.approx(exact_high, abs=0.06 * width)


def test_a_draw_is_as_many_images_as_there_are_with_replacement() -> None:
    found = list(draws(30, 200, 0))
    assert len(found) == 200
    assert all(weights.sum() == 30 for weights in found)
    rng = np.random.default_rng(0)
    for weights in found:
        images = rng.integers(30, size=30).tolist()
        assert weights.tolist() == [images.count(image) for image in range(30)]


def test_a_draw_with_nothing_to_measure_is_left_out() -> None:
    def measure(weights: np.ndarray) -> dict[str, float]:
        # Of three images one counts; a draw without it has nothing to measure.
        return {"share": float(weights[0] / weights[0]) if weights[0] else np.nan}

    assert estimate(measure, 3, 100, 0) == {"share": (1.0, 1.0, 1.0)}


def test_a_skewed_value_stays_in_its_interval_on_either_side() -> None:
    def measure(weights: np.ndarray) -> dict[str, float]:
        share = float((weights > 0).mean())  # 1 as it is, about 0.63 when drawn again
        return {"drawn": share, "missed": 1 - share}

    found = estimate(measure, 200, 200, 0)
    assert found["drawn"].low < 0.65
    assert found["drawn"].high == 1.0
    assert found["missed"].low == 0.0
    assert found["missed"].high > 0.35
