"""Reading Parquet without threads gives what pandas and Arrow give, and starts none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from siamese.base.parquet import read_frame, read_table

FRAME = pd.DataFrame(
    {
        "file": ["a.png", "ü/b.png", None],
        "sample": np.array([2, 0, 1]),
        "coarse": pd.array([1, None, 0], dtype="Int64"),
        "same": [True, False, True],
        "split": pd.Categorical(["train", "test", "train"]),
        "taken": pd.to_datetime(["2020-02-29", "2021-01-01", "1999-12-31"]),
        "distance": np.array([0.1, np.inf, -0.0], dtype=np.float32),
    }
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    FRAME.to_parquet(tmp_path / "table.parquet", index=False)
    return tmp_path / "table.parquet"


def test_a_frame_is_the_one_that_pandas_reads(file: Path) -> None:
    assert_frame_equal(read_frame(file), pd.read_parquet(file))
    assert_frame_equal(read_frame(file.read_bytes()), pd.read_parquet(file))
    some = ["same", "sample"]
    assert_frame_equal(read_frame(file, some), pd.read_parquet(file, columns=some))


def test_the_index_of_a_frame_comes_back(tmp_path: Path) -> None:
    FRAME.set_index("sample").to_parquet(tmp_path / "indexed.parquet")
    frame = read_frame(tmp_path / "indexed.parquet")
    assert_frame_equal(frame, pd.read_parquet(tmp_path / "indexed.parquet"))
    assert frame.index.name == "sample"


def test_a_table_is_the_one_that_arrow_reads(file: Path) -> None:
    assert read_table(file).equals(pq.read_table(file), check_metadata=True)


def test_a_missing_and_a_damaged_file(file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_frame(tmp_path / "none.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(pa.ArrowInvalid):
        read_frame(file)


def test_no_thread_is_started(file: Path) -> None:
    """One of Arrow's that is still at work when the process ends would abort it."""
    code = (
        "import sys, pandas, psutil, pyarrow.parquet; from pathlib import Path;"
        "from siamese.base.parquet import read_frame;"
        "threads = psutil.Process().num_threads; before = threads();"
        "frame = read_frame(Path(sys.argv[1])); read = threads();"
        "pandas.read_parquet(sys.argv[1]);"
        "print(len(frame), read - before, threads() > read)"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(file)], text=True)
    assert output.split() == ["3", "0", "True"], "pandas starts some, so they would be seen"
