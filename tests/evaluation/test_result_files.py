"""The files of outcomes: their types, that nothing is lost, and that they stay small."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from siamese.evaluation.result_files import save_per_pair, save_per_query


def made_up(n_queries: int = 10_000, n_pairs: int = 20_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As many as CIFAR-100 has, with no more order in them than there."""
    rng = np.random.default_rng(0)
    fine = np.sort(rng.integers(0, 100, n_queries))
    per_query = pd.DataFrame({"sample": np.arange(n_queries) + 50_000})
    for name in ("k1", "k5", "k20", "weighted", "top5", "coarse"):
        per_query[name] = rng.random(n_queries) < 0.7
    per_query["average_precision"] = rng.random(n_queries)
    per_query["r_precision"] = rng.integers(0, 501, n_queries) / 500
    per_query["copied"] = rng.random(n_queries) < 0.01
    per_query["near_duplicate"] = rng.random(n_queries) < 0.05
    per_query["predicted"], per_query["fine"] = rng.integers(0, 100, n_queries), fine
    left, right = rng.integers(50_000, 60_000, (2, n_pairs))
    per_pair = pd.DataFrame({"left": left, "right": right, "same": rng.random(n_pairs) < 0.5})
    return per_query, per_pair.assign(distance=rng.uniform(0, 2, n_pairs))


def test_the_types_are_those_promised_and_the_values_return(tmp_path: Path) -> None:
    per_query, per_pair = made_up(300, 500)
    save_per_query(per_query, tmp_path / "queries")
    save_per_pair(per_pair, tmp_path / "pairs")
    queries, pairs = pd.read_parquet(tmp_path / "queries"), pd.read_parquet(tmp_path / "pairs")
    kinds = {str(field.name): str(field.type) for field in pq.read_schema(tmp_path / "queries")}
    votes = ("k1", "k5", "k20", "weighted", "top5", "coarse", "copied", "near_duplicate")
    assert kinds == {
        "sample": "int32",
        **dict.fromkeys(votes, "bool"),
        "average_precision": "float",
        "r_precision": "float",
        "predicted": "int16",
        "fine": "int16",
    }
    assert list(queries) == list(per_query)
    assert {str(name): str(kind) for name, kind in pairs.dtypes.items()} == {
        "left": "int32",
        "right": "int32",
        "same": "bool",
        "distance": "float32",
    }
    for name in per_query:
        np.testing.assert_allclose(queries[name], per_query[name], rtol=1e-6)
    for name in ("left", "right", "same"):
        np.testing.assert_array_equal(pairs[name], per_pair[name])
    np.testing.assert_allclose(pairs["distance"], per_pair["distance"], atol=5.1e-5)


def test_labels_of_very_many_classes_return(tmp_path: Path) -> None:
    per_query, _ = made_up(300, 500)
    per_query["fine"] = np.arange(300) + 32_600
    save_per_query(per_query, tmp_path / "queries")
    assert pd.read_parquet(tmp_path / "queries")["fine"].tolist() == per_query["fine"].tolist()


def test_they_are_small_enough_for_git_and_equal_for_equal_outcomes(tmp_path: Path) -> None:
    per_query, per_pair = made_up()
    sizes = []
    for name, table, save in (
        ("queries", per_query, save_per_query),
        ("pairs", per_pair, save_per_pair),
    ):
        save(table, tmp_path / name)
        save(table.copy(), tmp_path / "again")
        assert (tmp_path / name).read_bytes() == (tmp_path / "again").read_bytes()
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[0] < 100_000
    assert sizes[1] < 160_000
