"""Verification figures against loops over all thresholds and all couples of pairs."""

import itertools
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.measures.verification import auc, equal_error_rate, error_rates, pair_distances
from siamese.model.calibration import Calibration
from siamese.training.thresholds import calibrate

# Six pairs by distance; like pairs at 0.1, 0.2, 0.6, unlike ones at 0.4, 0.6, 0.9.
DISTANCES = np.array([0.6, 0.1, 0.9, 0.2, 0.4, 0.6])
SAME = np.array([True, True, False, True, False, False])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Distances with many ties (eighths, exact in binary), both kinds of pairs."""
    kinds = st.lists(st.booleans(), min_size=2, max_size=30)
    same = draw(kinds.filter(lambda drawn: len(set(drawn)) == 2))
    distances = draw(st.lists(st.integers(0, 12), min_size=len(same), max_size=len(same)))
    return np.array(distances) / 8, np.array(same)


def cuts(distances: np.ndarray, same: np.ndarray) -> list[tuple[Fraction, Fraction]]:
    """Return (FAR, FRR) for accepting none, then one observed distance more each time."""
    like = [d for d, s in zip(distances.tolist(), same.tolist(), strict=True) if s]
    unlike = [d for d, s in zip(distances.tolist(), same.tolist(), strict=True) if not s]
    return [
        (
            Fraction(sum(d <= cut for d in unlike), len(unlike)),
            Fraction(sum(d > cut for d in like), len(like)),
        )
        for cut in [-1.0, *sorted(set(distances.tolist()))]
    ]


def test_values_worked_by_hand() -> None:
    # Of the 9 couples of a like and an unlike pair the like one is nearer in 7; 0.6 and 0.6 tie,
    # and 0.6 > 0.4.
    assert auc(DISTANCES, SAME) == pytest.approx(7.5 / 9)
    # Accepting up to 0.2: FAR 0, FRR 1/3; to 0.4: 1/3 and 1/3, where they meet.
    assert equal_error_rate(DISTANCES, SAME) == pytest.approx(1 / 3)
    assert error_rates(DISTANCES, SAME, 0.4) == pytest.approx((1 / 3, 1 / 3))
    assert error_rates(DISTANCES, SAME, 0.6) == pytest.approx((2 / 3, 0))
    found = calibrate(DISTANCES, SAME)
    # Up to 0.2 decides five of six right, and so does no other; between 0.2 and 0.4 lies 0.3.
    assert found.accuracy_threshold == pytest.approx(0.3)
    assert found.eer_threshold == pytest.approx(0.5)
    assert found.curve.threshold == pytest.approx((0.05, 0.15, 0.3, 0.5, 0.75, 0.9))
    assert found.curve.far == pytest.approx((0, 0, 0, 1 / 3, 2 / 3, 1))
    assert found.curve.frr == pytest.approx((1, 2 / 3, 1 / 3, 1 / 3, 0, 0))


def test_the_equal_error_rate_lies_on_the_line_between_two_thresholds() -> None:
    """From FAR 0, FRR 1/2 to FAR 1, FRR 1/2 no threshold has equal rates; the line does at 1/2."""
    distances, same = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
    assert equal_error_rate(distances, same) == pytest.approx(1 / 2)
    # From (0, 1/2) straight to (1/3, 0): t/3 = 1/2 - t/2 at t = 3/5.
    distances, same = np.array([1.0, 2, 2, 3, 3]), np.array([True, True, False, False, False])
    assert equal_error_rate(distances, same) == pytest.approx(1 / 5)


@pytest.mark.parametrize("at", [0.0, 0.7])
def test_a_collapsed_embedding_decides_like_a_coin(at: float) -> None:
    distances, same = np.full(6, at), np.array([True, False] * 3)
    assert auc(distances, same) == 0.5
    assert equal_error_rate(distances, same) == 0.5
    found = calibrate(distances, same)
    # Accepting none and accepting all are equally good; the rule takes the lower threshold.
    assert error_rates(distances, same, found.accuracy_threshold) == (0, 1)
    assert found.curve.far == (0, 1)
    assert found.curve.frr == (1, 0)


def test_a_perfect_embedding_makes_no_errors() -> None:
    distances, same = np.array([0.1, 0.3, 0.5, 0.8]), np.array([True, True, False, False])
    assert auc(distances, same) == 1
    assert equal_error_rate(distances, same) == 0
    found = calibrate(distances, same)
    assert found.accuracy_threshold == found.eer_threshold == pytest.approx(0.4)


@given(pairs())
def test_auc_is_the_share_of_couples_in_order(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = drawn
    couples = list(itertools.product(distances[same], distances[~same]))
    in_order = sum(1.0 if like < unlike else 0.5 * (like == unlike) for like, unlike in couples)
    assert auc(distances, same) == pytest.approx(in_order / len(couples))
    assert 0 <= auc(distances, same) <= 1


@given(pairs())
def test_figures_depend_on_the_order_of_distances_alone(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    distances, same = drawn
    stretched = np.exp(3 * distances)
    assert auc(stretched, same) == auc(distances, same)
    assert equal_error_rate(stretched, same) == equal_error_rate(distances, same)
    for one, other in zip(
        vars(calibrate(distances, same).curve).values(),
        vars(calibrate(stretched, same).curve).values(),
        strict=True,
    ):
        assert len(one) == len(other)
    turned = auc(distances.max() - distances, same)
    assert turned == pytest.approx(1 - auc(distances, same))


@given(pairs())
def test_the_equal_error_rate_is_where_the_line_through_all_cuts_has_equal_rates(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    distances, same = drawn
    for (far, frr), (next_far, next_frr) in itertools.pairwise(cuts(distances, same)):
        if far <= frr and next_far >= next_frr:
            # far + t (next_far - far) = frr + t (next_frr - frr)
            t = (frr - far) / ((next_far - far) - (next_frr - frr))
            expected = far + t * (next_far - far)
            assert min(far, next_frr) <= expected <= max(next_far, frr)
            break
    assert equal_error_rate(distances, same) == pytest.approx(float(expected), abs=1e-12)


@given(pairs())
def test_thresholds_are_the_best_of_all(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = drawn
    found = calibrate(distances, same)
    n_like, n_unlike = same.sum(), (~same).sum()
    all_cuts = cuts(distances, same)

    wrong = [far * int(n_unlike) + frr * int(n_like) for far, frr in all_cuts]
    far, frr = error_rates(distances, same, found.accuracy_threshold)
    assert far * n_unlike + frr * n_like == pytest.approx(float(min(wrong)))
    # The lowest of equally good ones: as many distances are accepted as at the first best cut.
    n_accepted = len(np.unique(distances[distances <= found.accuracy_threshold]))
    assert n_accepted == wrong.index(min(wrong))

    gaps = [abs(far - frr) for far, frr in all_cuts]
    n_accepted = len(np.unique(distances[distances <= found.eer_threshold]))
    assert n_accepted == gaps.index(min(gaps))


@given(pairs())
def test_a_short_curve_holds_every_threshold(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = drawn
    curve = calibrate(distances, same).curve
    expected = [(float(far), float(frr)) for far, frr in cuts(distances, same)]
    assert list(zip(curve.far, curve.frr, strict=True)) == expected
    for threshold, far, frr in zip(curve.threshold, curve.far, curve.frr, strict=True):
        assert error_rates(distances, same, threshold) == (far, frr)


def test_a_long_curve_is_shortened_and_keeps_both_ends() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(5000) < 0.5
    distances = rng.normal(1 - 0.3 * same, 0.2).clip(0)
    curve = calibrate(distances, same).curve
    assert len(curve.threshold) == len(curve.far) == len(curve.frr) == 200
    assert (np.diff(curve.threshold) > 0).all()
    assert (np.diff(curve.far) >= 0).all()
    assert (np.diff(curve.frr) <= 0).all()
    assert (curve.far[0], curve.frr[0], curve.far[-1], curve.frr[-1]) == (0, 1, 1, 0)
    for threshold, far, frr in zip(curve.threshold, curve.far, curve.frr, strict=True):
        assert error_rates(distances, same, threshold) == (far, frr)


def test_a_threshold_between_neighbouring_floats_parts_them() -> None:
    one = np.nextafter(1.0, 2)
    for lower in (1.0, one):  # the number halfway rounds down to 1, but up from `one`
        distances, same = np.array([lower, np.nextafter(lower, 2)]), np.array([True, False])
        found = calibrate(distances, same)
        assert error_rates(distances, same, found.accuracy_threshold) == (0, 0)


def test_pair_distances() -> None:
    embeddings = np.array([[0, 0], [3, 4], [0, 1]], dtype=np.float32)
    found = pair_distances(embeddings, np.array([0, 1, 2]), np.array([1, 1, 0]))
    assert found.tolist() == [5, 0, 1]
    assert found.dtype == np.float64


@pytest.mark.parametrize("same", [[True, True], [False, False], []])
@pytest.mark.parametrize("figure", [auc, equal_error_rate, calibrate])
def test_pairs_of_one_kind_are_refused(figure: Any, same: list[bool]) -> None:
    with pytest.raises(InputError, match=f"of {len(same)} pairs {sum(same)} are like"):
        figure(np.arange(len(same)) / 2, np.array(same, dtype=bool))


def test_rates_of_pairs_of_one_kind_are_refused() -> None:
    with pytest.raises(InputError, match="of 2 pairs 0 are like"):
        error_rates(np.ones(2), np.zeros(2, dtype=bool), 0.5)


def test_the_distances_of_a_diverged_network_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        auc(np.array([0.5, np.nan]), np.array([True, False]))


def test_a_calibration_survives_json() -> None:
    found = calibrate(DISTANCES, SAME)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Calibration.from_json(content) == found
    assert set(content) == {"thresholds", "curve"}
    assert set(content["thresholds"]) == {"accuracy", "eer"}
    assert set(content["curve"]) == {"threshold", "far", "frr"}


@pytest.mark.parametrize(
    "damage",
    [
        {"curve": {"threshold": [], "far": [], "frr": []}},
        {"thresholds": {"accuracy": 1}},
        {"thresholds": {"accuracy": "high", "eer": 1}},
        {"thresholds": None},
        {"curve": {"threshold": [1], "far": [1]}},
        {"curve": {"threshold": [1, 2], "far": [1], "frr": [1]}},
        {"curve": {"threshold": 1, "far": [1], "frr": [1]}},
    ],
)
def test_a_damaged_calibration_is_refused(damage: dict[str, Any]) -> None:
    content = calibrate(DISTANCES, SAME).to_json() | damage
    with pytest.raises(InputError, match="verification thresholds cannot be read"):
        Calibration.from_json(content)


def test_a_calibration_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InputError, match="verification thresholds cannot be read"):
        Calibration.from_json([1, 2])
