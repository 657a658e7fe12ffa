"""What the gallery's benchmark measures against is right: the data, the truth and the recall."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.support.workspace import ROOT

RNG = np.random.default_rng(1)  # not the benchmark's own seed


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Each test draws what it draws alone."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The benchmark's code; the working folder is an empty one."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("gallery")


def unit(n: int, dimensions: int = 8) -> np.ndarray:
    vectors = RNG.normal(size=(n, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_further_rows_lie_around_the_real_ones(bench: ModuleType, tmp_path: Path) -> None:
    base = unit(50) * np.float32(3)
    bench.write_grown(base, 120, 0.3, tmp_path / "grown.npy")
    grown = np.load(tmp_path / "grown.npy")
    assert grown.shape == (120, 8)
    assert grown.dtype == np.float32
    assert (grown[:50] == base).all()
    originals = np.concatenate([base, base[:20]])
    moved = np.linalg.norm(grown[50:] - originals, axis=1)
    assert (moved < 0.301).all()
    assert np.median(moved) > 0.25, "a part of each step is along the vector, and undone"
    assert np.allclose(np.linalg.norm(grown, axis=1), 3, atol=1e-5)
    assert len(np.unique(grown, axis=0)) == 120


def test_fewer_rows_are_the_first_ones(bench: ModuleType, tmp_path: Path) -> None:
    base = unit(50)
    bench.write_grown(base, 20, 0.3, tmp_path / "cut.npy")
    assert (np.load(tmp_path / "cut.npy") == base[:20]).all()


def test_the_tenth_nearest_against_a_plain_loop(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "ROWS_AT_ONCE", 7)
    vectors, queries = unit(40), unit(5)
    limits = bench.tenth_distances(vectors, queries)
    for query, limit in zip(queries, limits, strict=True):
        distances = sorted(float(np.linalg.norm(query - vector)) for vector in vectors)
        assert limit == pytest.approx(distances[9], rel=1e-5)


def test_the_jitter_is_the_distance_to_the_nearest_other(bench: ModuleType) -> None:
    # Pairs 0.1 apart, far from each other.
    base = np.array([[pair, side] for pair in range(20) for side in (0, 0.1)], np.float32)
    assert bench.distance_of_neighbours(base) == pytest.approx(0.1)


@pytest.fixture
def case(bench: ModuleType) -> object:
    made = bench.Case(40)
    made.make(unit(40), unit(6), unit(4), 0.1)
    return made


@pytest.mark.parametrize(("wrong", "share"), [(0, 1.0), (3, 0.7), (10, 0.0)])
def test_recall_is_the_share_of_the_nearest(case: object, wrong: int, share: float) -> None:
    vectors, queries = np.load(case.vectors), case.queries("asked")  # type: ignore[attr-defined]
    distances = np.linalg.norm(vectors[None] - queries[:, None], axis=2)
    order = distances.argsort(axis=1)
    found = np.concatenate([order[:, : 10 - wrong], order[:, 40 - wrong :]], axis=1)
    recall = case.recall  # type: ignore[attr-defined]
    assert recall("asked", found) == pytest.approx(share)
    assert recall("asked", found[:2]) == pytest.approx(share), "of those asked"
    found[:, 1] = found[:, 0]
    assert recall("asked", found) == pytest.approx(max(0, share - 0.1)), "none counts twice"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["gallery", "gallery-index", "held", "held-index", "faiss-flat", "faiss-ivf", "scikit-learn"],
)
def test_a_contestant_finds_the_nearest(bench: ModuleType, name: str) -> None:
    case = bench.Case(1500)
    case.make(unit(1000), unit(120), unit(50), 0.1)
    figures = bench.run(name, case, 60)
    assert figures["disk_mb"] >= 1500 * 8 * 4 / 1e6
    assert figures["asked"] == 120
    assert figures["recall"] >= (0.98 if name in ("faiss-ivf", "held-index") else 1.0)
    assert not case.built.exists()


def test_time_is_kept(bench: ModuleType) -> None:
    parts = [unit(1) for _ in range(50)]
    rows, speed, middle = bench.time_each(lambda _: np.arange(10)[None], parts, 60)
    assert rows.shape == (50, 10)
    assert speed > 0
    assert 0 < middle < 60
    rows, _, _ = bench.time_each(lambda _: np.arange(10)[None], parts, 0)
    assert rows.shape == (1, 10), "one answer at least"


def test_the_table_has_medians_and_the_worst_recall(bench: ModuleType) -> None:
    def figures(speed: float, recall: float) -> dict[str, float]:
        memory = [f"{step}_memory_mb" for step in ("build", "one_by_one", "in_batches")]
        speeds = {"one_by_one": speed, "in_batches": 10 * speed, "recall": recall}
        others = ["build_s", "disk_mb", "first_s", "one_by_one_p50_ms", *memory]
        return dict.fromkeys(others, 2.0) | speeds

    rounds = [{"faiss-ivf": figures(*each)} for each in ((300, 0.99), (100, 1.0), (250, 0.995))]
    text = bench.table(50_000, rounds)
    assert "| 50,000 rows |" in text
    assert "| FAISS IVF | 2.0 s | 2 MB | 2,000 ms | 250 (100 - 300) | 2.00 ms | 2,500" in text
    assert "| 0.9900 |" in text
