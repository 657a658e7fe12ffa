"""Class folders, `path/label/…/file`: all images below a class folder are of that class.

The class folders may be in folders named `train` and `test` (and `validation`, if there is one),
which then are the splits.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

import pandas as pd

from siamese.base.errors import InputError
from siamese.images.files import SUFFIX_LIST, is_picture, visible
from siamese.preparation.listing import SPLIT_NAMES, Listing, listing_of, refuse_link


def list_class_folders(path: Path, level: Literal["top", "leaf"] | int) -> Listing:
    """List the images of class folders; see `siamese.preparation.folder.list_images`."""
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
    return listing_of(path, pd.DataFrame(rows, columns=["file", "label", "split"]), notes=notes)


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
            refuse_link(inner / name, "data.path")
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
