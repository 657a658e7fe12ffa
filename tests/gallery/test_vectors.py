"""The nearest of vectors in memory, against the order of all rows."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siamese.gallery import vectors as module
from siamese.gallery.vectors import Directions, Vectors, VectorsOnDevice, least, squared_lengths
from siamese.measures.knn import rank
from tests.support.vectors import clustered, galleries

Case = tuple[np.ndarray, np.ndarray, np.ndarray, int]


def check(rows: Vectors, queries: np.ndarray, k: int) -> None:
    """Compare with the order of all rows."""
    shape = (len(queries), *rows.vectors.shape)
    numbers = np.broadcast_to(rows.numbers, shape[:2])
    right, distances = rank(queries, np.broadcast_to(rows.vectors, shape), numbers)
    found, gaps = rows.nearest(queries, k)
    np.testing.assert_array_equal(rows.numbers[found], right[:, :k])
    np.testing.assert_array_equal(gaps, distances[:, :k])


@pytest.mark.parametrize("values_at_once", [module.VALUES_AT_ONCE, 100])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(galleries())
def test_the_nearest_are_the_first_of_all(
    monkeypatch: pytest.MonkeyPatch, values_at_once: int, case: Case
) -> None:
    monkeypatch.setattr(module, "VALUES_AT_ONCE", values_at_once)
    numbers, vectors, queries, k = case
    rows = Vectors(vectors, numbers)
    check(rows, queries, k)
    check(rows, np.concatenate([queries, queries]), k)  # enough for one product of matrices


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(galleries(), st.integers(1, 10), st.sampled_from([0, 0.01]), st.sampled_from([48, 64]))
def test_short_vectors_find_the_same(
    monkeypatch: pytest.MonkeyPatch, case: Case, n_directions: int, noise: float, dim: int
) -> None:
    """Vectors that lie in a few directions, or nearly."""
    monkeypatch.setattr(module, "SHORTENED_FROM", 1)
    numbers, drawn, _, k = case
    rng = np.random.default_rng(k)
    spread = rng.normal(size=(drawn.shape[1], n_directions)) @ rng.normal(size=(n_directions, dim))
    vectors = drawn @ spread + noise * drawn.std() * rng.normal(size=(len(drawn), dim))
    vectors = np.concatenate([vectors, vectors[:20]]).astype(np.float32)
    rows = Vectors(vectors, np.concatenate([numbers, numbers[:20] + 10**6]))
    assert rows.directions is not None or not vectors.any()
    outside = rng.normal(size=(3, dim)) * drawn.max()  # mostly in what is left out
    queries = np.concatenate([vectors[:4], outside]).astype(np.float32)
    check(rows, queries, k)


def test_short_vectors_leave_few_to_rank_and_are_used_only_where_they_pay() -> None:
    rng = np.random.default_rng(1)
    flat = clustered(12_000, 20, seed=2) @ np.linalg.qr(rng.normal(size=(96, 20)))[0].T
    vectors = (flat + 0.01 * rng.normal(size=flat.shape)).astype(np.float32)
    rows = Vectors(vectors, np.arange(len(vectors)))
    assert rows.directions is not None
    assert rows.directions.kept == 31
    queries = vectors[:20] + np.float32(0.01)
    assert max(map(len, rows._near(queries, 10))) < 100
    check(rows, queries, 10)
    assert Directions.of(rng.normal(size=(12_000, 96)).astype(np.float32)) is None
    assert Vectors(vectors[:9000], np.arange(9000)).directions is None


@settings(max_examples=100)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3000),
    st.sampled_from([2, 50, 10**6]),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.booleans(),
)
def test_the_least_are_those_of_sorting(
    seed: int, n: int, levels: int, slack: float, is_sorted: bool
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, n).astype(np.float32)
    if is_sorted:
        scores.sort()  # the least lie together, as a class may
    k = int(rng.integers(1, n + 1))
    right = np.flatnonzero(scores <= np.sort(scores)[k - 1] + slack)
    found = least(scores, k, slack)
    if k == n:
        assert len(found) == n
    np.testing.assert_array_equal(found, right)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 128, 1000]), st.sampled_from([0, 100]))
def test_rounding_stays_within_the_bound(seed: int, dim: int, offset: int) -> None:
    """Long vectors close together lose most digits."""
    rng = np.random.default_rng(seed)
    vectors = (offset + rng.normal(size=(40, dim))).astype(np.float32)
    rows = Vectors(vectors, np.arange(40))
    query = (offset + rng.normal(size=dim)).astype(np.float32)
    exact = squared_lengths(vectors) / 2 - vectors.astype(np.float64) @ query
    for products in (np.vecdot(vectors, query), vectors @ query):
        assert (np.abs(rows.halves - products - exact) <= rows.error(query)).all()


def test_equal_rows_are_settled_by_number() -> None:
    numbers = np.random.default_rng(3).permutation(20_000)
    rows = Vectors(np.ones((20_000, 4), np.float32), numbers)
    found, distances = rows.nearest(np.zeros((1, 4), np.float32), 3)
    assert numbers[found].tolist() == [[0, 1, 2]]
    assert distances.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@settings(max_examples=30)
@given(galleries())
def test_a_device_finds_the_same(kind: str, case: Case) -> None:
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    numbers, vectors, queries, k = case
    check(VectorsOnDevice(vectors, numbers, torch.device(kind)), queries, k)
