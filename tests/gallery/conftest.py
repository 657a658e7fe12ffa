"""The gallery of the digits: one for all tests to read, and copies of it to change."""

import shutil
from pathlib import Path

import pytest

from siamese.base.dataset import Dataset, load_dataset
from siamese.gallery.gallery import Gallery
from siamese.model.folder import Model, load_model
from tests.support.galleries import build_gallery
from tests.support.workspace import Workspace


@pytest.fixture(scope="session")
def model(finished: Workspace) -> Model:
    return load_model(finished.path / "data/model")


@pytest.fixture(scope="session")
def dataset(finished: Workspace) -> Dataset:
    return load_dataset(finished.path / "data/prepared")


@pytest.fixture(scope="session")
def built(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that tests must not change."""
    address = tmp_path_factory.mktemp("built") / "gallery"
    build_gallery(finished, address)
    return address


@pytest.fixture
def gallery(built: Path, model: Model, tmp_path: Path) -> Gallery:
    """A gallery for one test to change."""
    return Gallery.open(shutil.copytree(built, tmp_path / "gallery"), model)
