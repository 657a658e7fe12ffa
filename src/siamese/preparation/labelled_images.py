"""The images to prepare and what is known of them, from wherever `params.yaml` says."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from siamese.base.data_params import FOLDER, Fit
from siamese.base.dataset import Classes, Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.images.fit import fit_image
from siamese.images.reading import iter_images
from siamese.preparation.folder import Listing, list_images
from siamese.preparation.places import check_places


class LabelledImages(Protocol):
    """Images that can be read, and their labels.

    Attributes:
        samples: one row per image: `fine`, `coarse`, `file`, `split` (null in all rows if there
            are no splits) and, if there are groups, `group`.
        classes: the names of the labels.
        notes: sentences on what is worth knowing.
    """

    samples: pd.DataFrame
    classes: Classes
    notes: Sequence[str]

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows, uint8 `[size, size, 3]`, or why one cannot be read."""
        ...


class RawImages:
    """The images that `download` wrote."""

    notes: Sequence[str] = ()

    def __init__(self, raw: Dataset) -> None:
        self.samples, self.classes, self._images = raw.samples, raw.classes, raw.images

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows; those of the right size stay as they are, byte by byte."""
        is_right = self._images.shape[1:3] == (size, size)
        for row in progress_bar("prepare", "image", rows):
            image = np.asarray(self._images[row])
            yield image if is_right else fit_image(Image.fromarray(image), size, fit)


class FolderImages:
    """The images of a folder, read by as many threads as there are cores."""

    def __init__(self, listing: Listing, notes: Sequence[str] = ()) -> None:
        self.samples, self.classes, self._root = listing.samples, listing.classes, listing.root
        self.notes: Sequence[str] = (*notes, *listing.notes)

    def read(self, rows: np.ndarray, size: int, fit: Fit) -> Iterator[np.ndarray | InputError]:
        """Yield the images of some rows."""
        files = [self._root / name for name in self.samples["file"].iloc[rows]]
        for file, image in zip(files, iter_images(files, size, fit, "prepare"), strict=True):
            if isinstance(image, InputError):
                # The name without the folder: the same wherever the folder lies.
                yield InputError(str(image).removeprefix(f"{file}: "))
            else:
                yield image


def open_images(
    name: str, path: Path, images: Path, *, raw: Path, workspace: Path
) -> LabelledImages:
    """Return the images of a data set, none of them read yet.

    Args:
        name: `data.name`.
        path: `data.path`.
        images: `data.images`.
        raw: what `download` wrote.
        workspace: the folder that holds dvc.yaml; paths are relative to it.

    Raises:
        InputError: the raw data is missing or damaged; or the folder cannot be listed, or lies
            where it must not.
    """
    if name != FOLDER:
        return RawImages(load_dataset(raw))
    notes = check_places(path, images, workspace)
    return FolderImages(list_images(path, images), notes)
