"""The statistics of `compare` against answers by hand, by a loop and by SciPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from siamese.comparison.significance import (
    RESAMPLES,
    Outcome,
    bootstrap_images,
    bootstrap_means,
    holm,
    mcnemar,
    welch,
)
from siamese.evaluation.bootstrap import Measure
from siamese.evaluation.figures import find_figure
from siamese.evaluation.measurement import measurement


def answers(won: int, lost: int, both: int = 3, neither: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return base and head answers of which so many are the one's alone or the other's."""
    base = [False] * won + [True] * lost + [True] * both + [False] * neither
    head = [True] * won + [False] * lost + [True] * both + [False] * neither
    return np.array(base), np.array(head)


def test_mcnemar_by_hand() -> None:
    # Six tosses, all heads: 2 / 2**6.
    tested = mcnemar(*answers(won=6, lost=0))
    assert tested.p == pytest.approx(2 / 64)
    assert tested.difference == pytest.approx(6 / 13)
    # One toss shows nothing.
    assert mcnemar(*answers(won=1, lost=0, both=0, neither=0)).p == 1.0
    # One of five: (1 + 5) / 2**5 on either side.
    assert mcnemar(*answers(won=1, lost=4)).p == pytest.approx(2 * 6 / 32)


def test_mcnemar_counts_all_outcomes_as_unlikely_as_this() -> None:
    won, lost = 9, 21
    n = won + lost
    expected = sum(
        math.comb(n, k) / 2**n for k in range(n + 1) if math.comb(n, k) <= math.comb(n, won)
    )
    assert mcnemar(*answers(won, lost)).p == pytest.approx(expected)


def test_equal_answers_are_no_difference() -> None:
    base, _ = answers(won=0, lost=0)
    assert mcnemar(base, base) == Outcome(0.0, (0.0, 0.0), 1.0, "McNemar, exact")
    values = np.array([0.1, 0.5, 0.9])
    assert bootstrap_means(values, values) == Outcome(0.0, (0.0, 0.0), 1.0, "paired bootstrap")


def test_what_both_have_right_or_wrong_says_nothing() -> None:
    few = mcnemar(*answers(won=8, lost=1))
    many = mcnemar(*answers(won=8, lost=1, both=1000, neither=500))
    assert few.p == many.p
    assert many.difference == pytest.approx(7 / 1509)


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(0, 40))
def test_swapping_the_sides_turns_the_difference_round(won: int, lost: int) -> None:
    one, other = mcnemar(*answers(won, lost)), mcnemar(*answers(lost, won))
    assert one.difference == -other.difference
    assert one.p == pytest.approx(other.p)


def test_intervals_are_those_of_the_normal_distribution_where_there_are_many_queries() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(5000)
    head = base + rng.normal(0.01, 0.2, 5000)
    gaps = head - base
    half = 1.96 * gaps.std() / math.sqrt(5000)
    tested = bootstrap_means(base, head)
    assert tested.interval == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=5e-4)
    right = rng.random((2, 5000)) < [[0.6], [0.62]]
    gaps = right[1].astype(float) - right[0]
    half = 1.96 * gaps.std() / math.sqrt(5000)
    found = mcnemar(right[0], right[1]).interval
    assert found == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=1.5e-3)


def test_a_small_p_goes_with_an_interval_that_leaves_zero_out() -> None:
    rng = np.random.default_rng(6)
    base = rng.random(300)
    better = base + rng.normal(0.1, 0.2, 300)
    clear = bootstrap_means(base, better)
    assert clear == bootstrap_means(base, better), "equal input, equal output"
    assert clear.p == 2 / (1 + RESAMPLES)
    assert clear.interval[0] > 0
    unclear = bootstrap_means(base, base + rng.normal(0.0, 0.2, 300))
    assert unclear.p > 0.05
    assert unclear.interval[0] < 0 < unclear.interval[1]


def verification(
    n_images: int, positions: np.ndarray, distances: np.ndarray, same: np.ndarray, threshold: float
) -> Measure:
    """Return what measures pairs, by the positions of their images, as `siamese compare` does."""
    found = [find_figure(f"verification.{name}") for name in ("auc", "eer", "accuracy")]
    figures, images = [figure for figure in found if figure], {"sample": np.arange(n_images)}
    return measurement(figures, images, distances, same, positions, threshold)


def test_the_bootstrap_over_images_sees_a_better_model_and_no_difference() -> None:
    rng = np.random.default_rng(3)
    positions, same = rng.integers(200, size=(800, 2)), rng.random(800) < 0.4
    distances = np.abs(rng.normal(np.where(same, 0.5, 1.0), 0.4))
    better = np.where(same, 0.6 * distances, distances + 0.2)
    worse, good = (verification(200, positions, d, same, 0.8) for d in (distances, better))
    auc, eer, accuracy = bootstrap_images(worse, good, 200).values()
    assert auc.difference > 0 > eer.difference
    assert auc.p == eer.p == 2 / (1 + RESAMPLES)
    assert auc.interval[0] < auc.difference < auc.interval[1]
    assert accuracy.difference > 0
    for tested in bootstrap_images(worse, worse, 200).values():
        assert tested == Outcome(0.0, (0.0, 0.0), 1.0, "paired bootstrap")


def test_both_sides_are_measured_on_the_same_images_though_on_other_pairs() -> None:
    drawn: dict[str, list[np.ndarray]] = {"base": [], "head": []}

    def recorder(side: str) -> Measure:
        def measure(counts: np.ndarray) -> dict[str, float]:
            drawn[side].append(counts.copy())
            return {side: 0.0, "both": 0.0}

        return measure

    assert set(bootstrap_images(recorder("base"), recorder("head"), 30)) == {"both"}
    assert np.array_equal(drawn["base"], drawn["head"])
    assert len(drawn["base"]) == RESAMPLES + 1
    assert all(counts.sum() == 30 for counts in drawn["base"])
    assert len({counts.tobytes() for counts in drawn["base"]}) > RESAMPLES / 2


@pytest.mark.slow
def test_two_equally_good_models_are_rarely_called_different() -> None:
    """Without a difference p is below 0.05 in about one case of twenty, or less often."""
    alarms = {"mcnemar": 0, "means": 0, "auc": 0}
    n_cases, n = 200, 150
    for case in range(n_cases):
        rng = np.random.default_rng([11, case])
        hardness = rng.normal(size=n)
        scores = hardness + rng.normal(size=(2, n))
        alarms["mcnemar"] += mcnemar(scores[0] > 0, scores[1] > 0).p < 0.05
        alarms["means"] += bootstrap_means(scores[0], scores[1]).p < 0.05
        if case % 4:
            continue
        # The images' own effect on a distance makes pairs that share one alike.
        positions = rng.integers(n, size=(300, 2))
        same = np.arange(300) % 2 == 0
        sides = []
        for score in scores:
            effect = 0.3 * score[positions].sum(axis=1) + rng.normal(0, 0.5, 300)
            sides.append(verification(n, positions, effect - same, same, -0.5))
        alarms["auc"] += bootstrap_images(sides[0], sides[1], n)["verification.auc"].p < 0.05
    # 200 (50) cases at 5 %: above 20 (8) would come once in a thousand (in a hundred) cases.
    assert alarms["mcnemar"] <= 20
    assert alarms["means"] <= 20
    assert alarms["auc"] <= 7


def test_welch_by_the_formula() -> None:
    base, head = [0.1, 0.3, 0.2], [0.5, 0.4, 0.7, 0.6]
    squares = [np.var(side, ddof=1) / len(side) for side in (base, head)]
    t = (np.mean(head) - np.mean(base)) / math.sqrt(sum(squares))
    degrees = sum(squares) ** 2 / (squares[0] ** 2 / 2 + squares[1] ** 2 / 3)
    tested = welch(base, head)
    assert tested.p == pytest.approx(2 * stats.t.sf(t, degrees))
    half = stats.t.ppf(0.975, degrees) * math.sqrt(sum(squares))
    assert tested.interval == pytest.approx((0.35 - half, 0.35 + half))
    assert tested.difference == pytest.approx(0.35)


def test_runs_without_any_spread_prove_nothing() -> None:
    assert welch([0.5, 0.5], [0.6, 0.6]).p == 1.0
    assert welch([0.5, 0.5], [0.6, 0.6]).difference == pytest.approx(0.1)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06 (never falling), 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        assert p <= found <= min(1.0, len(p_values) * p) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert all(corrected[a] <= corrected[b] for a, b in pairwise(order))
