"""The file of embeddings gives back what was saved, and says what is wrong with another."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings, load_embeddings, save_embeddings


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 8), st.booleans())
def test_a_file_gives_back_what_was_saved(count: int, dim: int, has_coarse: bool) -> None:
    rng = np.random.default_rng(count)
    coarse = rng.integers(0, 5, count) if has_coarse else None
    saved = Embeddings(
        np.arange(count) * 3,
        rng.integers(0, 9, count),
        coarse,
        rng.normal(size=(count, dim)).astype(np.float32),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("one.parquet", "two.parquet")]
        for file in files:
            save_embeddings(saved, file)
        loaded = load_embeddings(files[0])
        assert files[0].read_bytes() == files[1].read_bytes()
        table = pd.read_parquet(files[0])
    assert list(table.columns) == ["sample", "fine", "coarse", "embedding"]
    np.testing.assert_array_equal(np.stack(list(table["embedding"])), saved.vectors)
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    np.testing.assert_array_equal(loaded.samples, saved.samples)
    np.testing.assert_array_equal(loaded.fine, saved.fine)
    if coarse is None:
        assert loaded.coarse is None
        assert table["coarse"].isna().all()
    else:
        np.testing.assert_array_equal(loaded.coarse, coarse)


def test_forgeries_join_by_sample_with_labels_of_their_own() -> None:
    genuine, forged = (
        Embeddings(np.array(at), np.array(fine), None, np.array(at, dtype=np.float32)[:, None])
        for at, fine in (([1, 4], [0, 2]), ([0, 3], [2, 0]))
    )
    both = genuine.with_forgeries(forged)
    assert both.samples.tolist() == both.vectors[:, 0].tolist() == [0, 1, 3, 4]
    assert both.fine.tolist() == [-3, 0, -1, 2]


def test_what_is_no_table_of_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gallery\.parquet: no such file; `dvc repro embed`"):
        load_embeddings(tmp_path / "gallery.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read"):
        load_embeddings(tmp_path / "broken.parquet")
    pd.DataFrame({"sample": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: cannot be read"):
        load_embeddings(tmp_path / "other.parquet")
