"""The nearest rows of a gallery in LanceDB, against `knn.nearest` on the same vectors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.gallery import search as gallery_search
from siamese.gallery.rows import Rows
from siamese.gallery.search import MOST_CANDIDATES, Searcher, rounding_error
from siamese.gallery.table import GalleryTable
from siamese.gallery.vector_index import build_index
from siamese.measures.knn import nearest, nearest_in_parts
from tests.support.vectors import galleries, rows_of

# Each example replaces the gallery of the one before, as a build does.
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]


def table_of(address: Path, numbers: np.ndarray, vectors: np.ndarray, pieces: int = 1) -> Searcher:
    parts = np.array_split(np.arange(len(numbers)), pieces)
    batches: Iterator[Rows] = (rows_of(numbers[part], vectors[part]) for part in parts)
    return Searcher(GalleryTable.replace(address, vectors.shape[1], batches))


def expected(
    numbers: np.ndarray, vectors: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search in memory, rows by ascending number."""
    order = np.argsort(numbers)
    rows, distances = nearest(vectors[order], queries, k)
    return numbers[order][rows], distances


@settings(max_examples=40, suppress_health_check=SHARED_FOLDER)
@given(galleries())
def test_every_way_gives_what_a_search_in_memory_gives(
    tmp_path: Path, case: tuple[np.ndarray, np.ndarray, np.ndarray, int]
) -> None:
    numbers, vectors, queries, k = case
    searcher = table_of(tmp_path / "gallery", numbers, vectors, pieces=3)
    right = expected(numbers, vectors, queries, k)
    for found in (searcher.nearest(queries, k), nearest_in_parts(searcher._pieces(), queries, k)):
        np.testing.assert_array_equal(found[0], right[0])
        np.testing.assert_array_equal(found[1], right[1])
    one = searcher.nearest(queries[:1], k)
    np.testing.assert_array_equal(one[0], right[0][:1])


def test_ties_beyond_all_candidates_are_settled_by_number(tmp_path: Path) -> None:
    """Five thousand equal rows stored from the highest number down: LanceDB may return any."""
    numbers = np.arange(MOST_CANDIDATES + 904, dtype=np.int64)[::-1].copy()
    vectors = np.ones((len(numbers), 4), np.float32)
    searcher = table_of(tmp_path / "gallery", numbers, vectors)
    found, distances = searcher.nearest(np.zeros((1, 4), np.float32), 3)
    np.testing.assert_array_equal(found, [[0, 1, 2]])
    np.testing.assert_array_equal(distances, np.full((1, 3), 2.0))


def test_a_gallery_larger_than_memory_is_searched_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.integers(0, 3, (1000, 4)).astype(np.float32)
    numbers = rng.permutation(1000).astype(np.int64)
    queries = rng.integers(0, 3, (150, 4)).astype(np.float32)
    monkeypatch.setattr(gallery_search, "MEMORY", 77 * 4 * 4)  # 77 rows
    searcher = table_of(tmp_path / "gallery", numbers, vectors, pieces=4)
    found = searcher.nearest(queries, 90)
    for one, other in zip(found, expected(numbers, vectors, queries, 90), strict=True):
        np.testing.assert_array_equal(one, other)
    assert searcher._held is None


def test_vectors_in_memory_are_read_again_after_a_write(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(50, 3)).astype(np.float32)
    searcher = table_of(tmp_path / "gallery", np.arange(50), vectors)
    queries = rng.normal(size=(200, 3)).astype(np.float32)
    before, _ = searcher.nearest(queries, 1)
    assert searcher._held is not None
    searcher.table.append(rows_of(np.array([1000]), queries[:1]))
    after, distances = searcher.nearest(queries, 1)
    assert after[0, 0] == 1000
    assert distances[0, 0] == 0
    np.testing.assert_array_equal(before[1:][after[1:] != 1000], after[1:][after[1:] != 1000])


@settings(max_examples=20, suppress_health_check=SHARED_FOLDER)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 128, 1000]))
def test_lancedbs_rounding_stays_within_the_bound(tmp_path: Path, seed: int, dim: int) -> None:
    """Long vectors close together: sums of differences keep their digits, dot products do not."""
    rng = np.random.default_rng(seed)
    vectors = (100 + rng.normal(size=(40, dim))).astype(np.float32)
    queries = (100 + rng.normal(size=(3, dim))).astype(np.float32)
    searcher = table_of(tmp_path / "gallery", np.arange(40), vectors)
    candidates = searcher._candidates(queries, 40)
    assert candidates is not None
    numbers, found, squared = candidates
    np.testing.assert_array_equal(found, vectors[numbers])
    gaps = vectors[numbers].astype(np.float64) - queries[:, None].astype(np.float64)
    exact = (gaps**2).sum(axis=2)
    assert (np.abs(squared - exact) <= rounding_error(squared, dim)).all()
    assert (np.abs(squared - exact) > 0).any()  # there is rounding to be bounded


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    searcher = table_of(tmp_path / "g", np.arange(5), np.eye(5, 3, dtype=np.float32))
    good = np.zeros((1, 3), np.float32)
    for k in (0, 6):
        with pytest.raises(InputError, match=rf"{k} neighbours are asked for.* has 5 rows"):
            searcher.nearest(good, k)
    with pytest.raises(InputError, match=r"expected queries as float32 \[Q, 3\], found \[1, 4\]"):
        searcher.nearest(np.zeros((1, 4), np.float32), 1)
    with pytest.raises(InputError, match="query 0 holds a value that is not finite"):
        searcher.nearest(good + np.nan, 1)


def test_the_index_finds_nearly_all_and_says_how_much(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(50, 16))
    vectors = (centres[rng.integers(0, 50, 20_000)] + 0.1 * rng.normal(size=(20_000, 16))).astype(
        np.float32
    )
    searcher = table_of(tmp_path / "gallery", np.arange(20_000), vectors)
    queries = vectors[:40] + np.float32(0.01)
    right, distances = searcher.nearest(queries, 10)
    assert searcher.table.index is None
    np.testing.assert_array_equal(searcher.nearest(queries, 10, exact=False)[0], right)

    info = build_index(searcher)
    assert info == GalleryTable.open(tmp_path / "gallery").index
    assert info.recall >= 0.99
    found, by_index = searcher.nearest(queries, 10, exact=False)
    hits = np.mean([len({*one} & {*other}) / 10 for one, other in zip(found, right, strict=True)])
    assert hits >= 0.98
    equal = found == right
    np.testing.assert_array_equal(by_index[equal], distances[equal])
    np.testing.assert_array_equal(searcher.nearest(queries, 10)[0], right)

    new = np.array([99_999])
    searcher.table.append(rows_of(new, queries[:1]))
    assert searcher.nearest(queries[:1], 1, exact=False)[0] == new  # not in the index yet
    searcher.table.tidy()
    assert searcher.nearest(queries[:1], 1, exact=False)[0] == new
    assert searcher.table.index == info


def test_recall_is_measured_and_not_assumed(tmp_path: Path) -> None:
    """Vectors without structure: one probe must miss rows, and the measured probes must not."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(40_000, 32)).astype(np.float32)
    searcher = table_of(tmp_path / "gallery", np.arange(40_000), vectors)
    info = build_index(searcher)
    queries = rng.normal(size=(50, 32)).astype(np.float32)
    right, _ = searcher.nearest(queries, 10)
    missed, _ = searcher.by_index(queries, 10, probes=1)
    assert (np.sort(missed) != np.sort(right)).any()
    found, _ = searcher.by_index(queries, 10, info.probes)
    recall = np.mean([len({*one} & {*other}) / 10 for one, other in zip(found, right, strict=True)])
    assert recall >= 0.98


def test_where_partitions_have_too_few_rows_all_are_searched(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(20_000, 4)).astype(np.float32)
    searcher = table_of(tmp_path / "gallery", np.arange(20_000), vectors)
    build_index(searcher)
    queries = vectors[:2]
    found, _ = searcher.by_index(queries, 18_000, probes=1)
    np.testing.assert_array_equal(found, searcher.nearest(queries, 18_000)[0])


def test_many_queries_on_a_very_large_gallery_use_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_search, "MEMORY_ROWS", 10_000)
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(20_000, 8)).astype(np.float32)
    searcher = table_of(tmp_path / "gallery", np.arange(20_000), vectors)
    build_index(searcher)
    searcher._held = None
    queries = vectors[:230] + np.float32(0.01)
    found = searcher.nearest(queries, 10, exact=False)
    assert searcher._held is None  # nothing was read into memory
    # Sixty probes are all of the partitions that twenty thousand rows have.
    for one, other in zip(found, searcher.nearest(queries, 10), strict=True):
        np.testing.assert_array_equal(one, other)
