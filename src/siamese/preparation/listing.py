"""Images that were listed, none of them opened: their files, and their labels as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from siamese.base.dataset import SPLITS, Classes
from siamese.base.errors import InputError

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


def listing_of(
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


def refuse_link(folder: Path, key: str) -> None:
    """Refuse a folder that is a link; the key is the parameter that led to it."""
    if folder.is_symlink():
        raise InputError(
            f"{key}: {folder} is a link to a folder; links are not followed, and DVC would not see"
            " what changes behind it: copy or move the folder"
        )
