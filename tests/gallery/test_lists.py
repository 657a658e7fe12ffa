"""The index in memory: its lists, and what it finds and misses."""

import numpy as np

from siamese.gallery.lists import TARGET, Lists, grouped
from siamese.gallery.vectors import Vectors
from tests.support.vectors import clustered


def lists_of(vectors: np.ndarray) -> tuple[Vectors, Lists]:
    numbers = np.random.default_rng(0).permutation(len(vectors))
    own = vectors.copy()
    centres, starts, order = grouped(own)
    rows = Vectors(own, numbers[order])
    return rows, Lists(rows, centres, starts)


def recall(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, right, strict=True)]))


def test_rows_are_moved_into_the_list_of_their_nearest_centre() -> None:
    vectors = clustered(3000, 8, seed=1)
    own = vectors.copy()
    centres, starts, order = grouped(own)
    np.testing.assert_array_equal(own, vectors[order])
    assert sorted(order) == list(range(3000))
    assert (starts[0], starts[-1]) == (0, 3000)
    distances = np.linalg.norm(own[:, None] - centres[None], axis=2)
    of_list = np.repeat(np.arange(len(centres)), np.diff(starts))
    chosen = distances[np.arange(3000), of_list]
    np.testing.assert_allclose(chosen, distances.min(axis=1), atol=1e-6)


def test_nearly_all_is_found_and_distances_are_exact() -> None:
    rows, lists = lists_of(clustered(20_000, 32, seed=2))
    assert lists.recall >= TARGET
    queries = clustered(300, 32, seed=3)
    right, distances = rows.nearest(queries, 10)
    found, gaps = lists.nearest(queries, 10)
    assert recall(found, right) >= 0.99
    same = found == right
    np.testing.assert_array_equal(gaps[same], distances[same])
    looked_at = [lists._near(query, 10) for query in queries]
    assert max(len(near) for near in looked_at if near is not None) < 1000
    lists.reach = 0.0
    assert recall(lists.nearest(queries, 10)[0], right) < 0.97, "it is the reach that finds them"


def test_the_reach_grows_until_enough_is_found() -> None:
    """Vectors without structure, where the first reach misses rows."""
    vectors = np.random.default_rng(4).normal(size=(10_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, lists = lists_of(vectors)
    queries = vectors[:200] + np.float32(0.01)
    right = rows.nearest(queries, 10)[0]
    assert recall(lists.nearest(queries, 10)[0], right) >= 0.98


def test_where_lists_have_too_few_rows_all_are_searched() -> None:
    rows, lists = lists_of(clustered(4000, 8, seed=5))
    lists.reach = 0.0
    queries = clustered(2, 8, seed=6)
    for one, other in zip(lists.nearest(queries, 3900), rows.nearest(queries, 3900), strict=True):
        np.testing.assert_array_equal(one, other)


def test_equal_rows_have_an_index_too() -> None:
    few = clustered(7, 8, seed=7)
    for vectors in (np.zeros((1000, 8), np.float32), few[np.r_[np.zeros(990, int), :7, :3]]):
        rows, lists = lists_of(vectors)
        queries = np.concatenate([vectors[:1], vectors[-1:]])
        for one, other in zip(lists.nearest(queries, 9), rows.nearest(queries, 9), strict=True):
            np.testing.assert_array_equal(one, other)
