"""A set of labelled images on disk: what the `download` and `prepare` stages write.

A folder holds `images.npy` (uint8, row = sample), `samples.parquet` (one row a sample) and
`classes.json` (names in label order). This module needs neither torch nor scikit-learn.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it takes half a second, and whoever only uses a model need not wait for it
    import pandas as pd

from siamese.errors import InputError
from siamese.files import reading, write_json

FILES = ("classes.json", "images.npy", "samples.parquet")
SPLITS = ("train", "validation", "test")
COLUMNS = ("sample", "split", "fine", "coarse", "file")


@dataclass(frozen=True)
class Classes:
    """Names in label order. `coarse` is empty for data sets without superclasses."""

    fine: tuple[str, ...]
    coarse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Labelled images, row = sample.

    Attributes:
        images: uint8 `[N, H, W, 3]`; memory-mapped, read-only, when it was loaded from disk.
        samples: one row a sample, in the order of `images`: `sample` (int64, 0…N-1), `split` (str),
            `fine` (int64), `coarse` (Int64, null where there is none), `file` (str), and, once
            prepared, `duplicate_of` (Int64, the first byte-identical sample or null).
        classes: the names of the labels.
    """

    images: np.ndarray
    samples: "pd.DataFrame"
    classes: Classes

    def rows(self, *splits: str) -> np.ndarray:
        """Return the sample numbers, int64 `[n]` ascending, that belong to any of `splits`."""
        return np.flatnonzero(self.samples["split"].isin(splits))

    def fine(self) -> np.ndarray:
        """Return the fine labels, int64 `[N]`."""
        return self.samples["fine"].to_numpy(dtype=np.int64)


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a data set into an existing folder; equal data sets give equal bytes."""
    np.save(folder / "images.npy", np.ascontiguousarray(dataset.images))
    dataset.samples.to_parquet(folder / "samples.parquet", index=False)
    names = {"fine": list(dataset.classes.fine), "coarse": list(dataset.classes.coarse)}
    write_json(folder / "classes.json", names)


def load_dataset(folder: Path) -> Dataset:
    """Open a data set; the images stay on disk until they are read.

    Raises:
        InputError: a file is missing or damaged, or the images and the table do not belong
            together.
    """
    import pandas as pd

    # `dvc repro prepare` makes the raw data again too, if need be: they are what it reads.
    with reading(folder / "images.npy", "prepare") as file:
        images = np.lib.format.open_memmap(file, mode="r")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"expected uint8 [N, H, W, 3], found {images.dtype} {list(images.shape)}"
            )
    with reading(folder / "samples.parquet", "prepare") as file:
        samples = pd.read_parquet(file)
        if missing := [name for name in COLUMNS if name not in samples]:
            raise ValueError(f"it lacks the columns {', '.join(missing)}")
    with reading(folder / "classes.json", "prepare") as file:
        names = json.loads(file.read_text(encoding="utf-8"))
        classes = Classes(tuple(names["fine"]), tuple(names["coarse"]))
    if len(images) != len(samples):
        raise InputError(
            f"{folder}: {len(images)} images but {len(samples)} rows in samples.parquet;"
            " delete both and run `dvc repro prepare`, which makes them again"
        )
    return Dataset(images, samples, classes)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of each channel, pixels in [0, 1].

    Args:
        images: uint8 `[N, H, W, 3]`. Of a constant channel the deviation is given as 1, so that
            dividing by it does no harm.
    """
    # Counting the 256 values is exact, and needs no copy of the images as floats.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)])
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)  # (3, 256)
    mean = share @ values  # (3,)
    std = np.sqrt((share * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
    return mean.tolist(), np.where(std > 0, std, 1.0).tolist()
