"""Images that were listed, none of them opened: their files, and their labels as numbers."""

import difflib
import os
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.dataset import Classes, is_forged
from siamese.base.errors import InputError
from siamese.images.folder_names import one_form


@dataclass(frozen=True)
class Listing:
    """The images found.

    Attributes:
        root: the folder that their names start from.
        samples: one row per image, by `file` in ascending order: `file` (str, with slashes,
            relative to the root), `fine` (int64), `coarse` (Int64, null where there is none),
            `split` (str, or null in all rows) and, if there are groups, `group` (str); if there are
            forgeries, `forged` (bool).
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
    if "forged" in table and table["forged"].any():
        samples["forged"] = table["forged"]
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


def leave_out(listing: Listing, drop_labels: Sequence[str], min_images: int) -> Listing:
    """Leave out the classes of some names, and then those of few images; number the others again.

    Their forgeries go with them. They do not count as images of the class.

    Args:
        listing: all images.
        drop_labels: `data.drop_labels`.
        min_images: `data.min_images`.

    Raises:
        InputError: no class has one of the names, fewer than two classes are left, or there are
            forgeries of a class without anything genuine of it.
    """
    names = np.array(listing.classes.fine, dtype=object)
    dropped = {one_form(name.strip()) for name in drop_labels}
    for name in sorted(dropped.difference(names)):
        close = difflib.get_close_matches(name, names, n=1)
        raise InputError(
            f"data.drop_labels: no class is called `{name}`"
            + (f"; did you mean `{close[0]}`?" if close else "")
        )
    fine = listing.samples["fine"]
    counts = np.bincount(fine[~is_forged(listing.samples)], minlength=len(names))
    is_dropped = np.isin(names, list(dropped))
    for label in np.flatnonzero((counts == 0) & ~is_dropped)[:1]:
        file = listing.root / listing.samples["file"][fine == label].iloc[0]
        raise InputError(
            f"{file}: a forgery of `{names[label]}`, of which there is no genuine image; add some,"
            " or leave the class out (`siamese adopt --drop-labels`, data.drop_labels)"
        )
    is_small = ~is_dropped & (counts < min_images)
    notes = []
    for key, left_out in (
        ("data.drop_labels", is_dropped),
        (f"data.min_images ({min_images})", is_small),
    ):
        if left_out.any():
            notes.append(
                f"note: left out by {key}: {_counted(left_out.sum(), 'class', 'classes')} with"
                f" {_counted(counts[left_out].sum(), 'image', 'images')} in all, for example"
                f" `{names[left_out][0]}`"
            )
    if not notes:
        return listing
    is_kept = ~(is_dropped | is_small)
    if is_kept.sum() < 2:
        raise InputError(
            f"data.drop_labels and data.min_images ({min_images}) leave {is_kept.sum()} of"
            f" {len(names)} classes; expected two or more"
        )
    samples = listing.samples[is_kept[fine]].reset_index(drop=True)
    samples["fine"], numbers = pd.factorize(samples["fine"], sort=True)
    classes = Classes(tuple(names[numbers]))
    if listing.classes.coarse:
        coarse, numbers = pd.factorize(samples["coarse"].astype("int64"), sort=True)
        samples["coarse"] = pd.array(coarse, dtype="Int64")
        classes = Classes(classes.fine, tuple(listing.classes.coarse[n] for n in numbers))
    return Listing(listing.root, samples, classes, (*listing.notes, *notes))


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def refuse_link(folder: Path, key: str) -> None:
    """Refuse a folder that is a link; the key is the parameter that led to it."""
    # Not Path.is_symlink, which raises if a name is too long.
    if os.path.islink(folder):  # noqa: PTH114
        raise InputError(
            f"{key}: {folder} is a link to a folder; links are not followed, and DVC would not see"
            " what changes behind it: copy or move the folder"
        )
