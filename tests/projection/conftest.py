"""A finished digits project with a gallery, with and without a map by t-SNE, to change."""

import shutil
from pathlib import Path

import pytest

from siamese.projection.map_file import FILE
from siamese.projection.maps import compute_map
from siamese.projection.tsne import STEPS
from tests.support.galleries import build_gallery
from tests.support.maps import Project
from tests.support.workspace import Workspace


@pytest.fixture(scope="session")
def mapped(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a map of 120 points; tests only copy it."""
    folder = tmp_path_factory.mktemp("mapped") / "project"
    for name in ("data/model", "data/embeddings", "data/prepared", "metrics"):
        shutil.copytree(finished.path / name, folder / name)
    build_gallery(Workspace(folder), folder / "data/gallery")
    steps: list[int] = []
    layout, notes = compute_map(*Project(folder).sides, limit=120, on_step=steps.append)
    assert notes == []
    assert len(layout.numbers) == 120
    assert steps
    assert steps == sorted(steps)
    assert steps[-1] <= STEPS
    return folder


@pytest.fixture
def computed(mapped: Path, tmp_path: Path) -> Project:
    """A copy of it for one test."""
    return Project(shutil.copytree(mapped, tmp_path / "project"))


@pytest.fixture
def project(computed: Project) -> Project:
    """The same without a map."""
    (computed.path / FILE).unlink()
    return computed
