"""Making a raw data set ready for training: validation split, image size, marked copies."""

import hashlib
import math
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from PIL import Image
from pydantic import Field
from tqdm import tqdm

from siamese.data.dataset import Classes, Dataset
from siamese.data.images import fit_image
from siamese.errors import InputError
from siamese.params import Section


class PrepareParams(Section):
    """How the splits are cut, and what counts as a near-duplicate."""

    split_by: Literal["sample", "group", "class"]
    test: float = Field(gt=0, le=0.9)
    validation: float = Field(gt=0, le=0.5)
    enrolled: float = Field(gt=0, lt=1)
    near_duplicate: float = Field(ge=0, le=1)
    seed: int = Field(ge=0, lt=2**32)


def prepare(raw: Dataset, image_size: int, params: PrepareParams) -> Dataset:
    """Cut a validation split, bring the images to one size and mark identical ones.

    Args:
        raw: what `download` wrote, with the splits `train` and `test`.
        image_size: height and width of the images wanted, in pixels. Others are resized as
            `siamese.data.images` does it; `N·image_size²·3` bytes of memory are then needed. Images of
            this size stay as they are, byte by byte.
        params: the section `prepare`.

    Returns:
        The samples of `raw` in the same order, some of `train` moved to `validation`, each class by
        the same share, with the column `duplicate_of`: the first sample with identical pixels at
        the new size, of whichever split, or null.

    Raises:
        InputError: a class has too few training samples to be split.
    """
    images = _resized(raw.images, image_size)
    samples = raw.samples.copy()
    samples.loc[_validation_rows(raw, params), "split"] = "validation"
    samples["duplicate_of"] = _duplicates(images)
    return Dataset(images, samples, raw.classes)


def identical_pairs(samples: pd.DataFrame) -> int:
    """Count the pairs of samples with identical pixels, from the column `duplicate_of`."""
    copies = samples["duplicate_of"].value_counts()
    return int((copies * (copies + 1) // 2).sum())


def _validation_rows(raw: Dataset, params: PrepareParams) -> np.ndarray:
    # Imported here: it takes a second, and whoever wants the schema alone need not wait for it.
    from sklearn.model_selection import train_test_split

    rows = raw.rows("train")
    labels = raw.fine()[rows]
    _check_counts(labels, raw.classes, params.validation)
    _, chosen = train_test_split(
        rows, test_size=params.validation, stratify=labels, random_state=params.seed
    )
    return chosen


def _check_counts(labels: np.ndarray, classes: Classes, share: float) -> None:
    """Make sure that every class keeps a pair for training and gives a sample to validation."""
    counts = np.bincount(labels, minlength=len(classes.fine))
    smallest = int(counts.argmin())
    given = counts[smallest] * share  # rounded up or down, as the other classes allow
    if given < 1 or counts[smallest] - math.ceil(given) < 2:
        raise InputError(
            f"prepare.validation is {share:g}, but class `{classes.fine[smallest]}` has"
            f" {counts[smallest]} training samples: too few to give at least 1 to validation and"
            " keep at least 2. Change the share, or leave the class out of the data."
        )


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, 3), dtype=np.uint8)
    bar = tqdm(images, desc="resize", unit="image", disable=None)
    for row, image in enumerate(bar):
        resized[row] = fit_image(Image.fromarray(np.asarray(image)), size)
    return resized


def _duplicates(images: np.ndarray) -> ExtensionArray:
    """Return for each image the row of the first identical one before it, or null; Int64 `[N]`."""
    first: dict[bytes, int] = {}
    found: list[int | None] = []
    for row, image in enumerate(images):
        original = first.setdefault(hashlib.sha256(image.tobytes()).digest(), row)
        found.append(original if original < row else None)
    return pd.array(found, dtype="Int64")
