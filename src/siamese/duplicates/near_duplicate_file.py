"""The file of near-duplicates. `evaluate` reads it, and needs nothing of how they are found."""

from pathlib import Path

import numpy as np
import pandas as pd

from siamese.base.errors import InputError
from siamese.base.files import reading
from siamese.base.parquet import read_frame

FILE = "near_duplicates.parquet"


def save_near_duplicates(found: pd.DataFrame, file: Path) -> None:
    """Write what `find_near_duplicates` returned; equal tables give equal bytes."""
    found.to_parquet(file, index=False)


def read_near_duplicates(file: Path, queries: np.ndarray) -> np.ndarray:
    """Read which queries have a near-duplicate in the gallery.

    Args:
        file: what `save_near_duplicates` wrote.
        queries: the sample numbers of the queries, int64 `[Q]` ascending.

    Returns:
        bool `[Q]`.

    Raises:
        InputError: the file is missing or damaged, or its samples are not the queries.
    """
    with reading(file, "duplicates"):
        found = read_frame(file, ["sample", "near_duplicate"])
    if not np.array_equal(found["sample"].to_numpy(), queries):
        raise InputError(
            f"{file}: its {len(found)} samples are not the {len(queries)} queries, so it does not"
            " belong to these embeddings; run `dvc repro evaluate`, which brings both up to date"
        )
    return found["near_duplicate"].to_numpy(dtype=bool)
