"""The distance beyond which an image is unlike anything, against a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.gallery.novelty import novelty_distance, novelty_distance_among


def by_loop(known: np.ndarray, held_out: np.ndarray, share: float) -> float:
    nearest = sorted(
        min(math.dist(one.tolist(), other.tolist()) for other in known) for one in held_out
    )
    for position, distance in enumerate(nearest, start=1):
        if position >= share * len(nearest) - 1e-9:
            return distance
    raise AssertionError("the last one is reached")


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1]))
def test_it_is_that_of_a_loop(seed: int, n: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    known = rng.integers(-3, 4, (7, 2)).astype(np.float32)
    held_out = rng.integers(-9, 10, (n, 2)).astype(np.float32)
    found = novelty_distance(known, held_out, share)
    assert found == pytest.approx(by_loop(known, held_out, share), rel=1e-12, abs=0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.5, 0.99, 1]))
def test_among_each_other_a_sample_is_not_its_own_neighbour(
    seed: int, n: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-9, 10, (n, 2)).astype(np.float32)
    rows = np.sort(rng.choice(n, rng.integers(1, n + 1), replace=False))
    distances = sorted(
        by_loop(np.delete(vectors, row, axis=0), vectors[row : row + 1], 1) for row in rows
    )
    found = novelty_distance_among(vectors, rows, share)
    assert found == pytest.approx(distances[math.ceil(share * len(rows) - 1e-9) - 1])


def test_by_hand() -> None:
    """Four held-out points at distances 1, 2, 3 and 10 of the one known: three quarters are 3."""
    known = np.zeros((1, 1), np.float32)
    held_out = np.array([[1], [-2], [3], [10]], np.float32)
    assert novelty_distance(known, held_out, 0.75) == 3
    assert novelty_distance(known, held_out, 0.76) == 10


@pytest.mark.parametrize("share", [0, -0.1, 1.01, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    one = np.zeros((1, 1), np.float32)
    with pytest.raises(InputError, match="expected a number above 0 and at most 1"):
        novelty_distance(one, one, share)
    with pytest.raises(InputError, match="expected a number above 0 and at most 1"):
        novelty_distance_among(np.zeros((2, 1), np.float32), np.arange(2), share)


def test_nothing_to_measure_is_said() -> None:
    one, none = np.zeros((1, 1), np.float32), np.zeros((0, 1), np.float32)
    with pytest.raises(InputError, match="there are 0 and 1"):
        novelty_distance(one, none, 0.99)
    with pytest.raises(InputError, match="there are 1 and 0"):
        novelty_distance(none, one, 0.99)
