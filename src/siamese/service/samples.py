"""The images of the test split, for whoever has none at hand."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

import numpy as np

from siamese.base.dataset import Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.service.errors import Refused

log = logging.getLogger("siamese.service")

# Neighbours in the data set are of one class; a few test images in a row are to be of several.
SEED = 0


@dataclass(frozen=True)
class Samples:
    """Test images in an order that mixes the classes, always the same one.

    Attributes:
        dataset: that they belong to.
        numbers: sample numbers, int64 `[n]`.
        labels: the class of each, int64 `[n]`.
        files: where each came from.
    """

    dataset: Dataset
    numbers: np.ndarray
    labels: np.ndarray
    files: tuple[str, ...]

    def name(self, label: int) -> str:
        """Return the name of a class."""
        return self.dataset.classes.fine[label]

    def positions_of(self, label: str | None) -> np.ndarray:
        """Return where the images of one class are, or those of all; int64 `[k]`."""
        if label is None:
            return np.arange(len(self.numbers))
        names = self.dataset.classes.fine
        return np.flatnonzero(self.labels == names.index(label)) if label in names else np.arange(0)


def samples_of(prepared: Path) -> Samples | None:
    """Return the test images that are no part of the gallery; None where there is no data set.

    Raises:
        Refused: there is one that cannot be read.
    """
    table = prepared / "samples.parquet"
    if not table.is_file():
        return None
    try:
        return _samples(prepared, table.stat().st_mtime_ns)
    except InputError as error:
        log.error("%s", error)
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the test images cannot be read; the service's log says why",
        ) from None


@lru_cache(maxsize=1)
def _samples(prepared: Path, written: int) -> Samples:
    dataset = load_dataset(prepared)
    numbers = np.random.default_rng(SEED).permutation(dataset.queries())
    files = dataset.samples["file"].to_numpy()[numbers]
    return Samples(dataset, numbers, dataset.fine()[numbers], tuple(files.tolist()))
