"""One order and one hash for a data set, however its archive was packed.

Two mirrors of a data set that differ only in the order of their rows become the same files here, so
that `dvc.lock` does not tell which of them was used.
"""

import hashlib

import numpy as np

from siamese.base.dataset import SPLITS, Dataset


def canonical_order(dataset: Dataset) -> Dataset:
    """Sort a data set by its images and labels, and number the samples from 0 in that order.

    The order is by split (train, validation, test), fine label, SHA-256 of the pixels, coarse label
    (none first), file name. Rows that agree in all of these are equal: their order does not
    matter.

    Returns:
        A new data set, its images in memory.
    """
    order = _order(dataset)
    samples = dataset.samples.iloc[order].reset_index(drop=True)
    samples["sample"] = np.arange(len(order))
    return Dataset(dataset.images[order], samples, dataset.classes)


def content_hash(dataset: Dataset) -> str:
    """Return a SHA-256 that depends on the images and labels, but not on their order or file names.

    It is taken over these bytes, all texts in UTF-8:

    1. for each class, in label order, a line `fine NAME\\n`; then the same with `coarse NAME\\n`;
    2. a line `images N H W 3\\n`;
    3. for each image, in the order of `canonical_order`, a line `SPLIT FINE COARSE\\n` with the two
       labels as decimal numbers, or `-` for a missing coarse one, and then its H·W·3 pixels, one
       byte each, row by row, the channels of a pixel together as red, green, blue.
    """
    digest = hashlib.sha256()
    for kind, names in (("fine", dataset.classes.fine), ("coarse", dataset.classes.coarse)):
        for name in names:
            digest.update(f"{kind} {name}\n".encode())
    digest.update(f"images {' '.join(map(str, dataset.images.shape))}\n".encode())
    splits = dataset.samples["split"].tolist()
    fine = dataset.fine().tolist()
    coarse = _coarse(dataset)
    for row in _order(dataset):
        label = coarse[row] if coarse[row] >= 0 else "-"
        digest.update(f"{splits[row]} {fine[row]} {label}\n".encode())
        digest.update(dataset.images[row].tobytes())
    return digest.hexdigest()


def _order(dataset: Dataset) -> list[int]:
    """Return the present row numbers in canonical order."""
    samples = dataset.samples
    keys = zip(
        samples["split"].map(SPLITS.index),
        samples["fine"],
        (hashlib.sha256(image.tobytes()).digest() for image in dataset.images),
        _coarse(dataset),
        samples["file"],
        strict=True,
    )
    return [row for *_, row in sorted((*key, row) for row, key in enumerate(keys))]


def _coarse(dataset: Dataset) -> list[int]:
    """Return the coarse labels, -1 where there is none."""
    return dataset.samples["coarse"].to_numpy(dtype=np.int64, na_value=-1).tolist()
