"""The format of the manifests, the tables of pairs, and the check of one at the door."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.dataset import is_forged
from siamese.base.errors import InputError
from siamese.base.files import reading
from siamese.base.parquet import read_frame

COLUMNS = {"left": np.int64, "right": np.int64, "same": np.bool_}
BATCH_COLUMNS = {"epoch": np.int32, "batch": np.int32}
# Only pairs that were given, not drawn, have it: the part of a protocol, 0 where that has one.
FOLD_COLUMN = {"fold": np.int32}


def read_manifest(file: Path, samples: pd.DataFrame, split: str) -> pd.DataFrame:
    """Read `data/pairs/{split}.parquet` and check it against the samples that it pairs.

    Raises:
        InputError: the file is missing or damaged, or `check_manifest` refuses it.
    """
    with reading(file, "pairs"):
        pairs = read_frame(file)
    check_manifest(pairs, samples, split, file)
    return pairs


def are_given(pairs: pd.DataFrame) -> bool:
    """Tell whether the pairs of validation or test were given; else they were drawn."""
    return "fold" in pairs


def check_manifest(pairs: pd.DataFrame, samples: pd.DataFrame, split: str, source: Any) -> None:
    """Refuse a table of pairs that was not made for these samples, or was changed since.

    Args:
        pairs: the content of `data/pairs/{split}.parquet`. Pairs that were given need no balance,
            but both kinds in each fold.
        samples: the prepared data's table of samples.
        split: the split that all pairs must come from; `train` has epochs and batches.
        source: where the table came from, for the message.

    Raises:
        InputError: columns, types, sample numbers, labels or the balance are wrong.
    """
    wanted = (BATCH_COLUMNS if split == "train" else {}) | COLUMNS
    given = split != "train" and are_given(pairs)
    if given:
        wanted |= FOLD_COLUMN
    if dict(pairs.dtypes) != {name: np.dtype(kind) for name, kind in wanted.items()}:
        found = ", ".join(f"{name} {kind}" for name, kind in pairs.dtypes.items())
        expected = ", ".join(f"{name} {np.dtype(kind)}" for name, kind in wanted.items())
        raise InputError(
            f"{source}: expected the columns {expected}; found {found or 'none'};"
            " run the stage `pairs` again"
        )
    left, right, same = (pairs[name].to_numpy() for name in COLUMNS)
    if (
        len(pairs) == 0
        or min(left.min(), right.min()) < 0
        or max(left.max(), right.max()) >= len(samples)
    ):
        raise InputError(
            f"{source}: expected sample numbers from 0 to {len(samples) - 1}; it does not belong"
            " to this prepared data: run the stage `pairs` again"
        )
    belongs = (samples["split"] == split).to_numpy()
    fine, forged = samples["fine"].to_numpy(), is_forged(samples)
    is_same = (fine[left] == fine[right]) & ~forged[left] & ~forged[right]
    faults = {
        f"are not of two samples of the split `{split}`": ~(belongs[left] & belongs[right]),
        "are of a sample with itself": left == right,
        "have a `same` that the labels contradict": same != is_same,
    }
    for fault, where in faults.items():
        if where.any():
            raise InputError(
                f"{source}: {where.sum()} pairs {fault}, the first in row {where.argmax()};"
                " run the stage `pairs` again"
            )
    if given:
        if not (folds := pairs.groupby("fold")["same"].nunique() == 2).all():
            raise InputError(
                f"{source}: expected like and unlike pairs in each fold, but fold"
                f" {folds.idxmin()} has one kind alone; run the stage `pairs` again"
            )
        return
    keys = list(BATCH_COLUMNS) if split == "train" else np.zeros(len(pairs), dtype=int)
    batches = pairs.groupby(keys, sort=False)["same"].agg(["size", "sum"])
    if batches["size"].nunique() != 1 or not (2 * batches["sum"] == batches["size"]).all():
        raise InputError(
            f"{source}: expected equally large batches, half of each `same`;"
            " run the stage `pairs` again"
        )
