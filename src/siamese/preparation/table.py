"""A table of images, CSV or Parquet.

It has the columns `file` and `label`, and, as far as known, `split`, `group` (a writer, a patient,
a product: see `siamese.preparation.splits`) and `coarse` (the superclass).
"""

import os
from pathlib import Path, PurePosixPath

import pandas as pd

from siamese.base.data_params import TableParams
from siamese.base.dataset import SPLITS
from siamese.base.errors import InputError
from siamese.base.params import nearest_name
from siamese.base.parquet import read_frame
from siamese.preparation.listing import SPLIT_NAMES, Listing, listing_of, refuse_link

REQUIRED, OPTIONAL = ("file", "label"), ("split", "group", "coarse")
TABLES = (".csv", ".parquet")


def list_table(path: Path, images: Path, written: TableParams) -> Listing:
    """List the images of a table; see `siamese.preparation.folder.list_images`."""
    try:
        if path.suffix.lower() == ".csv":
            # All as text: a label 007 is not 7, and one called NA is a name.
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            table = read_frame(path)
    except Exception as error:  # pandas and Arrow have many ways to refuse a file
        raise InputError(f"{path}: cannot be read as a table ({error})") from None
    if path.suffix.lower() == ".csv" and not isinstance(table.index, pd.RangeIndex):
        # pandas takes the first field of each row as the row's name then.
        raise InputError(
            f"{path}: its rows have more fields than its first line has names; put text that holds"
            " a comma into double quotes"
        )
    for name in REQUIRED:
        if name not in table:
            raise InputError(
                f"{path}: it lacks the column `{name}`{nearest_name(name, map(str, table.columns))}"
            )
    if not len(table):
        raise InputError(f"{path}: no row in it; expected one per image")
    table = table[[name for name in (*REQUIRED, *OPTIONAL) if name in table]]
    table = table.apply(lambda one: one.astype("string").fillna("").str.strip().astype(object))
    for name in table.columns:
        if (is_empty := table[name] == "").any():
            raise InputError(
                f"{path}: row {_first(is_empty)} has no `{name}`; fill it in, or leave the row out"
            )
    _check_files(path, table["file"], images)
    if "split" in table:
        table["split"] = _splits(path, table["split"])
    return listing_of(images, table, path)


def _check_files(path: Path, files: pd.Series, images: Path) -> None:
    """Refuse files that lie where DVC does not watch them, and files named twice."""
    parts = [PurePosixPath(file.replace(os.sep, "/")) for file in files]
    for row, part in enumerate(parts, start=1):
        if part.is_absolute() or ".." in part.parts:
            raise InputError(
                f"{path}: row {row}: `file` is {str(part)!r}; expected a path below data.images,"
                " relative to it"
            )
        if "\0" in str(part):
            raise InputError(f"{path}: row {row}: `file` is {str(part)!r}; no name has a NUL")
    for folder in sorted({folder for part in parts for folder in part.parents}):
        if folder.parts:
            refuse_link(images / folder, "data.images")
    names = pd.Series([str(part) for part in parts])
    if (again := names.duplicated()).any():
        name = names[again].iloc[0]
        raise InputError(f"{path}: row {_first(again)}: {name} is listed a second time")


def _splits(path: Path, column: pd.Series) -> pd.Series:
    splits = column.str.lower().map(SPLIT_NAMES)
    if (is_unknown := splits.isna()).any():
        row = _first(is_unknown)
        raise InputError(
            f"{path}: row {row}: `split` is {column.iloc[row - 1]!r}; expected one of"
            f" {', '.join(SPLITS)}"
        )
    for name in ("train", "test"):
        if name not in set(splits):
            raise InputError(
                f"{path}: no row has the split `{name}`; give `train` and `test` (`validation` is"
                " cut from `train` if it is not given), or leave the column out: then all are cut"
            )
    return splits


def _first(where: pd.Series) -> int:
    """Return the first row that is marked, counted from 1."""
    return int(where.to_numpy().argmax()) + 1
