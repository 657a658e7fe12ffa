"""t-SNE places whatever vectors there are, the same each time."""

import numpy as np
import pytest

from siamese.projection.tsne import spread_out


@pytest.mark.parametrize(("n", "dims"), [(3, 4), (12, 1), (12, 2)])
def test_few_vectors_of_few_dimensions_are_placed(n: int, dims: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n, dims)).astype(np.float32)
    places = spread_out(vectors)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places.round(4), axis=0)) == n


def test_equal_vectors_are_placed() -> None:
    assert np.isfinite(spread_out(np.full((9, 3), 0.5, np.float32))).all()


def test_places_are_the_same_each_time() -> None:
    vectors = np.random.default_rng(1).normal(size=(25, 6)).astype(np.float32)
    first = spread_out(vectors, seed=4)
    assert (spread_out(vectors, seed=4) == first).all()
