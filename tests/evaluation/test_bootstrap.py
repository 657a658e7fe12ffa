"""Intervals: what they must hold, and that they are as wide as theory has it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.evaluation.bootstrap import Figures, draws, intervals, weighted_means


def mean_of(values: np.ndarray) -> "object":
    def figures(weights: np.ndarray) -> Figures:
        return {"mean": float(weighted_means(values[:, None], weights)[0])}

    return figures


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 5))
def test_an_interval_holds_the_figure_and_lies_within_the_values(
    right: list[bool], seed: int
) -> None:
    values = np.array(right, dtype=np.float64)
    [(low, high)] = intervals(mean_of(values), len(values), 100, seed).values()  # type: ignore[arg-type]
    assert values.min() <= low <= round(values.mean(), 4) <= high <= values.max()


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_it_is_as_wide_as_the_binomial_distribution_has_it(share: float) -> None:
    from scipy.stats import binom

    n = 2000
    values = (np.arange(n) < share * n).astype(np.float64)
    [(low, high)] = intervals(mean_of(values), n, 4000, 0).values()  # type: ignore[arg-type]
    exact_low, exact_high = binom.ppf([0.025, 0.975], n, share) / n
    width = exact_high - exact_low
    assert low == pytest.approx(exact_low, abs=0.06 * width)
    assert high == pytest.approx(exact_high, abs=0.06 * width)


def test_weighted_means_are_those_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    columns, weights = rng.random((20, 3)), rng.integers(0, 4, 20)
    expected = np.repeat(columns, weights, axis=0).mean(axis=0)
    np.testing.assert_allclose(weighted_means(columns, weights.astype(np.float64)), expected)


def test_a_draw_is_as_many_images_as_there_are_with_replacement() -> None:
    found = list(draws(30, 200, 0))
    assert len(found) == 200
    assert all(weights.sum() == 30 for weights in found)
    rng = np.random.default_rng(0)
    for weights in found:
        images = rng.integers(30, size=30).tolist()
        assert weights.tolist() == [images.count(image) for image in range(30)]


def test_every_figure_sees_the_same_draws() -> None:
    values = np.random.default_rng(0).random(50)

    def figures(weights: np.ndarray) -> Figures:
        return {"one": float(weights @ values), "other": float(weights @ values)}

    found = intervals(figures, 50, 100, 0)
    assert found["one"] == found["other"]


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    values = np.random.default_rng(0).random(200)
    first, again, other = (
        intervals(mean_of(values), 200, 100, seed)  # type: ignore[arg-type]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_draw_with_nothing_to_measure_is_left_out() -> None:
    def figures(weights: np.ndarray) -> Figures:
        # Of three images one counts; a draw without it has nothing to measure.
        return {"figure": float(weights[0] / weights[0]) if weights[0] else np.nan}

    assert intervals(figures, 3, 100, 0) == {"figure": [1.0, 1.0]}


def test_a_skewed_figure_stays_in_its_interval_on_either_side() -> None:
    def drawn(weights: np.ndarray) -> Figures:
        share = float((weights > 0).mean())  # 1 as it is, about 0.63 when drawn anew
        return {"drawn": share, "missed": 1 - share}

    found = intervals(drawn, 200, 200, 0)
    assert found["drawn"][0] < 0.65
    assert found["drawn"][1] == 1.0
    assert found["missed"][0] == 0.0
    assert found["missed"][1] > 0.35
