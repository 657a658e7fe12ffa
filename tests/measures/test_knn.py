"""The k-NN's neighbours, their order and their vote, against loops that anyone can follow."""

import math
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from siamese.base.errors import InputError
from siamese.measures import knn
from siamese.measures.knn import class_ranking, nearest, nearest_in_parts, nearest_others, rank


def naive_nearest(gallery: Any, queries: Any, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Compute all distances, sort by (distance, row)."""
    rows, distances = [], []
    for query in queries.tolist():
        all_rows = [
            (math.sqrt(sum((a - b) ** 2 for a, b in zip(query, vector, strict=True))), row)
            for row, vector in enumerate(gallery.tolist())
        ]
        first = sorted(all_rows)[:k]
        rows.append([row for _, row in first])
        distances.append([distance for distance, _ in first])
    return rows, distances


def naive_ranking(labels: list[int], weights: list[float], top: int) -> list[int]:
    """Add votes label by label; at equal votes the label met first comes first."""
    votes: dict[int, float] = {}
    for label, weight in zip(labels, weights, strict=True):
        votes[label] = votes.get(label, 0) + weight
    ranking = sorted(votes, key=lambda label: -votes[label])  # stable, and in order of first votes
    return (ranking + [-1] * top)[:top]


def points(rng: np.random.Generator, n: int, dimensions: int, kind: str) -> NDArray[np.float32]:
    """Make vectors of a kind that makes ties, or none, or rounding trouble, likely."""
    shape = (n, dimensions)
    values: NDArray[Any]
    match kind:
        case "small integers":
            values = rng.integers(-2, 3, shape)
        case "pixels":
            values = rng.integers(0, 256, shape)
        case "collapsed":
            values = np.full(shape, 0.1)
        case "a few places":
            values = rng.integers(0, 2, (n, 1)) * np.full(shape, 0.3)
        case "far away":  # exact in float32 and float64, hopeless through dot products
            values = 2.0**23 + rng.integers(0, 3, shape)
        case "short" | "long":  # squares are at the ends of float32's range
            values = rng.integers(0, 3, shape) * {"short": 2e-19, "long": 1e18}[kind]
            values[0] = values.max(initial=2e-19)
        case _:
            values = rng.normal(size=shape)
    return values.astype(np.float32)


KINDS = ["small integers", "pixels", "collapsed", "a few places", "far away", "normal"]
KINDS += ["short", "long"]
PROPOSERS = ["scikit-learn", "device"]


def find(by: str, gallery: np.ndarray, queries: np.ndarray, k: int) -> Any:
    """Call `nearest` with either source of candidates; a GPU's code runs on the CPU as well."""
    if by == "scikit-learn":
        return nearest(gallery, queries, k)
    on_cpu = partial(knn._OnDevice, device=torch.device("cpu"))
    with patch.object(knn, "_BySklearn", on_cpu):
        return nearest(gallery, queries, k)


@pytest.mark.parametrize("by", PROPOSERS)
@settings(max_examples=120)
@given(st.data())
def test_nearest_agrees_with_a_loop(by: str, data: Any) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    n_gallery, n_queries = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 12))
    dimensions = data.draw(st.integers(1, 20))
    k = data.draw(st.integers(1, n_gallery) | st.just(n_gallery))
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    gallery = points(rng, n_gallery, dimensions, kind)
    queries = points(rng, n_queries, dimensions, kind)
    rows, distances = find(by, gallery, queries, k)
    expected_rows, expected_distances = naive_nearest(gallery, queries, k)
    assert rows.tolist() == expected_rows
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    assert rows.dtype == np.int64
    assert distances.dtype == np.float64


def test_nearest_of_points_placed_by_hand() -> None:
    """Gallery rows 0…5 on a plane; rows 1 and 4 are the same point, 2 and 3 equally far from 0, 0.

    From the origin: row 0 at 0, rows 1 and 4 at 1, rows 2 and 3 at 5, row 5 at 13.
    From (3, 4), which is row 2: row 2 at 0, rows 0 at 5, 1 and 4 at √(9 + 9), 3 at √(1 + 1).
    """
    gallery = np.array([[0, 0], [0, 1], [3, 4], [4, 3], [0, 1], [5, 12]], dtype=np.float32)
    queries = np.array([[0, 0], [3, 4]], dtype=np.float32)
    rows, distances = nearest(gallery, queries, 6)
    assert rows.tolist() == [[0, 1, 4, 2, 3, 5], [2, 3, 1, 4, 0, 5]]
    far = math.sqrt(68)  # (5, 12) - (3, 4) = (2, 8)
    expected = [[0, 1, 1, 5, 5, 13], [0, math.sqrt(2), math.sqrt(18), math.sqrt(18), 5, far]]
    assert distances.tolist() == expected


@pytest.mark.parametrize("is_fused", [True, False])  # scikit-learn has two ways to search
@pytest.mark.parametrize("value", [1.0, 1.7e-23])
def test_ties_beyond_the_candidates_go_to_the_lowest_rows(value: float, is_fused: bool) -> None:
    """Of rows at one distance scikit-learn may propose any; here there are more than it may.

    The smaller squared distance, 2.3e-45, is one that float32 rounds up to 2.8e-45.
    """
    rng = np.random.default_rng(0)
    gallery = np.sign(rng.normal(size=(500, 8))).astype(np.float32) * np.float32(value)
    gallery = np.concatenate([np.ones((1, 8), np.float32) * 1e-19, gallery]).astype(np.float32)
    with config_context(enable_cython_pairwise_dist=is_fused):
        rows, distances = nearest(gallery, np.zeros((3, 8), dtype=np.float32), 5)
    nearest_five = [1, 2, 3, 4, 5] if value < 1 else [0, 1, 2, 3, 4]
    assert rows.tolist() == [nearest_five] * 3
    assert distances[:, 1:].ravel().tolist() == pytest.approx([math.sqrt(8) * value] * 12)


@pytest.mark.parametrize("by", PROPOSERS)
@pytest.mark.parametrize("scale", [2.0**-86, 2.0**-70, 1.0, 2.0**35])
def test_candidates_are_not_trusted_beyond_their_rounding(by: str, scale: float) -> None:
    """Far from the origin dot products lose the small differences between these vectors.

    With the other scales squared distances are at the ends of float32's range, or below it.
    """
    rng = np.random.default_rng(6)
    gallery, queries = (points(rng, n, 256, "far away") * np.float32(scale) for n in (400, 20))
    rows, distances = find(by, gallery, queries, 5)
    proposed = NearestNeighbors(algorithm="brute").fit(gallery).kneighbors(queries, 13)[1]
    assert any(set(mine) - set(theirs) for mine, theirs in zip(rows, proposed, strict=True))
    expected_rows, expected_distances = naive_nearest(gallery, queries, 5)
    assert rows.tolist() == expected_rows
    assert distances.tolist() == expected_distances


@pytest.mark.parametrize("by", PROPOSERS)
def test_differences_that_float64_loses_in_a_product_are_found(by: str) -> None:
    """So far from the origin a dot product is rounded by more than squared distances differ."""
    rng = np.random.default_rng(7)
    centre = 2**23 + rng.integers(0, 2**20, 512)
    gallery, queries = (centre + rng.integers(0, 2, (n, 512)) for n in (200, 5))
    gallery, queries = gallery.astype(np.float32), queries.astype(np.float32)
    rows, _ = find(by, gallery, queries, 5)
    assert rows.tolist() == naive_nearest(gallery, queries, 5)[0]


@pytest.mark.parametrize("by", PROPOSERS)
@pytest.mark.parametrize("noise", [0, 1e-7, 1e-6])
def test_a_collapsed_embedding_is_answered_right(by: str, noise: float) -> None:
    rng = np.random.default_rng(1)
    vectors = 1 / math.sqrt(128) + noise * rng.normal(size=(330, 128))
    gallery, queries = vectors[:300].astype(np.float32), vectors[300:].astype(np.float32)
    rows, distances = find(by, gallery, queries, 20)
    expected_rows, expected_distances = naive_nearest(gallery, queries, 20)
    assert rows.tolist() == expected_rows
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)


@pytest.mark.parametrize("by", PROPOSERS)
def test_raw_pixels_are_compared_exactly(by: str) -> None:
    """Long vectors of large values, and images that differ in one pixel by one."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 255, (15, 3072)).astype(np.float32)
    one_off = images.copy()
    one_off[np.arange(15), rng.integers(0, 3072, 15)] += 1
    rows, distances = find(by, np.concatenate([one_off, images]), images, 3)
    assert rows[:, :2].tolist() == [[15 + row, row] for row in range(15)]
    assert distances[:, :2].tolist() == [[0, 1]] * 15
    assert rows.tolist() == naive_nearest(np.concatenate([one_off, images]), images, 3)[0]


def test_chunks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    gallery, queries = points(rng, 200, 4, "small integers"), points(rng, 45, 4, "small integers")
    whole = nearest(gallery, queries, 9)
    monkeypatch.setattr(knn, "QUERIES_AT_ONCE", 4)
    monkeypatch.setattr(knn, "VALUES_AT_ONCE", 300)
    monkeypatch.setattr(knn, "ON_DEVICE_AT_ONCE", 500)
    for by in PROPOSERS:
        for one, other in zip(whole, find(by, gallery, queries, 9), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_answers_as_the_cpu(kind: str) -> None:
    rng = np.random.default_rng(4)
    gallery, queries = points(rng, 3000, 32, kind), points(rng, 200, 32, kind)
    on_gpu = nearest(gallery, queries, 20, device=torch.device("cuda"))
    for one, other in zip(nearest(gallery, queries, 20), on_gpu, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=40)
@given(st.data())
def test_a_gallery_in_parts_is_answered_as_one(data: Any) -> None:
    n, dimensions = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    gallery, queries = (points(rng, size, dimensions, "small integers") for size in (n, 5))
    k = data.draw(st.integers(1, n))
    # Any rows may be in one part, ascending in it: a tie may fall between parts.
    part_of = rng.integers(0, data.draw(st.integers(1, 5)), n)
    parts = [np.flatnonzero(part_of == part) for part in set(part_of.tolist())]
    found = nearest_in_parts(((rows, gallery[rows]) for rows in parts), queries, k)
    for values, expected in zip(found, nearest(gallery, queries, k), strict=True):
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)


def test_rank_orders_by_distance_then_number() -> None:
    queries = np.array([[0.0], [1.0]], dtype=np.float32)
    vectors = np.array([[[2], [-1], [1], [0]], [[2], [1], [0], [3]]], dtype=np.float32)
    numbers = np.array([[7, 50, 9, 3], [12, 40, 11, 1]])
    ordered, distances = rank(queries, vectors, numbers)
    assert ordered.tolist() == [[3, 9, 50, 7], [40, 11, 12, 1]]
    assert distances.tolist() == [[0, 1, 1, 2], [0, 1, 1, 2]]


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 300), st.integers(0, 999))
def test_rank_gives_the_same_bits_however_it_is_asked(n: int, dimensions: int, seed: int) -> None:
    """A database that hands over one candidate and a stage with thousands must agree."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(n, dimensions)).astype(np.float32)
    vectors = rng.normal(size=(2 * n, dimensions)).astype(np.float32)
    numbers = np.tile(np.arange(2 * n), (n, 1))
    together = rank(queries, np.tile(vectors, (n, 1, 1)), numbers)
    from_all = nearest(vectors, queries, 2 * n)
    for row in range(n):
        for distance, number in zip(together[1][row], together[0][row], strict=True):
            alone = rank(queries[[row]], vectors[[[number]]], np.array([[number]]))
            assert alone[1][0, 0] == distance
    np.testing.assert_array_equal(together[0], from_all[0])
    np.testing.assert_array_equal(together[1], from_all[1])


@given(st.data())
def test_the_vote_agrees_with_a_loop(data: Any) -> None:
    n_queries, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 25))
    top = data.draw(st.integers(1, 7))
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    labels = rng.integers(0, data.draw(st.integers(1, 8)), (n_queries, k))
    # Tenths do not add up exactly: equal sums are equal only if added in the same order.
    weights = rng.integers(1, 4, labels.shape) / 10
    for given_weights in (None, weights):
        used = np.ones(labels.shape) if given_weights is None else given_weights
        expected = [
            naive_ranking(row.tolist(), row_weights.tolist(), top)
            for row, row_weights in zip(labels, used, strict=True)
        ]
        ranking = class_ranking(labels, top, given_weights)
        assert ranking.tolist() == expected
        assert ranking.dtype == np.int64


def test_a_vote_counted_by_hand() -> None:
    labels = np.array([[4, 2, 2, 7, 7]])
    assert class_ranking(labels[:, :1], top=1).tolist() == [[4]]  # the nearest
    assert class_ranking(labels[:, :2], top=1).tolist() == [[4]]  # 4 and 2 have one vote each
    assert class_ranking(labels[:, :3], top=1).tolist() == [[2]]
    # 2 and 7 have two votes each, 2 voted first; nobody else voted.
    assert class_ranking(labels, top=5).tolist() == [[2, 7, 4, -1, -1]]
    weights = np.array([[1.0, 0.2, 0.3, 0.2, 0.2]])
    assert class_ranking(labels, top=3, weights=weights).tolist() == [[4, 2, 7]]


def test_neighbours_and_vote_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    gallery = rng.normal(size=(400, 16)).astype(np.float32)
    queries = rng.normal(size=(100, 16)).astype(np.float32)
    labels = rng.integers(0, 3, 400)
    rows, distances = nearest(gallery, queries, 5)
    # With float64 vectors it computes differently, yet without ties finds the same.
    theirs = KNeighborsClassifier(n_neighbors=5, algorithm="brute")
    theirs.fit(gallery.astype(np.float64), labels)
    their_distances, their_rows = theirs.kneighbors(queries.astype(np.float64))
    np.testing.assert_array_equal(rows, their_rows)
    np.testing.assert_allclose(distances, their_distances, rtol=1e-9)
    # 5 votes for 3 classes can be 2 : 2 : 1, which scikit-learn gives to the lowest label.
    votes = np.stack([(labels[rows] == label).sum(axis=1) for label in range(3)], axis=1)
    clear = np.sort(votes, axis=1)[:, -1] > np.sort(votes, axis=1)[:, -2]
    assert clear.sum() > 50
    mine = class_ranking(labels[rows], top=1)[:, 0]
    np.testing.assert_array_equal(mine[clear], theirs.predict(queries)[clear])


def test_neighbours_agree_with_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(5)
    gallery = rng.normal(size=(400, 16)).astype(np.float32)
    queries = rng.normal(size=(50, 16)).astype(np.float32)
    index = faiss.IndexFlatL2(16)
    index.add(gallery)
    squared, their_rows = index.search(queries, 5)
    rows, distances = nearest(gallery, queries, 5)
    np.testing.assert_array_equal(rows, their_rows)
    np.testing.assert_allclose(distances**2, squared, rtol=1e-4)


@pytest.mark.parametrize("k", [0, -1, 5])
def test_more_neighbours_than_samples_are_refused(k: int) -> None:
    vectors = np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match=f"{k} neighbours are asked for, but .* 4 samples"):
        nearest(vectors, vectors, k)


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(InputError, match="has 0 samples"):
        nearest(np.empty((0, 4), np.float32), np.ones((1, 4), np.float32), 1)


def test_no_queries_get_no_answers() -> None:
    rows, distances = nearest(np.eye(4, dtype=np.float32), np.empty((0, 4), np.float32), 2)
    assert rows.shape == distances.shape == (0, 2)


def test_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="4 dimensions, the queries' 3"):
        nearest(np.eye(4, dtype=np.float32), np.eye(3, dtype=np.float32), 1)


@pytest.mark.parametrize("length", [5e-20, 2e-44, 9.1e18, 3e38])
def test_vectors_whose_squares_float32_cannot_hold_are_refused(length: float) -> None:
    vectors, zeros = np.eye(4, dtype=np.float32) * np.float32(length), np.zeros((2, 4), np.float32)
    for gallery, queries in ((vectors, zeros), (zeros, vectors)):
        with pytest.raises(InputError, match=r"a length of .*; expected 1e-19 to 9e\+18, or all"):
            nearest(gallery, queries, 1)
    assert nearest(zeros, zeros, 2)[1].tolist() == [[0, 0]] * 2
    if length < 1:  # beside longer ones they are as good as zero, not refused
        longer = np.concatenate([vectors, np.ones((1, 4), np.float32)])
        assert nearest(longer, longer, 1)[0].ravel().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_vectors_of_a_diverged_network_are_refused(value: float) -> None:
    vectors = np.eye(4, dtype=np.float32)
    broken = vectors.copy()
    broken[2, 1] = value
    with pytest.raises(InputError, match="row 2 of the queries holds a value that is not finite"):
        nearest(vectors, broken, 1)
    with pytest.raises(InputError, match="row 2 of the gallery"):
        nearest(broken, vectors, 1)


@pytest.mark.parametrize("k", [1, 4, 100])
def test_the_nearest_others_are_never_the_image_itself(k: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 2, (30, 1)).astype(np.float32)  # more equal ones than are wanted
    rows = np.array([3, 29, 0])
    found = nearest_others(vectors, rows, k)
    for row, others in zip(rows.tolist(), found.tolist(), strict=True):
        plain = sorted(
            (other for other in range(30) if other != row),
            key=lambda other: (math.dist(vectors[row], vectors[other]), other),
        )
        assert others == plain[:k]
