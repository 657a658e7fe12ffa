"""Class folders, `path/label/…/file`: `data.label_level` says which of the folders is the class.

The class folders may be in folders named `train` and `test` (and `validation`, if there is one),
which then are the splits. See `siamese.images.folder_names`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from siamese.base.errors import InputError
from siamese.images.files import SUFFIX_LIST, is_picture, passed_over_note, visible
from siamese.images.folder_names import (
    Level,
    below_splits,
    class_folders,
    nested_note,
    split_folders,
    split_of,
)
from siamese.preparation.listing import Listing, listing_of, refuse_link

# What the names of folders of forgeries may end in.
FORGED_SUFFIXES = tuple(
    mark + word for mark in "_- " for word in ("forg", "forged", "forgery", "forgeries")
)


def forged_suffix_of(path: Path, level: Level) -> str:
    """Return what the names of folders of forgeries end in; empty if there are none.

    Each of them must have a folder of the class that it is named after.

    Args:
        path: see `list_class_folders`.
        level: see there.

    Raises:
        InputError: the folder cannot be listed.
    """
    labels = set(_labelled(path, level)[0]["label"])
    for suffix in FORGED_SUFFIXES:
        claimed = {label.removesuffix(suffix) for label in labels if label.endswith(suffix)}
        if claimed and claimed <= labels:
            return suffix
    return ""


def list_class_folders(path: Path, level: Level, forged_suffix: str = "") -> Listing:
    """List the images of class folders; see `siamese.preparation.folder.list_images`.

    Args:
        path: the folder that holds them, or folders of splits that hold them.
        level: which folder is the class. Beyond the first level, the folders above it are its
            superclass, if all classes have some.
        forged_suffix: what ends the names of folders of forgeries, `_forg`: the images in `X_forg`
            pretend to be of the class `X`. If empty, there are none.
    """
    table, notes = _labelled(path, level)
    if forged_suffix:
        table["forged"] = table["label"].str.endswith(forged_suffix)
        table["label"] = table["label"].str.removesuffix(forged_suffix)
        if not table["forged"].any():
            notes.append(
                f"note: {path}: no class folder's name ends in `{forged_suffix}`"
                " (data.forged_suffix), so nothing is taken for a forgery"
            )
    if level == "leaf":
        notes += _classes_in_classes(path, set(table["label"]))
    return listing_of(path, table, notes=notes)


def _labelled(path: Path, level: Level) -> tuple[pd.DataFrame, list[str]]:
    """Return `file`, `label`, `split` and, if all have one, `coarse` of each picture; and notes."""
    files, notes = _pictures_in(path)
    if not files:
        raise InputError(
            f"data.path: {path}: no image in it; expected one folder per class, with files whose"
            f" names end in one of {SUFFIX_LIST}"
        )
    placed = below_splits(path, files)
    _refuse_a_wrapper(path, files, level)
    rows, superclasses = [], []
    depth = 0
    for file, (split, folders) in zip(files, placed, strict=True):
        if not folders:
            raise InputError(
                f"data.path: {path / file} lies in no class folder; expected {path}/label/file"
            )
        names = class_folders(path / file, folders, level)
        rows.append((file.as_posix(), "/".join(names), split))
        superclasses.append("/".join(names[:-1]))
        depth = max(depth, len(folders))
    table = pd.DataFrame(rows, columns=["file", "label", "split"])
    if all(superclasses):
        table["coarse"] = superclasses
    notes += nested_note(path, depth, level)
    if table["split"].isna().all():
        notes += [
            f"note: {path}: the folder `{name}` is taken for a class, since others beside it are no"
            " splits"
            for name in sorted({file.parts[0] for file in files})
            if split_of(name)
        ]
    return table, notes


def _refuse_a_wrapper(path: Path, files: Sequence[Path], level: Level) -> None:
    """Refuse a path whose only folder holds the class folders, or the splits, as archives have."""
    inner = {file.parts[1] for file in files if len(file.parts) > 2}
    outer = {file.parts[0] for file in files}
    if len(outer) > 1 or not inner:
        return
    [only] = outer
    if level in ("top", 1) or split_folders(path / only, inner):
        raise InputError(
            f"data.path: {path}: all images are in its folder `{only}`, which would be their only"
            f" class; give {path / only}"
        )


def _classes_in_classes(path: Path, labels: set[str]) -> list[str]:
    """Return a note if a folder of class folders has images of its own, and so is a class too."""
    above = {parent.as_posix() for label in labels for parent in Path(label).parents}
    both = sorted(labels & above)
    if not both:
        return []
    others = f" (and {len(both) - 1:,} more)" if len(both) > 1 else ""
    return [
        f"note: {path}: `{both[0]}`{others} has images beside the class folders in it; these images"
        " are a class of that name"
    ]


def _pictures_in(path: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures, relative to the path, and notes on what else is there.

    Raises:
        InputError: a folder is a link, which would hide some, or a name is not UTF-8.
    """
    files: list[Path] = []
    without: list[Path] = []
    hidden: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    for inner, folders, names in visible(path, hidden):
        for name in folders:
            refuse_link(inner / name, "data.path")
        pictures = [name for name in names if is_picture(name)]
        files += [(inner / name).relative_to(path) for name in pictures]
        unread.update(
            Path(name).suffix.lower() or "without suffix" for name in names if not is_picture(name)
        )
        if names and not pictures:
            without.append(inner)
    above = {path / parent for file in files for parent in file.parents}
    notes = [
        f"note: {folder} has files, but no picture whose name ends in one of {SUFFIX_LIST}; they"
        " are passed over"
        for folder in without
        if folder not in above
    ]
    if unread:
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in unread.most_common())
        notes.append(f"note: {path}: passed over, in no picture format that can be read: {counts}")
    return files, notes + passed_over_note(hidden)
