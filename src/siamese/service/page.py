"""The page: files of the package, served as they are."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

FILES = Path(__file__).with_name("page")


def mount(app: FastAPI) -> None:
    """Serve the page at `/`; routes that the application has already come first."""
    app.mount("/", StaticFiles(directory=FILES, html=True))
