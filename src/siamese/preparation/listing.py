"""Images that were listed, none of them opened: their files, and their labels as numbers."""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from siamese.base.dataset import Classes
from siamese.base.errors import InputError
from siamese.images.folder_names import one_form


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
    notes = [*notes, *_notes_on_names(set(table["label"]))]
    for column in {"label", "coarse", "group"}.intersection(table.columns):
        table[column] = table[column].map(one_form)
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


def _notes_on_names(labels: AbstractSet[str]) -> list[str]:
    """Return notes on labels that look the same, or nearly."""
    in_one_form, alike = defaultdict(set), defaultdict(set)
    for label in labels:
        in_one_form[one_form(label)].add(label)
    for label in in_one_form:
        alike["".join(label.split()).casefold()].add(label)
    same = sorted(label for label, written in in_one_form.items() if len(written) > 1)
    near = sorted(sorted(names) for names in alike.values() if len(names) > 1)
    notes = []
    if same:
        notes.append(
            f"note: {_and_more(f'`{same[0]}`', len(same))}: written in two ways that look the same"
            " (Unicode NFC and NFD), which are taken for one class"
        )
    if near:
        names = " and ".join(f"`{name}`" for name in near[0])
        notes.append(
            f"note: {_and_more(names, len(near))}: classes whose names differ in capitals or blanks"
            " alone; if they are one class, give them one name"
        )
    return notes


def _and_more(example: str, count: int) -> str:
    return example + (f" (and {count - 1:,} more)" if count > 1 else "")


def refuse_link(folder: Path, key: str) -> None:
    """Refuse a folder that is a link; the key is the parameter that led to it."""
    if folder.is_symlink():
        raise InputError(
            f"{key}: {folder} is a link to a folder; links are not followed, and DVC would not see"
            " what changes behind it: copy or move the folder"
        )
