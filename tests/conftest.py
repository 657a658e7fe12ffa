"""One digits workspace for all tests, made by a real `dvc repro`, and copies of it to change."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.support.workspace import Workspace, new_workspace

# Tests that share the cores wait for each other's threads longer than their small work takes, and
# what PyTorch rounds does not depend on the number of cores. Read when libraries are loaded.
os.environ["OMP_NUM_THREADS"] = "1"
# No test asserts a time, and a first example may import a library.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that processes that share the tests end together."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def settings_of_nobody() -> Iterator[None]:
    """Nothing may rely on the Git settings, the language or the proxies of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GIT_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.setenv(name, os.devnull)
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The digits pipeline, run once and committed. Tests must not change it: see `workspace`."""
    pytest.importorskip("dvc")  # a GPU machine may lack it
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes: the first to come runs it for the others
    repository, done = folder / "digits", folder / "digits.done"
    with FileLock(folder / "digits.lock"):
        if not done.exists():
            shutil.rmtree(repository, ignore_errors=True)
            workspace = new_workspace(repository)
            workspace.dvc("repro")
            workspace.commit("results")
            done.touch()
    return Workspace(repository)


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished pipeline for one test to change."""
    return finished.copy_to(tmp_path / "repository")
