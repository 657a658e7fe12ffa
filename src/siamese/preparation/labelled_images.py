"""The images to prepare and what is known of them, from wherever `params.yaml` says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from siamese.base.data_params import FOLDER, DataParams, Fit
from siamese.base.dataset import Classes, Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.base.image_size import Size
from siamese.base.progress import progress_bar
from siamese.images.fit import fit_image
from siamese.images.reading import iter_images
from siamese.preparation.folder import Listing, list_images
from siamese.preparation.places import check_places


@dataclass(frozen=True)
class LabelledImages:
    """Images that can be read, and what is known of them.

    Attributes:
        samples: one row per image: `fine`, `coarse`, `file`, `split` (null in all rows if there
            are no splits) and, if there are groups, `group`.
        classes: the names of the labels.
        read: yields the images of all rows, brought to a size: uint8 `[H, W, 3]`, or why one cannot
            be read.
        notes: sentences on what is worth knowing.
    """

    samples: pd.DataFrame
    classes: Classes
    read: Callable[[Size, Fit], Iterator[np.ndarray | InputError]]
    notes: Sequence[str] = ()


def raw_images(raw: Dataset) -> LabelledImages:
    """Return what `download` wrote; images of the right size stay as they are, byte by byte."""

    def read(size: Size, fit: Fit) -> Iterator[np.ndarray]:
        is_right = raw.images.shape[1:3] == size and fit != "ink"
        for image in map(np.asarray, progress_bar("prepare", "image", raw.images)):
            yield image if is_right else fit_image(Image.fromarray(image), size, fit)

    return LabelledImages(raw.samples, raw.classes, read)


def folder_images(listing: Listing, notes: Sequence[str] = ()) -> LabelledImages:
    """Return the images of a folder, read by as many threads as there are cores."""

    def read(size: Size, fit: Fit) -> Iterator[np.ndarray | InputError]:
        files = [listing.root / name for name in listing.samples["file"]]
        for file, image in zip(files, iter_images(files, size, fit, "prepare"), strict=True):
            if isinstance(image, InputError):
                # The name without the folder: the same wherever the folder lies.
                yield InputError(str(image).removeprefix(f"{file}: "))
            else:
                yield image

    return LabelledImages(listing.samples, listing.classes, read, (*notes, *listing.notes))


def open_images(data: DataParams, *, raw: Path, workspace: Path) -> LabelledImages:
    """Return the images of a data set, none of them read yet.

    Args:
        data: which data set, and how it is listed.
        raw: what `download` wrote.
        workspace: the folder that holds dvc.yaml; paths are relative to it.

    Raises:
        InputError: the raw data is missing or damaged; or the folder cannot be listed, or lies
            where it must not.
    """
    if data.name != FOLDER:
        return raw_images(load_dataset(raw))
    notes = check_places(Path(data.path), Path(data.images), workspace)
    return folder_images(list_images(data, workspace), notes)
