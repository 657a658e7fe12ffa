"""Exact copies: samples whose pixels are the same, as `prepare` has marked them.

A test image whose copy is in the gallery is found without anything having been learned. A picture
under two labels is wrong under one of them. Often it is no picture of its class at all: shops show
the same "no image available" for many products. A forgery that equals what is genuine is none.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset, is_forged, pictures_of

LISTED = 5  # pictures that a note shows
LABELS_LISTED = 3  # of one picture


def identical_pairs(samples: pd.DataFrame) -> int:
    """Count the pairs of samples with identical pixels, from the column `duplicate_of`."""
    copies = samples["duplicate_of"].value_counts()
    return int((copies * (copies + 1) // 2).sum())


def copied_queries(dataset: Dataset) -> np.ndarray:
    """Return which queries have an exact copy in the gallery, bool `[Q]`."""
    picture = pictures_of(dataset.samples)
    return np.isin(picture[dataset.queries()], picture[dataset.gallery()])


def copy_notes(dataset: Dataset) -> list[str]:
    """Say what has several labels, is a copied query or a copied forgery, in a few lines each."""
    return [*_several_labels(dataset), *_copied(dataset), *_copied_forgeries(dataset)]


def listing(lines: Sequence[str], total: int) -> str:
    """Return the first lines of a list, indented, and how many more there are."""
    more = [f"and {total - len(lines):,} more"] if total > len(lines) else []
    return "\n".join(f"  {line}" for line in [*lines, *more])


def _several_labels(dataset: Dataset) -> list[str]:
    picture = pictures_of(dataset.samples)
    table = pd.DataFrame({"picture": picture, "fine": dataset.fine()})
    # Row by row, the first sample of each picture under each label.
    labelled = table.drop_duplicates()
    n_labels = labelled["picture"].value_counts(sort=False)
    # The sort is stable: of pictures with as many labels the first sample stays first.
    several = n_labels[n_labels > 1].sort_values(ascending=False, kind="stable")
    if several.empty:
        return []
    lines = []
    for number, n_found in several.head(LISTED).items():
        rows = labelled.index[labelled["picture"] == number][:LABELS_LISTED]
        more = f" = {n_found - len(rows):,} more" if n_found > len(rows) else ""
        lines.append(_shown(dataset, rows) + more)
    n_images = int(np.isin(picture, several.index).sum())
    return [
        f"note: pictures with more than one label: {len(several):,} ({n_images:,} images); no"
        " model can be right about them. Keep them under the right label alone, and remove what"
        f" stands for a missing picture:\n{listing(lines, len(several))}"
    ]


def _copied(dataset: Dataset) -> list[str]:
    queries, gallery = dataset.queries(), dataset.gallery()
    copied = queries[copied_queries(dataset)]
    if not len(copied):
        return []
    return [
        f"note: test images with an exact copy in the gallery: {len(copied):,} of {len(queries):,},"
        " which flatters the figures; those called `no_copies` are without them:\n"
        + _with_first(dataset, copied, gallery)
    ]


def _copied_forgeries(dataset: Dataset) -> list[str]:
    picture = pictures_of(dataset.samples)
    forged = is_forged(dataset.samples)
    genuine = np.flatnonzero(~forged)
    copied = np.flatnonzero(forged & np.isin(picture, picture[genuine]))
    if not len(copied):
        return []
    return [
        f"note: forgeries that are exact copies of something genuine: {len(copied):,} of"
        f" {forged.sum():,}; nobody can tell them apart, and no pair is drawn of them. Remove them,"
        f" or what they are copies of:\n{_with_first(dataset, copied, genuine)}"
    ]


def _with_first(dataset: Dataset, copies: np.ndarray, others: np.ndarray) -> str:
    """List copies, each with the first of some other samples that it equals."""
    picture = pictures_of(dataset.samples)
    first = dict(zip(picture[others[::-1]], others[::-1], strict=True))
    lines = [_shown(dataset, [row, first[picture[row]]]) for row in copies[:LISTED]]
    return listing(lines, len(copies))


def _shown(dataset: Dataset, rows: Iterable[int]) -> str:
    files, fine, names = dataset.samples["file"], dataset.samples["fine"], dataset.classes.fine
    return " = ".join(f"{files.iloc[row]} (`{names[fine.iloc[row]]}`)" for row in rows)
