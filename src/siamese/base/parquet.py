"""Reading Parquet tables without threads.

A process that ends while one of Arrow's threads is still at work may be aborted, its exit status
lost (apache/arrow#34314). Processes that read a table here often end at once: a stage that refuses
what it read, a command that is done.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read_table(source: Path | bytes, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a Parquet file as an Arrow table.

    Args:
        source: the file, or its content.
        columns: which to read; all of them if not given.

    Raises:
        FileNotFoundError: there is no such file.
        pyarrow.ArrowInvalid: it is damaged, or not a Parquet table.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    # As bytes, since Arrow reads files by a thread of its own, whatever it is told.
    content = source if isinstance(source, bytes) else source.read_bytes()
    return ParquetFile(pa.BufferReader(content)).read(columns=columns, use_threads=False)


def read_frame(source: Path | bytes, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet file as `pandas.read_parquet` does; see `read_table`."""
    return read_table(source, columns).to_pandas(use_threads=False)
