"""A finished project with a gallery, and the application that answers from it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# What `pip install siamese` alone does not bring.
pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from fastapi.testclient import TestClient

from siamese.service.app import create_app
from siamese.service.settings import Settings
from tests.support.galleries import build_gallery, claims_at, save_claims
from tests.support.service import TOKEN
from tests.support.workspace import Workspace

if TYPE_CHECKING:  # a GPU machine may lack it
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def place(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/` and `metrics/` of the digits, and their gallery; tests only read it."""
    folder = tmp_path_factory.mktemp("service") / "project"
    shutil.copytree(finished.path, folder, ignore=shutil.ignore_patterns("raw", "cache", "tmp"))
    build_gallery(Workspace(folder), folder / "data/gallery")
    save_claims(folder / "data/model", claims_at(0.0, 0.6))
    return folder


@pytest.fixture(scope="session")
def read_only(place: Path) -> Settings:
    """Settings of a service that tests only ask."""
    data = place / "data"
    return Settings(
        gallery=str(data / "gallery"),
        model=data / "model",
        workspace=place,
        prepared=data / "prepared",
        token=TOKEN,
    )


@pytest.fixture
def settings(read_only: Settings, tmp_path: Path) -> Settings:
    """Settings of a service with a gallery for one test to change."""
    gallery = shutil.copytree(read_only.gallery, tmp_path / "gallery")
    return replace(read_only, gallery=str(gallery))


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The application, asked without a network, as a program on this machine asks it."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def reader(read_only: Settings) -> Iterator[TestClient]:
    """As `client`, for tests that change nothing: one application for all of a module."""
    with TestClient(create_app(read_only), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A real browser, for one module: while it is open, no other event loop runs in its thread."""
    from tests.support.browser import browsing

    with browsing() as browser:
        yield browser
