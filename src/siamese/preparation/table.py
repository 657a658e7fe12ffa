"""A table of images: text with a separator between its columns, or Parquet.

`data.table` says what the columns are called: of each image's file and label, and, as far as known,
its split, its group (a writer, a patient, a product: see `siamese.preparation.splits`), its
superclass (`coarse`) and its kind: genuine, or forged, which pretends to be of its label.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from siamese.base.data_params import TableParams
from siamese.base.dataset import SPLITS
from siamese.base.errors import InputError
from siamese.base.parquet import read_table
from siamese.images.files import is_picture
from siamese.images.folder_names import split_of
from siamese.preparation.listing import Listing, listing_of
from siamese.preparation.table_files import match_files
from siamese.preparation.table_text import decoded, rows_of

REQUIRED, OPTIONAL = ("file", "label"), ("split", "group", "coarse", "kind")
GENUINE, FORGED = ("genuine", "original"), ("forged", "forgery")  # what a `kind` may be called
TABLES = (".csv", ".tsv", ".txt", ".lst", ".parquet")
SHOWN, LONGEST = 12, 40  # column names in a message, and their characters


def list_table(path: Path, images: Path, written: TableParams) -> Listing:
    """List the images of a table; see `siamese.preparation.folder.list_images`."""
    try:
        read = _parquet_columns if is_parquet(path) else _text_columns
        table = read(path, written)
    except OSError as error:
        # Arrow raises them without the reason that the system gives.
        reason = error.strerror or _in_a_line(error)
        raise InputError(f"{path}: cannot be read ({reason})") from None
    if not len(table):
        raise InputError(f"{path}: no row in it; expected one per image")
    table = table.apply(lambda column: column.str.strip())
    if "kind" in table and written.kind == "kind" and not _is_kind(table["kind"]).any():
        table = table.drop(columns="kind")  # of something else
    for key in table.columns:
        if (is_empty := table[key] == "").any():
            raise InputError(
                f"{path}: row {_first(is_empty)} has no `{getattr(written, key)}`; fill it in, or"
                " leave the row out"
            )
    table["file"], notes = match_files(path, table["file"] + written.suffix, images)
    if (again := table["file"].duplicated()).any():
        raise InputError(
            f"{path}: row {_first(again)}: {table['file'][again].iloc[0]} is listed a second time"
        )
    if "split" in table:
        table["split"] = _splits(path, table["split"], written.split)
    if "kind" in table:
        table["forged"] = _forged(path, table["kind"], written.kind)
    return listing_of(images, table, path, notes)


def is_parquet(path: Path) -> bool:
    """Tell from its name whether a table is Parquet; else it is text."""
    return path.suffix.lower() == ".parquet"


def _text_columns(path: Path, written: TableParams) -> pd.DataFrame:
    """Return the columns that are asked for, as text, called as the keys of `data.table` are."""
    rows = rows_of(path, decoded(path, path.read_bytes(), written.encoding), written.separator)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: no row in it; expected one per image")
    if written.header:
        names = [name.strip() for name in first]
    else:
        names = [str(number) for number in range(1, len(first) + 1)]
        rows = chain([first], rows)
    places = _places(path, names, written)
    content = []
    for number, row in enumerate(rows, start=1):
        if any(row[len(names) :]):
            raise InputError(
                f"{path}: row {number} has {len(row)} fields, but the first line has {len(names)};"
                f" put text that holds a {written.separator!r} into double quotes"
            )
        content.append([row[place] if place < len(row) else "" for place in places.values()])
    return pd.DataFrame(content, columns=list(places), dtype=object)


def _parquet_columns(path: Path, written: TableParams) -> pd.DataFrame:
    """Return the columns that are asked for, as `_text_columns` does."""
    import pyarrow as pa

    try:
        content = read_table(path)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({_in_a_line(error)})") from None
    columns = {}
    for key, place in _places(path, content.column_names, written).items():
        column = content.column(place)
        try:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            values = column.cast(pa.string()).to_pylist()
        except (pa.ArrowException, ValueError):
            raise InputError(
                f"{path}: the column `{getattr(written, key)}` holds {column.type}; expected text"
                " or numbers"
            ) from None
        columns[key] = ["" if value is None else value for value in values]
    return pd.DataFrame(columns, dtype=object)


def _places(path: Path, names: Sequence[str], written: TableParams) -> dict[str, int]:
    """Return where the columns stand that are asked for, by key of `data.table`.

    Raises:
        InputError: one is missing, or there are two of its name.
    """
    missing = [
        key
        for key in (*REQUIRED, *OPTIONAL)
        if (name := getattr(written, key)) not in names and (key in REQUIRED or name != key)
    ]
    if missing:
        lacking = " and ".join(f"`{getattr(written, key)}`" for key in missing)
        options = " and ".join(f"`--{key}-column`" for key in missing)
        raise InputError(
            f"{path}: it lacks the column{'s' * (len(missing) > 1)} {lacking}; its columns are"
            f" {_listed(names)}: `siamese adopt` is told by {options} (data.table) which to take"
            + _header_advice(names, written)
        )
    places: dict[str, int] = {}
    for key in (*REQUIRED, *OPTIONAL):
        name = getattr(written, key)
        if names.count(name) > 1:
            raise InputError(f"{path}: two columns are called `{name}`; rename one of them")
        # A column called `kind` may be what another key asks for: the label, perhaps.
        is_taken = key == name == "kind" and "kind" in [getattr(written, one) for one in places]
        if name in names and not is_taken:
            places[key] = names.index(name)
    if places["file"] == places["label"]:
        raise InputError(
            f"{path}: the column `{written.file}` is to hold both file and label; `siamese adopt`"
            " is told by `--file-column` and `--label-column` (data.table) which to take"
        )
    return places


def _header_advice(names: Sequence[str], written: TableParams) -> str:
    if not written.header or not any(map(is_picture, names)):
        return ""
    return ". If its first line is an image too: `--no-header` (data.table.header: false)"


def _listed(names: Sequence[str]) -> str:
    """Return names of columns for a message; one without a name is an index, as pandas writes."""
    shown = [
        f"`{name if len(name) <= LONGEST else name[:LONGEST] + '…'}`" for name in names if name
    ]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return (", ".join(shown[:SHOWN]) or "without names") + more


def _splits(path: Path, column: pd.Series, name: str) -> pd.Series:
    splits = column.map(split_of)
    if (is_unknown := splits.isna()).any():
        row = _first(is_unknown)
        raise InputError(
            f"{path}: row {row}: `{name}` is {column.iloc[row - 1]!r}; expected one of"
            f" {', '.join(SPLITS)}"
        )
    for split in ("train", "test"):
        if split not in set(splits):
            raise InputError(
                f"{path}: no row has the split `{split}`; give `train` and `test` (`validation` is"
                " cut from `train` if it is not given), or leave the column out: then all are cut"
            )
    return splits


def _is_kind(column: pd.Series) -> pd.Series:
    return column.str.lower().isin(GENUINE + FORGED)


def _forged(path: Path, column: pd.Series, name: str) -> pd.Series:
    if not (is_kind := _is_kind(column)).all():
        row = _first(~is_kind)
        raise InputError(
            f"{path}: row {row}: `{name}` is {column.iloc[row - 1]!r}; expected {GENUINE[0]} or"
            f" {FORGED[0]}; if the column is about something else, give it another name"
        )
    return column.str.lower().isin(FORGED)


def _in_a_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _first(where: pd.Series) -> int:
    """Return the first row that is marked, counted from 1."""
    return int(where.to_numpy().argmax()) + 1
