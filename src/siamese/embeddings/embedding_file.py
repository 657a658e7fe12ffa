"""Embeddings on disk: Parquet that pandas, Arrow, DuckDB and vector databases read as it is.

Columns: `sample` (int64), `fine` (int64), `coarse` (int64, null where there is none), `embedding`
(fixed-size list of float32). Rows are in the prepared order, one per sample.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from siamese.base.files import reading
from siamese.base.parquet import read_table


@dataclass(frozen=True)
class Embeddings:
    """Labelled embeddings.

    Attributes:
        samples: int64 `[n]`, ascending sample numbers.
        fine: int64 `[n]`.
        coarse: int64 `[n]`, or None for data without superclasses.
        vectors: float32 `[n, D]`.
    """

    samples: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray | None
    vectors: np.ndarray

    @classmethod
    def of(cls, samples: pd.DataFrame, rows: np.ndarray, vectors: np.ndarray) -> "Embeddings":
        """Label the vectors of the samples in `rows`, from the data set's table of samples."""
        chosen = samples.iloc[rows]
        has_coarse = bool(chosen["coarse"].notna().all())
        return cls(
            samples=chosen["sample"].to_numpy(np.int64),
            fine=chosen["fine"].to_numpy(np.int64),
            coarse=chosen["coarse"].to_numpy(np.int64) if has_coarse else None,
            vectors=vectors,
        )

    def with_forgeries(self, forged: "Embeddings") -> "Embeddings":
        """Join these and forgeries, which get the label -1-c, where c is what they claim."""
        samples = np.concatenate([self.samples, forged.samples])
        order = samples.argsort()
        return Embeddings(
            samples[order],
            np.concatenate([self.fine, -1 - forged.fine])[order],
            None,
            np.concatenate([self.vectors, forged.vectors])[order],
        )


def save_embeddings(embeddings: Embeddings, file: Path) -> None:
    """Write one Parquet file; equal embeddings give equal bytes."""
    n, dim = embeddings.vectors.shape
    values = pa.array(np.ascontiguousarray(embeddings.vectors, np.float32).reshape(-1))
    coarse = embeddings.coarse
    table = pa.table(
        {
            "sample": pa.array(embeddings.samples, pa.int64()),
            "fine": pa.array(embeddings.fine, pa.int64()),
            "coarse": pa.nulls(n, pa.int64()) if coarse is None else pa.array(coarse, pa.int64()),
            "embedding": pa.FixedSizeListArray.from_arrays(values, dim),
        }
    )
    # Vectors do not compress; leaving them alone reads faster.
    pq.write_table(table, file, compression="none", use_dictionary=False)


def load_embeddings(file: Path) -> Embeddings:
    """Read what `save_embeddings` wrote.

    Raises:
        InputError: the file is missing, damaged, or no such table.
    """
    with reading(file, "embed"):
        table = read_table(file)
        vectors = table["embedding"].combine_chunks()
        coarse = table["coarse"]
        return Embeddings(
            samples=table["sample"].to_numpy(),
            fine=table["fine"].to_numpy(),
            coarse=None if coarse.null_count else coarse.to_numpy(),
            vectors=vectors.flatten().to_numpy().reshape(len(vectors), vectors.type.list_size),
        )
