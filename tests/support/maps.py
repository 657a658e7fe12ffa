"""A digits project to make maps of, for tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import load_model
from tests.support.galleries import noise_images


@dataclass(frozen=True)
class Project:
    """A folder with embeddings, prepared data, metrics and a gallery."""

    path: Path

    @property
    def prepared(self) -> Path:
        return self.path / "data/prepared"

    @property
    def table(self) -> GalleryTable:
        return GalleryTable.open(self.path / "data/gallery")

    @property
    def sides(self) -> tuple[GalleryTable, Path, Path]:
        """What the functions that make maps are given."""
        return self.table, self.path, self.prepared

    def enroll(self) -> np.ndarray:
        """Enrol noise as a class of its own, and a digit again; return their images."""
        model = load_model(self.path / "data/model")
        digit = load_dataset(self.prepared).images[:1]
        images = np.concatenate([noise_images(model, 2), digit])
        gallery = Gallery.open(self.path / "data/gallery", model)
        gallery.enroll(images, ["noise", "noise", "again"])
        return images
