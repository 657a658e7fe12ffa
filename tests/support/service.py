"""A real `siamese serve` for tests: its own process, on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    environment.pop("SIAMESE_TOKEN", None)
    if token is not None:
        environment["SIAMESE_TOKEN"] = token
    command = [sys.executable, "-m", "siamese.cli.main", "serve", "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _wait(server: Server) -> None:
    """Wait until it answers."""
    while server.process.poll() is None:
        try:
            httpx.get(f"{server.url}/gallery", timeout=60).raise_for_status()
            return
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError(f"the service has ended: {server.log.read_text()}")
