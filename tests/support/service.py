"""A real `siamese serve` for tests: its own process, on loopback."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.workspace import ROOT

TOKEN = "correct horse battery staple"


@dataclass(frozen=True)
class Server:
    """A process that answers at `url`; what it prints goes to `log`."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path


@contextmanager
def serving(folder: Path, *options: str, log: Path, token: str | None = TOKEN) -> Iterator[Server]:
    """Run `siamese serve` where `data/model` and `data/gallery` are, until the block ends."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    environment.pop("SIAMESE_TOKEN", None)
    if token is not None:
        environment["SIAMESE_TOKEN"] = token
    command = [sys.executable, "-m", "siamese.cli.main", "serve", "--port", "0", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        yield Server(_url(process, log), process, log)
    finally:
        process.terminate()
        process.wait(60)


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until it says where it answers."""
    while process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.startswith("http://") and line.endswith("\n"):
                return line.split()[0]
        time.sleep(0.05)
    raise AssertionError(f"the service has ended: {log.read_text()}")


def png(image: np.ndarray) -> bytes:
    """Return an image, uint8 `[H, W, 3]`, as a file's bytes."""
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def as_files(images: Iterable[np.ndarray]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return images as the files `0.png`, `1.png`, ... of a request."""
    return [("images", (f"{row}.png", png(image))) for row, image in enumerate(images)]


def plain(answer: Any) -> Any:
    """Return what JSON makes of an answer of `Gallery`."""
    return json.loads(json.dumps(answer, default=vars))


def alike(found: Any, expected: Any) -> bool:
    """Tell whether two answers are the same, but for the rounding of float32.

    How many images are embedded at once decides on the last bits of their embeddings.
    """
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            alike(found[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5)
    return type(found) is type(expected) and found == expected
