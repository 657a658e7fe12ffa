"""Making a data set ready for training: splits, image size, marked copies.

Images are read, brought to size and written one after the other, so that more of them than fit
into memory can be prepared.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from siamese.base.data_params import Fit
from siamese.base.dataset import save_tables
from siamese.base.errors import InputError
from siamese.preparation.labelled_images import LabelledImages
from siamese.preparation.splits import PrepareParams, check_splits, cut_splits

LEFT_OUT = "left_out.csv"
LISTED = 10  # files that a message names


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
        counts = self.samples["split"].value_counts()
        return [
            *lines,
            f"prepare: {counts['train']:,} train, {counts['validation']:,} validation,"
            f" {counts['test']:,} test; {identical_pairs(self.samples)} identical pairs",
        ]


def prepare(
    images: LabelledImages,
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
        images: the images and what is known of them.
        folder: an existing one, to write into, in the format of `load_dataset`; and `left_out.csv`,
            if a file had to be left out.
        params: the section `prepare`.
        image_size: height and width wanted, in pixels.
        fit: what to do with images that are not square; see `siamese.images.fit.fit_image`.
        novel_classes: see `siamese.preparation.splits.cut_splits`.
        unreadable: what to do about a file that cannot be read.

    Returns:
        The samples as written: in the given order, with their splits, numbered from 0, and with the
        column `duplicate_of`: the first sample with identical pixels, of any split, or null.

    Raises:
        InputError: the splits cannot be cut, a file cannot be read (unless such files are to be
            left out), or there are too few images to train and test with.
    """
    cut = cut_splits(images.samples, images.classes, novel_classes, params)
    check_splits(cut, images.classes, params.split_by)  # before the long work
    rows = images.samples.index.get_indexer(cut.index)
    is_read = np.zeros(len(cut), dtype=bool)
    faults: list[tuple[str, str]] = []
    first: dict[bytes, int] = {}
    copies: list[int | None] = []

    def readable() -> Iterator[np.ndarray]:
        for position, image in enumerate(images.read(rows, image_size, fit)):
            if isinstance(image, InputError):
                faults.append((cut["file"].iloc[position], str(image)))
                continue
            is_read[position] = True
            original = first.setdefault(hashlib.sha256(image.tobytes()).digest(), len(copies))
            copies.append(original if original < len(copies) else None)
            yield image

    _write_images(folder / "images.npy", readable(), image_size)
    if faults and unreadable == "stop":
        raise InputError(
            f"{_unreadable(faults, len(cut))}\nRepair or remove them, or set `data.unreadable:"
            " leave_out`"
        )
    samples = cut[is_read].reset_index(drop=True)
    try:
        notes = check_splits(samples, images.classes, params.split_by)
    except InputError as error:
        if not faults:
            raise
        raise InputError(f"{error}\n{_unreadable(faults, len(cut))}") from None
    samples["sample"] = np.arange(len(samples))
    samples["duplicate_of"] = pd.array(copies, dtype="Int64")
    names = ["sample", "split", "fine", "coarse", "file", "duplicate_of", "group", "enrolled"]
    samples = samples[[name for name in names if name in samples]]
    save_tables(samples, images.classes, folder)
    if faults:
        left_out = pd.DataFrame(faults, columns=["file", "reason"])
        left_out.to_csv(folder / LEFT_OUT, index=False)
    return Prepared(samples, faults, notes)


def identical_pairs(samples: pd.DataFrame) -> int:
    """Count the pairs of samples with identical pixels, from the column `duplicate_of`."""
    copies = samples["duplicate_of"].value_counts()
    return int((copies * (copies + 1) // 2).sum())


def _write_images(file: Path, images: Iterable[np.ndarray], size: int) -> None:
    """Write images, uint8 `[size, size, 3]`, one after the other, as `numpy.save` does all at once.

    Their number is not known beforehand. NumPy leaves room in the header for it to grow, so the
    header is written again at the end.
    """

    def write_header(count: int) -> int:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        stream.seek(0)
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.tell()

    with file.open("wb", buffering=2**20) as stream:
        length = write_header(0)
        count = 0
        for image in images:
            assert (image.dtype, image.shape) == (np.uint8, (size, size, 3))
            stream.write(image.tobytes())
            count += 1
        assert write_header(count) == length


def _unreadable(faults: list[tuple[str, str]], total: int) -> str:
    lines = [f"  {file}: {reason}" for file, reason in faults[:LISTED]]
    if len(faults) > LISTED:
        lines.append(f"  and {len(faults) - LISTED} more")
    return f"{len(faults):,} of {total:,} images cannot be read:\n" + "\n".join(lines)
