"""The histogram of all pairs against SciPy's list of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from siamese.evaluation import pair_histogram as module
from siamese.evaluation.pair_histogram import FINE_BINS, PairHistogram, pair_histogram


def made_up(n: int, seed: int, unit: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    labels[:4] = [0, 0, 1, 1]
    vectors = rng.normal(size=(4, 8))[labels] + rng.normal(size=(n, 8))
    if unit:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels


def listed(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and kind of every pair."""
    first, second = np.triu_indices(len(vectors), 1)
    return pdist(vectors.astype(np.float64)), labels[first] == labels[second]


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(("rows", "at_once"), [(1, 2**23), (7, 2**23), (512, 2**23), (7, 1)])
def test_every_pair_is_counted_once_where_it_lies(
    monkeypatch: pytest.MonkeyPatch, rows: int, at_once: int, unit: bool
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows)
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", at_once)
    vectors, labels = made_up(30, 0, unit)
    found = pair_histogram(vectors, labels)
    distances, same = listed(vectors, labels)
    edges = np.linspace(0, found.top, FINE_BINS + 1)
    for bins, wanted in ((found.like, distances[same]), (found.unlike, distances[~same])):
        assert bins.sum() == len(wanted)
        # A distance beside an edge may fall on its other side by rounding.
        assert np.abs(np.cumsum(bins) - np.searchsorted(np.sort(wanted), edges[1:])).max() <= 1


def test_the_bins_of_unit_vectors_end_at_two() -> None:
    assert pair_histogram(*made_up(30, 0)).top == 2.0


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.001, 1))
def test_an_operating_point_never_exceeds_the_rate_and_is_the_best_but_for_a_bin(
    seed: int, far: float
) -> None:
    vectors, labels = made_up(25, seed)
    threshold, measured, tar = pair_histogram(vectors, labels).operating_point(far)
    distances, same = listed(vectors, labels)
    like, unlike = distances[same], np.sort(distances[~same])
    assert measured == pytest.approx(np.mean(unlike < threshold))
    assert tar == pytest.approx(np.mean(like < threshold))
    assert measured <= far + 1e-12
    # The best conceivable threshold lies just below the first unlike pair that is too many.
    n_allowed = int(far * len(unlike) + 1e-9)
    limit = unlike[n_allowed] if n_allowed < len(unlike) else np.inf
    best = np.mean(like < limit)
    width = 2 / FINE_BINS
    within_a_bin = np.mean((like < limit) & (like >= limit - 2 * width))
    assert best - within_a_bin - 1e-12 <= tar <= best + 1e-12


def test_the_operating_point_by_hand() -> None:
    # Bins of width 1: unlike pairs in the bins 2, 3, 3, 4; like ones in 0, 1, 2, 3.
    histogram = PairHistogram(5.0, np.array([1, 1, 1, 1, 0]), np.array([0, 0, 1, 2, 1]))
    assert histogram.operating_point(0.0) == (2.0, 0.0, 0.5)
    assert histogram.operating_point(0.25) == (3.0, 0.25, 0.75)
    assert histogram.operating_point(0.74) == (3.0, 0.25, 0.75)
    assert histogram.operating_point(0.75) == (4.0, 0.75, 1.0)
    assert histogram.operating_point(1.0) == (5.0, 1.0, 1.0)


def test_the_roc_rises_from_few_false_accepts_to_all() -> None:
    vectors, labels = made_up(300, 1)
    roc = pair_histogram(vectors, labels).roc()
    assert list(roc) == ["far", "tar", "threshold"]
    assert (roc.diff().iloc[1:] >= 0).all().all()
    assert (roc["far"].diff().iloc[1:] > 0).all()
    assert roc.iloc[-1][["far", "tar"]].tolist() == [1, 1]
    assert 50 < len(roc) <= 301
    # Its area agrees with that of the pairs themselves, as far as so few points tell.
    from sklearn.metrics import roc_auc_score

    distances, same = listed(vectors, labels)
    area = np.trapezoid(np.append(0, roc["tar"]), np.append(0, roc["far"]))
    assert area == pytest.approx(roc_auc_score(same, -distances), abs=0.005)


def test_the_table_of_distances_holds_the_shares_of_each_kind() -> None:
    vectors, labels = made_up(60, 2)
    table = pair_histogram(vectors, labels).distances()
    distances, same = listed(vectors, labels)
    for kind, wanted in (("like", distances[same]), ("unlike", distances[~same])):
        counts, edges = np.histogram(wanted, bins=100, range=(0, 2))
        np.testing.assert_allclose(table[kind], counts / len(wanted), atol=1e-6)
    np.testing.assert_allclose(table["distance"], (edges[:-1] + edges[1:]) / 2)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_collapsed_embedding_accepts_none_at_a_low_rate(value: float) -> None:
    vectors = np.full((20, 4), value, dtype=np.float32)
    found = pair_histogram(vectors, np.arange(20) % 2)
    assert found.operating_point(0.01)[1:] == (0.0, 0.0)
    assert found.operating_point(1.0)[1:] == (1.0, 1.0)
