"""The distance beyond which an image is unlike anything, against a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.gallery.novelty import novelty_distance


def distance(splits: str, fine: list[int], vectors: np.ndarray, share: float) -> float:
    """Of samples whose splits are given by their first letters."""
    names = np.array([{"t": "train", "v": "validation"}[letter] for letter in splits], dtype=object)
    embeddings = Embeddings(np.arange(len(fine)), np.array(fine), None, vectors.astype(np.float32))
    return novelty_distance(embeddings, names, share)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1]))
def test_it_is_that_of_a_loop(seed: int, n: int, share: float) -> None:
    """With classes that training lacks, every other sample is known, and no sample to itself."""
    rng = np.random.default_rng(seed)
    splits = "".join(rng.permutation([*"tttttt", *"v" * n]))
    fine = rng.integers(0, rng.integers(1, 6), n + 6)
    vectors = rng.integers(-9, 10, (n + 6, 2))
    trained = {label for label, split in zip(fine, splits, strict=True) if split == "t"}
    asked = [row for row, split in enumerate(splits) if split == "v"]
    is_among = any(fine[row] not in trained for row in asked)
    nearest = sorted(
        min(
            math.dist(vectors[row], vectors[other])
            for other, split in enumerate(splits)
            if other != row and (is_among or split == "t")
        )
        for row in asked
    )
    expected = nearest[math.ceil(share * n - 1e-9) - 1]
    found = distance(splits, fine.tolist(), vectors, share)
    assert found == pytest.approx(expected, rel=1e-12, abs=0)


def test_by_hand() -> None:
    """Four held-out points at distances 1, 2, 3 and 10 of the one known: three quarters are 3."""
    vectors = np.array([[0], [1], [-2], [3], [10]])
    assert distance("tvvvv", [0] * 5, vectors, 0.75) == 3
    assert distance("tvvvv", [0] * 5, vectors, 0.76) == 10
    # Of a class that training lacks: the nearest others are at 1, 2, 2 and 7.
    assert distance("tvvvv", [0, 1, 1, 1, 1], vectors, 0.75) == 2


@pytest.mark.parametrize("share", [0, -0.1, 1.01, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="expected a number above 0 and at most 1"):
        distance("tv", [0, 0], np.zeros((2, 1)), share)


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(InputError, match="there are 0 and 2"):
        distance("tt", [0, 0], np.zeros((2, 1)), 0.99)
