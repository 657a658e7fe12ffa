"""A set of labelled images on disk: what the `download` and `prepare` stages write.

A folder holds `images.npy` (uint8, row = sample), `samples.parquet` (one row per sample) and
`classes.json` (names in label order). This module needs neither torch nor scikit-learn.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:  # it takes half a second, for which using a model alone need not wait
    import pandas as pd

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.base.files import reading, write_json
from siamese.base.parquet import read_frame

FILES = ("classes.json", "images.npy", "samples.parquet")
SPLITS = ("train", "validation", "test")
COLUMNS = ("sample", "split", "fine", "coarse", "file")
PART_BYTES = 2**24


@dataclass(frozen=True)
class Classes:
    """Names in label order. `coarse` is empty for data sets without superclasses."""

    fine: tuple[str, ...]
    coarse: tuple[str, ...] = ()

    def to_json(self) -> dict[str, list[str]]:
        """Return the content of a `classes.json`."""
        return {"fine": list(self.fine), "coarse": list(self.coarse)}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return what `to_json` was given; a KeyError or TypeError if it is something else."""
        return cls(tuple(content["fine"]), tuple(content["coarse"]))


@dataclass(frozen=True)
class Dataset:
    """Labelled images, row = sample.

    Attributes:
        images: uint8 `[N, H, W, 3]`; memory-mapped, read-only, when it was loaded from disk.
        samples: one row per sample, in the order of `images`: `sample` (int64, 0…N-1), `split`
            (str), `fine` (int64), `coarse` (Int64, null where there is none), `file` (str), and,
            once prepared, `duplicate_of` (Int64, the first byte-identical sample or null). Where
            there are groups, `group` (str). Where there are novel classes, which training never
            sees, `enrolled` (bool): test samples of these classes that belong to the gallery. Where
            there are forgeries, `forged` (bool): samples that pretend to be of their class. They
            are no samples of it: only `forged` below returns them.
        classes: the names of the labels.
    """

    images: np.ndarray
    samples: "pd.DataFrame"
    classes: Classes

    def rows(self, *splits: str) -> np.ndarray:
        """Return the sample numbers, int64 `[n]` ascending, that belong to any of `splits`."""
        return np.flatnonzero(self.samples["split"].isin(splits) & ~is_forged(self.samples))

    def forged(self, *splits: str) -> np.ndarray:
        """Return the numbers of the forgeries in any of `splits`, int64 `[n]` ascending.

        Without exact copies of a genuine sample, of any split: nobody can tell them apart.
        """
        forged, pictures = is_forged(self.samples), pictures_of(self.samples)
        is_copy = np.isin(pictures, pictures[~forged])
        return np.flatnonzero(self.samples["split"].isin(splits) & forged & ~is_copy)

    def gallery(self) -> np.ndarray:
        """Return the rows that queries are compared with: all the others; int64 `[G]`."""
        return np.flatnonzero(~self._is_query() & ~is_forged(self.samples))

    def queries(self) -> np.ndarray:
        """Return the rows that are asked about: test samples that are not enrolled; int64 `[Q]`."""
        return np.flatnonzero(self._is_query())

    def novel_classes(self) -> np.ndarray:
        """Return the classes in `test` that neither training nor validation has; int64 `[C]`."""
        fine = self.fine()
        return np.setdiff1d(fine[self.rows("test")], fine[self.rows("train", "validation")])

    def images_of(self, rows: np.ndarray) -> "ImageRows":
        """Return the images of some rows, to be read a part at a time."""
        return ImageRows(self.images, rows)

    def _is_query(self) -> np.ndarray:
        is_query = (self.samples["split"] == "test").to_numpy() & ~is_forged(self.samples)
        if "enrolled" in self.samples:
            is_query = is_query & ~self.samples["enrolled"].to_numpy(dtype=bool)
        return is_query

    def fine(self) -> np.ndarray:
        """Return the fine labels, int64 `[N]`."""
        return self.samples["fine"].to_numpy(dtype=np.int64)


def is_forged(samples: "pd.DataFrame") -> np.ndarray:
    """Tell which samples are forgeries, bool `[N]`."""
    if "forged" not in samples:
        return np.zeros(len(samples), dtype=bool)
    return samples["forged"].to_numpy(dtype=bool)


def pictures_of(samples: "pd.DataFrame") -> np.ndarray:
    """Return the number of each sample's picture, that of the first sample with it; int64 `[N]`."""
    if "duplicate_of" not in samples:
        return samples["sample"].to_numpy(dtype=np.int64)
    return samples["duplicate_of"].fillna(samples["sample"]).to_numpy(dtype=np.int64)


@dataclass(frozen=True)
class ImageRows:
    """Some of the images of a data set, read when they are asked for.

    Attributes:
        images: uint8 `[N, H, W, 3]`, usually memory-mapped.
        rows: which of them, int64 `[n]`.
    """

    images: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Read a part, uint8 `[k, H, W, 3]`."""
        return self.images[self.rows[part]]

    def parts(self) -> Iterator[np.ndarray]:
        """Read all, some 16 MB at a time."""
        at_once = max(1, PART_BYTES // max(1, self.images[:1].nbytes))
        for part in blocks(len(self), at_once):
            yield self[part]


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a data set into an existing folder; equal data sets give equal bytes."""
    np.save(folder / "images.npy", np.ascontiguousarray(dataset.images))
    save_tables(dataset.samples, dataset.classes, folder)


def save_tables(samples: "pd.DataFrame", classes: Classes, folder: Path) -> None:
    """Write a data set without its images."""
    samples.to_parquet(folder / "samples.parquet", index=False)
    write_json(folder / "classes.json", classes.to_json())


def load_dataset(folder: Path) -> Dataset:
    """Open a data set; the images stay on disk until they are read.

    Raises:
        InputError: a file is missing or damaged, or the images and the table do not belong
            together.
    """
    # `dvc repro prepare` makes the raw data again too, if need be: it depends on them.
    with reading(folder / "images.npy", "prepare") as file:
        images = np.lib.format.open_memmap(file, mode="r")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"expected uint8 [N, H, W, 3], found {images.dtype} {list(images.shape)}"
            )
    tables = load_without_images(folder)
    if len(images) != len(tables.samples):
        raise InputError(
            f"{folder}: {len(images)} images but {len(tables.samples)} rows in samples.parquet;"
            " delete both and run `dvc repro prepare`, which makes them again"
        )
    return replace(tables, images=images)


def load_without_images(folder: Path) -> Dataset:
    """Open the tables of a data set alone: its `images` have no pixels, `[N, 0, 0, 3]`.

    Raises:
        InputError: a file is missing or damaged.
    """
    with reading(folder / "samples.parquet", "prepare") as file:
        samples = read_frame(file)
        if missing := [name for name in COLUMNS if name not in samples]:
            raise ValueError(f"it lacks the columns {', '.join(missing)}")
    with reading(folder / "classes.json", "prepare") as file:
        classes = Classes.from_json(json.loads(file.read_text(encoding="utf-8")))
    return Dataset(np.empty((len(samples), 0, 0, 3), dtype=np.uint8), samples, classes)


def channel_statistics(images: ImageRows) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of each channel, pixels in [0, 1].

    Args:
        images: N of them. A constant channel gets the deviation 1, so that dividing by it does no
            harm.
    """
    # Counting the 256 values is exact, and needs no copy of the images as floats.
    counts = np.zeros((3, 256), dtype=np.int64)
    for part in images.parts():
        for channel in range(3):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)  # (3, 256)
    mean = share @ values  # (3,)
    std = np.sqrt((share * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
    return mean.tolist(), np.where(std > 0, std, 1.0).tolist()
