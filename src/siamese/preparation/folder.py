"""A folder of the user's images: which files there are, and their labels.

Either *class folders*, `path/label/…/file`: all images below a class folder are of that class. The
class folders may be in folders named `train` and `test` (and `validation`, if there is one), which
then are the splits.

Or a *table*, CSV or Parquet, with the columns `file` and `label`, and, as far as known, `split`,
`group` (a writer, a patient, a product: see `siamese.preparation.splits`) and `coarse` (the
superclass).

No image is opened here.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from siamese.base.data_params import NO_PATH
from siamese.base.dataset import SPLITS, Classes
from siamese.base.errors import InputError
from siamese.base.params import nearest_name
from siamese.base.parquet import read_frame
from siamese.images.files import SUFFIX_LIST, is_picture, visible

REQUIRED, OPTIONAL = ("file", "label"), ("split", "group", "coarse")
TABLES = (".csv", ".parquet")
# What people call the splits, in lower case.
SPLIT_NAMES = {
    **{name: name for name in SPLITS},
    "training": "train",
    **dict.fromkeys(("val", "valid", "dev"), "validation"),
    "testing": "test",
}


@dataclass(frozen=True)
class Listing:
    """The images found.

    Attributes:
        root: the folder that their names start from.
        samples: one row per image, by `file` in ascending order: `file` (str, with slashes,
            relative to the root), `fine` (int64), `coarse` (Int64, null where there is none),
            `split` (str, or null in all rows) and, if there are groups, `group` (str).
        classes: the names of the labels, in ascending order.
        notes: sentences on what is worth knowing.
    """

    root: Path
    samples: pd.DataFrame
    classes: Classes
    notes: tuple[str, ...] = ()


def list_images(path: Path, images: Path | None = None) -> Listing:
    """List the images of a folder or a table.

    Args:
        path: class folders, or a table.
        images: with a table, the folder that its file names start from.

    Raises:
        InputError: the path does not exist, has no image, or has something that is not understood.
            The message names the file, or the row of the table.
    """
    if path.is_dir():
        return _class_folders(path)
    if not path.is_file():
        raise InputError(f"data.path: {path}: no such folder or file")
    if path.suffix.lower() not in TABLES:
        raise InputError(
            f"data.path: {path}: expected a folder of class folders, or a table whose name ends in"
            f" {' or '.join(TABLES)}"
        )
    if images is None or images == Path(NO_PATH):
        raise InputError(
            f"data.path is a table, {path}: set data.images to the folder that its file names start"
            f" from, {path.parent} perhaps; DVC watches that folder for changed images"
        )
    if not images.is_dir():
        raise InputError(f"data.images: {images}: no such folder")
    return _table(path, images)


def _class_folders(path: Path) -> Listing:
    files, notes = _pictures_in(path)
    if not files:
        raise InputError(
            f"data.path: {path}: no image in it; expected one folder per class, with files whose"
            f" names end in one of {SUFFIX_LIST}"
        )
    splits = _split_folders(path, {file.parts[0] for file in files if len(file.parts) > 1})
    rows = []
    for file in files:
        *folders, _ = file.parts
        split = splits[folders.pop(0)] if splits and folders else None
        if not folders:
            raise InputError(
                f"data.path: {path / file} lies in no class folder; expected"
                f" {path}/{'split/' if splits else ''}label/file"
            )
        rows.append((file.as_posix(), folders[0], split))
    return _listing(path, pd.DataFrame(rows, columns=["file", "label", "split"]), notes=notes)


def _pictures_in(path: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures, relative to the path, and notes on what else is there.

    Raises:
        InputError: a folder is a link, which would hide some, or a name is not UTF-8.
    """
    files: list[Path] = []
    without: list[Path] = []
    passed_over: Counter[str] = Counter()
    for inner, folders, names in visible(path):
        for name in folders:
            _refuse_link(inner / name, "data.path")
        pictures = [name for name in names if is_picture(name)]
        files += [(inner / name).relative_to(path) for name in pictures]
        passed_over.update(
            Path(name).suffix.lower() or "without suffix" for name in names if not is_picture(name)
        )
        if names and not pictures:
            without.append(inner)
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"data.path: {path}: the name {str(file)!r} is not UTF-8; rename it"
            ) from None
    above = {path / parent for file in files for parent in file.parents}
    notes = [
        f"note: {folder} has files, but no picture whose name ends in one of {SUFFIX_LIST}; they"
        " are passed over"
        for folder in without
        if folder not in above
    ]
    if passed_over:
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in passed_over.most_common())
        notes.append(f"note: {path}: passed over, in no format of pictures that is read: {counts}")
    return files, notes


def _refuse_link(folder: Path, key: str) -> None:
    if folder.is_symlink():
        raise InputError(
            f"{key}: {folder} is a link to a folder; links are not followed, and DVC would not see"
            " what changes behind it: copy or move the folder"
        )


def _split_folders(path: Path, names: set[str]) -> dict[str, str]:
    """Return the split that each folder of the first level stands for; none, if they are classes.

    Raises:
        InputError: it cannot be told which they are.
    """
    splits = {
        name: SPLIT_NAMES[name.lower()] for name in sorted(names) if name.lower() in SPLIT_NAMES
    }
    present, others = set(splits.values()), sorted(names - set(splits))
    if not others and {"train", "test"} <= present:
        return splits
    named = ", ".join(f"`{name}`" for name in splits)
    if splits and not others:
        missing = "test" if "train" in present else "train"
        raise InputError(
            f"data.path: {path} has the folders {named}, which are names of splits, but none for"
            f" `{missing}`; rename one (validation is cut from `train` if it is not given), or give"
            " a table of files, labels and splits"
        )
    if {"train", "test"} <= present:
        raise InputError(
            f"data.path: {path} has the folders {named}, which are names of splits, and"
            f" `{others[0]}` beside them; expected only splits, with one folder per class in each,"
            " or classes alone: move it away, or give a table of files and labels"
        )
    return {}


def _table(path: Path, images: Path) -> Listing:
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
    return _listing(images, table, path)


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
            _refuse_link(images / folder, "data.images")
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


def _listing(
    root: Path, table: pd.DataFrame, source: Path | None = None, notes: Sequence[str] = ()
) -> Listing:
    """Number the labels, and check what the table says of them."""
    table = table.sort_values("file", ignore_index=True)
    fine, names = pd.factorize(table["label"], sort=True)
    if len(names) < 2:
        raise InputError(
            f"{source or root}: all {len(table)} images are of one class, `{names[0]}`; expected"
            " two classes or more"
        )
    coarse: Any = [None] * len(table)
    coarse_names: Any = ()
    if "coarse" in table:
        coarse, coarse_names = pd.factorize(table["coarse"], sort=True)
        for label, found in table.groupby("label")["coarse"].unique().items():
            if len(found) > 1:
                raise InputError(
                    f"{source}: the label `{label}` has the superclasses (`coarse`)"
                    f" `{found[0]}` and `{found[1]}`; expected one per label"
                )
    samples = pd.DataFrame(
        {
            "split": table.get("split"),
            "fine": fine,
            "coarse": pd.array(coarse, dtype="Int64"),
            "file": table["file"],
        }
    )
    if "group" in table:
        samples["group"] = table["group"]
    return Listing(root, samples, Classes(tuple(names), tuple(coarse_names)), tuple(notes))


def _first(where: pd.Series) -> int:
    """Return the first row that is marked, counted from 1."""
    return int(where.to_numpy().argmax()) + 1
