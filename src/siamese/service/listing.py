"""The classes and row numbers of a gallery, read once for each of its versions."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from siamese.gallery.answers import GalleryInfo
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable


@dataclass(frozen=True)
class ListedClass:
    """A class, how many rows each source gave it, and a row to show it by."""

    label: str
    pipeline: int
    enrolled: int
    example: int


@dataclass(frozen=True)
class Listing:
    """What one version of a gallery holds, without files, vectors and images.

    Attributes:
        info: see `Gallery.info`.
        classes: by name.
        numbers: of all rows, class by class and ascending within each; int64 `[N]`.
        starts: where each class begins in `numbers`, and N; int64 `[C + 1]`.
    """

    info: GalleryInfo
    classes: tuple[ListedClass, ...]
    numbers: np.ndarray
    starts: np.ndarray

    def numbers_of(self, label: str | None) -> np.ndarray:
        """Return the numbers of the rows of one class, or of all; int64 `[n]`."""
        if label is None:
            return self.numbers
        position = next((at for at, one in enumerate(self.classes) if one.label == label), None)
        if position is None:
            return self.numbers[:0]
        return self.numbers[self.starts[position] : self.starts[position + 1]]


def listing(gallery: Gallery) -> Listing:
    """Return what the version of the gallery that is open holds.

    Raises:
        InputError: it cannot be read.
    """
    table = gallery.table
    found = _LISTINGS.get(table)
    if found is None:
        found = _LISTINGS[table] = _read(gallery.info(), table)
    return found


# By the table as it was opened: a gallery that is made again counts its versions from one again.
# Weakly, so that the listing of a version goes with it.
_LISTINGS: WeakKeyDictionary[GalleryTable, Listing] = WeakKeyDictionary()


def _read(info: GalleryInfo, table: GalleryTable) -> Listing:
    rows = table.read(["number", "label", "source"])
    label = rows["label"].combine_chunks().dictionary_encode()
    is_enrolled = rows["source"].to_numpy() == "enrolled"
    numbers = rows["number"].to_numpy()
    names = label.dictionary.to_pylist()
    # The names come in the order of the rows; a class's code is its place by name.
    by_name = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[by_name] = np.arange(len(names))
    codes = place[label.indices.to_numpy()]
    order = np.lexsort((numbers, codes))
    counts = np.bincount(codes, minlength=len(names))
    enrolled = np.bincount(codes[is_enrolled], minlength=len(names))
    starts = np.concatenate([[0], counts.cumsum()])
    numbers = numbers[order]
    classes = tuple(
        ListedClass(
            names[name], int(counts[at] - enrolled[at]), int(enrolled[at]), int(numbers[starts[at]])
        )
        for at, name in enumerate(by_name)
    )
    return Listing(info, classes, numbers, starts)
