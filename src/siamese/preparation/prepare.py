"""Making a data set ready for training: splits, image size, marked copies.

Images are read, brought to size and written one after the other, so that there may be more of them
than fit into memory.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from siamese.base.data_params import Fit
from siamese.base.dataset import Classes, Dataset, save_tables
from siamese.base.errors import InputError
from siamese.images.fit import fit_image
from siamese.images.reading import iter_images
from siamese.preparation.folder import Listing
from siamese.preparation.image_writer import ImageWriter
from siamese.preparation.splits import PrepareParams, check_splits, cut_splits

LEFT_OUT = "left_out.csv"
LISTED = 10  # files that a message names


class Source(Protocol):
    """Where images come from.

    Attributes:
        samples: one row an image: `fine`, `coarse`, `file`, `split` (null in all rows if the source
            has no splits) and, if there are groups, `group`.
        classes: the names of the labels.
    """

    samples: pd.DataFrame
    classes: Classes

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows, uint8 `[size, size, 3]`, or why one cannot be read."""
        ...


class RawImages:
    """The images that `download` wrote."""

    def __init__(self, raw: Dataset) -> None:
        self.samples, self.classes, self._images = raw.samples, raw.classes, raw.images

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows; those of the right size stay as they are, byte by byte."""
        is_right = self._images.shape[1:3] == (size, size)
        for row in tqdm(rows, desc="prepare", unit="image", disable=None):
            image = np.asarray(self._images[row])
            yield image if is_right else fit_image(Image.fromarray(image), size, fit)


class FolderImages:
    """The images of a folder, read by as many threads as there are cores."""

    def __init__(self, listing: Listing) -> None:
        self.samples, self.classes, self._root = listing.samples, listing.classes, listing.root

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows."""
        files = [self._root / name for name in self.samples["file"].iloc[rows]]
        for file, image in zip(files, iter_images(files, size, fit, "prepare"), strict=True):
            if isinstance(image, InputError):
                # The name without the folder: the same wherever the folder lies.
                yield InputError(str(image).removeprefix(f"{file}: "))
            else:
                yield image


@dataclass(frozen=True)
class Prepared:
    """What `prepare` has done.

    Attributes:
        samples: one row a sample.
        left_out: `file` and `reason` of those that could not be read.
        notes: sentences on what is worth knowing.
    """

    samples: pd.DataFrame
    left_out: pd.DataFrame
    notes: list[str]


def prepare(
    source: Source,
    folder: Path,
    params: PrepareParams,
    *,
    image_size: int,
    fit: Fit = "pad",
    novel_classes: int = 0,
    unreadable: Literal["stop", "leave_out"] = "stop",
) -> Prepared:
    """Cut splits, bring the images to one size, mark identical ones, and write a data set.

    Args:
        source: the images and what is known of them.
        folder: an existing one, to write into, in the format of `load_dataset`; and `left_out.csv`,
            if a file had to be left out.
        params: the section `prepare`.
        image_size: height and width wanted, in pixels.
        fit: what to do with images that are not square; see `siamese.images.fit.fit_image`.
        novel_classes: see `siamese.preparation.splits.cut_splits`.
        unreadable: what a file does that cannot be read.

    Returns:
        The samples as written: those of the source in the same order, with their splits, numbered
        anew, with the column `duplicate_of`: the first sample with identical pixels, of whichever
        split, or null.

    Raises:
        InputError: the splits cannot be cut, a file cannot be read (unless such files are to be
            left out), or too few images are there to train and test with.
    """
    cut = cut_splits(source.samples, source.classes, novel_classes, params)
    check_splits(cut, source.classes, params.split_by)  # before the long work
    rows = source.samples.index.get_indexer(cut.index)
    is_read = np.zeros(len(cut), dtype=bool)
    faults: list[tuple[str, str]] = []
    first: dict[bytes, int] = {}
    copies: list[int | None] = []
    with ImageWriter(folder / "images.npy", image_size) as writer:
        images = source.read(rows, image_size, fit)
        for position, image in enumerate(images):
            if isinstance(image, InputError):
                faults.append((cut["file"].iloc[position], str(image)))
                continue
            digest = hashlib.sha256(image.tobytes()).digest()
            original = first.setdefault(digest, writer.count)
            copies.append(original if original < writer.count else None)
            is_read[position] = True
            writer.append(image)
    if faults and unreadable == "stop":
        raise InputError(
            f"{_unreadable(faults, len(cut))}\nMend or remove them, or set `data.unreadable:"
            " leave_out`"
        )
    samples = cut[is_read].reset_index(drop=True)
    try:
        notes = check_splits(samples, source.classes, params.split_by)
    except InputError as error:
        if not faults:
            raise
        raise InputError(f"{error}\n{_unreadable(faults, len(cut))}") from None
    samples["sample"] = np.arange(len(samples))
    samples["duplicate_of"] = pd.array(copies, dtype="Int64")
    samples = samples[_columns(samples)]
    save_tables(samples, source.classes, folder)
    left_out = pd.DataFrame(faults, columns=["file", "reason"])
    if len(left_out):
        left_out.to_csv(folder / LEFT_OUT, index=False)
    return Prepared(samples, left_out, notes)


def identical_pairs(samples: pd.DataFrame) -> int:
    """Count the pairs of samples with identical pixels, from the column `duplicate_of`."""
    copies = samples["duplicate_of"].value_counts()
    return int((copies * (copies + 1) // 2).sum())


def _columns(samples: pd.DataFrame) -> list[str]:
    names = ["sample", "split", "fine", "coarse", "file", "duplicate_of", "group", "enrolled"]
    return [name for name in names if name in samples]


def _unreadable(faults: list[tuple[str, str]], total: int) -> str:
    lines = [f"  {file}: {reason}" for file, reason in faults[:LISTED]]
    if len(faults) > LISTED:
        lines.append(f"  and {len(faults) - LISTED} more")
    return f"{len(faults):,} of {total:,} images cannot be read:\n" + "\n".join(lines)
