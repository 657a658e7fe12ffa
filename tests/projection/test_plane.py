"""The plane is that of scikit-learn's PCA, however the vectors come in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from siamese.projection.plane import fit_plane


@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.integers(2, 9), st.integers(1, 60))
def test_it_is_scikit_learns_whatever_the_parts(seed: int, n: int, dims: int, part: int) -> None:
    rng = np.random.default_rng(seed)
    # Of directions with as much variance, any may come first.
    scale = 2.0 ** -np.arange(dims)
    vectors = (rng.normal(size=(n, dims)) * scale + rng.normal(size=dims)).astype(np.float32)
    plane = fit_plane((vectors[start : start + part] for start in range(0, n, part)), dims)
    reference = PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(plane.explained, reference.explained_variance_ratio_, atol=1e-6)
    if np.diff(-reference.explained_variance_ratio_) > 0.05:
        np.testing.assert_allclose(
            plane.place(vectors)[:, 0], reference.transform(vectors)[:, 0], atol=1e-4
        )


def test_places_are_scikit_learns_on_both_axes() -> None:
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(500, 12)) * np.linspace(3, 0.2, 12)).astype(np.float32)
    others = rng.normal(size=(20, 12)).astype(np.float32)
    plane = fit_plane([vectors[:123], vectors[123:]], 12)
    reference = PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
    for some in (vectors, others):
        np.testing.assert_allclose(plane.place(some), reference.transform(some), atol=1e-5)


@pytest.mark.parametrize(("n", "dims"), [(0, 4), (1, 4), (5, 1)])
def test_few_vectors_have_a_place_too(n: int, dims: int) -> None:
    vectors = np.ones((n, dims), np.float32) * np.arange(n, dtype=np.float32)[:, None]
    places = fit_plane([vectors], dims).place(vectors)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_equal_vectors_lie_on_one_point() -> None:
    plane = fit_plane([np.full((7, 3), 0.3, np.float32)], 3)
    assert np.allclose(plane.place(np.full((2, 3), 0.3, np.float32)), 0, atol=1e-7)
    assert plane.explained.sum() == 0
