"""Making a data set ready for training: splits, image size, marked copies.

Images are read, brought to size and written one after the other, so that more of them than fit
into memory can be prepared.
"""

import hashlib
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from siamese.base.data_params import Fit
from siamese.base.dataset import Dataset, is_forged, save_tables
from siamese.base.errors import InputError
from siamese.base.files import new_file
from siamese.base.image_size import Size, in_words, sides
from siamese.preparation.copies import copy_notes, identical_pairs, listing
from siamese.preparation.labelled_images import LabelledImages
from siamese.preparation.splits import (
    PrepareParams,
    check_splits,
    cut_splits,
    left_out_notes,
)

LEFT_OUT = "left_out.csv"
LISTED = 10  # files that a message names
DARK = 64  # an image without a value that high is dark
RARELY = 0.001  # a smaller share of dark images is not worth a word


@dataclass(frozen=True)
class Prepared:
    """What `prepare` has done.

    Attributes:
        samples: one row per sample.
        left_out: files that could not be read, each with the reason.
        notes: sentences on what is worth knowing.
    """

    samples: pd.DataFrame
    left_out: list[tuple[str, str]]
    notes: list[str]

    def summary(self) -> list[str]:
        """Return what to tell the user, one line each."""
        lines = [f"left out: {file}: {reason}" for file, reason in self.left_out[:LISTED]]
        lines += self.notes
        if count := len(self.left_out):
            lines.append(f"{count:,} file{'s' * (count > 1)} left out, listed in {LEFT_OUT}")
        forged = is_forged(self.samples)
        counts = self.samples.loc[~forged, "split"].value_counts()
        and_forged = f", and {forged.sum():,} forged" if forged.any() else ""
        return [
            *lines,
            f"prepare: {counts['train']:,} train, {counts['validation']:,} validation,"
            f" {counts['test']:,} test{and_forged};"
            f" {identical_pairs(self.samples)} identical pairs",
        ]


def prepare(
    images: LabelledImages,
    folder: Path,
    params: PrepareParams,
    *,
    image_size: int | Size,
    fit: Fit = "pad",
    novel_classes: int = 0,
    unreadable: Literal["stop", "leave_out"] = "stop",
) -> Prepared:
    """Cut splits, bring the images to one size, mark identical ones, and write a data set.

    Args:
        images: the images and what is known of them.
        folder: an existing one, to write into, in the format of `load_dataset`; and `left_out.csv`,
            if a file had to be left out.
        params: the section `prepare`.
        image_size: height and width wanted, in pixels; one number if they are the same.
        fit: how images are brought to that size; see `siamese.images.fit.fit_image`.
        novel_classes: see `siamese.preparation.splits.cut_splits`.
        unreadable: what to do about a file that cannot be read.

    Returns:
        The samples as written: in the given order, with their splits, numbered from 0, and with the
        column `duplicate_of`: the first sample with identical pixels, of any split, or null.

    Raises:
        InputError: the splits cannot be cut, the disk has no room for the images, a file cannot be
            read (unless such files are to be left out), or there are too few images to train and
            test with.
    """

    def cut(samples: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        found = cut_splits(samples, images.classes, novel_classes, params)
        notes = check_splits(found, images.classes, params.split_by)
        return found, notes + left_out_notes(samples, found)

    samples, notes = cut(images.samples)  # before the long work
    total, size = len(images.samples), sides(image_size)
    _check_room(folder, total, size)
    is_read, is_dark = np.zeros((2, total), dtype=bool)
    digests: list[bytes] = []
    faults: list[tuple[str, str]] = []

    def readable() -> Iterator[np.ndarray]:
        for row, image in enumerate(images.read(size, fit)):
            if isinstance(image, InputError):
                faults.append((images.samples["file"].iloc[row], str(image)))
                continue
            is_read[row], is_dark[row] = True, image.max() < DARK
            digests.append(hashlib.sha256(image.tobytes()).digest())
            yield image

    file = folder / "images.npy"
    _write_images(file, readable(), size)
    if faults and unreadable == "stop":
        raise InputError(
            f"{_unreadable(faults, total)}\nRepair or remove them, or set `data.unreadable:"
            " leave_out`"
        )
    if faults:
        try:  # as if the files that are left out were not there
            samples, notes = cut(images.samples[is_read])
        except InputError as error:
            raise InputError(f"{error}\n{_unreadable(faults, total)}") from None
    rows = images.samples.index[is_read].get_indexer(samples.index)
    _keep_rows(file, rows)
    notes += _dark(samples[is_dark[is_read][rows]], len(samples))
    samples = samples.reset_index(drop=True)
    samples["sample"] = np.arange(len(samples))
    samples["duplicate_of"] = _first_copies([digests[row] for row in rows])
    names = ["sample", "split", "fine", "coarse", "file", "duplicate_of"]
    names += ["group", "enrolled", "forged"]
    samples = samples[[name for name in names if name in samples]]
    save_tables(samples, images.classes, folder)
    notes += copy_notes(Dataset(np.empty((len(samples), 0, 0, 3)), samples, images.classes))
    if faults:
        left_out = pd.DataFrame(faults, columns=["file", "reason"])
        left_out.to_csv(folder / LEFT_OUT, index=False)
    return Prepared(samples, faults, notes)


def _check_room(folder: Path, n_images: int, size: Size) -> None:
    """Refuse what does not fit on the disk, before the long work."""
    needed, free = n_images * math.prod(size) * 3, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"data/prepared would take {needed:,} bytes ({n_images:,} images of {in_words(size)}"
            f" pixels, `data.image_size`), but the disk has {free:,} free; make room, or lower"
            " `data.image_size`"
        )


def _first_copies(digests: Sequence[bytes]) -> "pd.api.extensions.ExtensionArray":
    """Return the number of the first that equals each, null for itself: Int64 `[N]`."""
    first: dict[bytes, int] = {}
    originals = [first.setdefault(digest, row) for row, digest in enumerate(digests)]
    return pd.array(
        [original if original < row else None for row, original in enumerate(originals)],
        dtype="Int64",
    )


def _dark(dark: pd.DataFrame, total: int) -> list[str]:
    if len(dark) < max(1, RARELY * total):
        return []
    return [
        f"note: {len(dark):,} of {total:,} images are dark, all their values below a quarter of"
        f" white: {dark['file'].iloc[0]}, for one. So come out values of 10 to 14 bits in files of"
        " 16, and floats far below the brightest of their picture: rescale them to the whole range"
    ]


def _write_images(file: Path, images: Iterable[np.ndarray], size: Size) -> None:
    """Write images, uint8 `[H, W, 3]`, one after the other, as `numpy.save` does all at once.

    Their number is not known beforehand. NumPy leaves room in the header for it to grow, so the
    header is written again at the end.
    """

    def write_header(count: int) -> int:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *size, 3)}
        stream.seek(0)
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.tell()

    with file.open("wb", buffering=2**20) as stream:
        length = write_header(0)
        count = 0
        for image in images:
            assert (image.dtype, image.shape) == (np.uint8, (*size, 3))
            stream.write(image.tobytes())
            count += 1
        assert write_header(count) == length


def _keep_rows(file: Path, rows: np.ndarray) -> None:
    """Keep some of the images, by rows, int64 ascending: `cut_splits` may leave out others."""
    images = np.lib.format.open_memmap(file, mode="r")
    if len(rows) == len(images):
        return
    with new_file(file) as kept:
        _write_images(kept, (images[row] for row in rows), images.shape[1:3])


def _unreadable(faults: list[tuple[str, str]], total: int) -> str:
    lines = [f"{file}: {reason}" for file, reason in faults[:LISTED]]
    return f"{len(faults):,} of {total:,} images cannot be read:\n{listing(lines, len(faults))}"
