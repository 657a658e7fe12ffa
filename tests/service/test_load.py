"""Many clients while the gallery changes, and processes that are killed or asked to end."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import numpy as np
import psutil
import pytest

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.model.folder import Model, load_model
from tests.support.galleries import noise_images
from tests.support.service import TOKEN, Server, alike, as_files, plain, png, serving
from tests.support.workspace import ROOT

MAY = {"Authorization": f"Bearer {TOKEN}"}
CLIENTS, REQUESTS, WARM = 64, 20_000, 5_000

pytestmark = pytest.mark.slow


@pytest.fixture
def project(place: Path, tmp_path: Path) -> Path:
    """A project whose gallery one test may change."""
    folder = tmp_path / "project"
    for name in ("model", "gallery", "embeddings", "prepared"):
        shutil.copytree(place / "data" / name, folder / "data" / name)
    return folder


@pytest.fixture
def model(project: Path) -> Model:
    return load_model(project / "data/model")


@dataclass(frozen=True)
class Request:
    """A request that is sent again and again, and what the gallery answers to it."""

    content: bytes
    expected: Callable[[Gallery], Any]


def requests_of(model: Model, known: np.ndarray, unknown: np.ndarray) -> list[Request]:
    """Return requests whose answers change with the gallery, and others."""
    pairs = [known[:2]]
    single = [image[None] for image in [*known, *unknown]]
    return [
        *(Request(sent("/classify", one, k=5), partial(classified, one)) for one in single),
        *(Request(sent("/search", one, k=3), partial(found, one)) for one in single),
        *(Request(sent("/verify", pair), partial(verified, pair)) for pair in pairs),
        *(Request(sent("/verify", one, label="3"), partial(claimed, one)) for one in single[:3]),
    ]


def sent(
    path: str, images: np.ndarray, headers: dict[str, str] | None = None, **form: Any
) -> bytes:
    """Return the bytes of a request."""
    files, url = as_files(images), f"http://127.0.0.1{path}"
    request = httpx.Request("POST", url, files=files, data=form, headers=headers)
    head = [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *head, "", ""]).encode() + request.read()


def classified(one: np.ndarray, gallery: Gallery) -> Any:
    return plain([{"file": "0.png", **vars(answer)} for answer in gallery.classify(one, 5)])


def found(one: np.ndarray, gallery: Gallery) -> Any:
    return plain([{"file": "0.png", "neighbours": near} for near in gallery.search(one, 3)])


def verified(pair: np.ndarray, gallery: Gallery) -> Any:
    return plain(gallery.verify(pair[:1], pair[1:])[0])


def claimed(one: np.ndarray, gallery: Gallery) -> Any:
    return plain([{"file": "0.png", **vars(each)} for each in gallery.verify_claim(one, "3")])


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, Any]:
    """Read one answer whole: its status line and content."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head.partition(b"\r\n")[0], json.loads(await reader.readexactly(length))


class States:
    """The gallery as it was after each change; the answer to a request is that of one of them."""

    def __init__(self, project: Path, model: Model, requests: Sequence[Request]) -> None:
        self.address, self.model, self.requests = project / "data/gallery", model, requests
        self.answers: list[list[Any]] = []
        # States up to this one must be seen, up to that one may be.
        self.certain, self.possible = -1, -1
        self.settle()

    def settle(self) -> None:
        """Ask the gallery itself, after a change."""
        gallery = Gallery.open(self.address, self.model)
        self.answers.append([request.expected(gallery) for request in self.requests])
        self.certain = self.possible = len(self.answers) - 1

    def begin(self) -> None:
        """Expect a change from now on."""
        self.possible = len(self.answers)


def test_twenty_thousand_requests_while_the_gallery_changes(
    project: Path, model: Model, tmp_path: Path
) -> None:
    dataset = load_dataset(project / "data/prepared")
    known = np.asarray(dataset.images[dataset.rows("test")[:6]])
    unknown = noise_images(model, 4)
    requests = requests_of(model, known, unknown)
    states = States(project, model, requests)
    # Which request, the states that it may have met, and the answer.
    answered: list[tuple[int, int, int, Any]] = []
    n_sent = 0

    async def client(url: str) -> None:
        nonlocal n_sent
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while n_sent < REQUESTS:
            which = n_sent % len(requests)
            n_sent += 1
            first = states.certain
            writer.write(requests[which].content)
            status, content = await answer_of(reader)
            assert status == b"HTTP/1.1 200 OK", content
            answered.append((which, first, states.possible, content))
        writer.close()

    async def changes(url: str, process: psutil.Process) -> tuple[int, int]:
        """Change the gallery until all is answered; return the memory when warm, and at the end."""
        memory = 0
        turn = 0
        async with httpx.AsyncClient(base_url=url, headers=MAY, timeout=120) as http:
            while n_sent < REQUESTS:
                if not memory and n_sent > WARM:
                    memory = process.memory_info().rss
                states.begin()
                match turn % 4:
                    case 0 | 1:
                        label = f"noise {turn % 4}"
                        files = as_files(unknown[2 * (turn % 4) :][:2])
                        done = await http.post("/enroll", files=files, data={"label": label})
                        assert done.json() == {"added": 2, "known": 0}
                    case 2:
                        await rebuild(project, 0.9 + 0.001 * turn)
                        newest = Gallery.open(states.address).table.version
                        while (await http.get("/health")).json()["version"] != newest:
                            await asyncio.sleep(0.05)
                    case 3:
                        for label in ("noise 0", "noise 1"):
                            done = await http.post("/remove", data={"label": label})
                            assert done.json() == {"removed": 2}
                            if label == "noise 0":
                                await asyncio.to_thread(states.settle)
                                states.begin()
                await asyncio.to_thread(states.settle)
                turn += 1
        assert turn > 4, "it has been rebuilt, and changed again"
        return memory, process.memory_info().rss

    async def everything(server: Server) -> tuple[int, int]:
        clients = [client(server.url) for _ in range(CLIENTS)]
        changed = changes(server.url, psutil.Process(server.process.pid))
        memory, *_ = await asyncio.gather(changed, *clients)
        assert memory is not None
        return memory

    with serving(project, log=tmp_path / "log") as server:
        warm, end = asyncio.run(everything(server))
    assert len(answered) == n_sent >= REQUESTS
    for which, first, last, content in answered:
        may_be = [states.answers[state][which] for state in range(first, last + 1)]
        assert any(alike(content, one) for one in may_be), (first, last, content, may_be)
    assert end < 1.1 * warm, f"memory grew from {warm:,} to {end:,} bytes"
    assert "Traceback" not in (tmp_path / "log").read_text()


async def rebuild(project: Path, share: float) -> None:
    command = ["-m", "siamese.cli.main", "gallery", "build", "--novelty-share", f"{share}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=project, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


def test_killed_while_it_enrols_it_starts_again_with_all_that_it_had_confirmed(
    project: Path, model: Model, tmp_path: Path
) -> None:
    images = noise_images(model, 100)
    before = len(Gallery.open(project / "data/gallery").table)
    confirmed = 0
    with (
        serving(project, log=tmp_path / "log") as server,
        httpx.Client(base_url=server.url, headers=MAY, timeout=60) as client,
    ):
        while confirmed < 5:
            files = [("images", (f"{confirmed}.png", png(images[confirmed])))]
            assert client.post("/enroll", files=files, data={"label": "a"}).json()["added"] == 1
            confirmed += 1
        # One more, which it does not live to confirm.
        address = urlsplit(server.url)
        stored = set((project / "data/gallery").rglob("*"))
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(sent("/enroll", images[10:], MAY, label="b"))
            while set((project / "data/gallery").rglob("*")) == stored:
                pass  # until it writes
            server.process.kill()
            server.process.wait()
    gallery = Gallery.open(project / "data/gallery", model)
    added = len(gallery.table) - before
    assert added in (5, 5 + 90), "a request is enrolled whole or not at all"
    with (
        serving(project, log=tmp_path / "again") as server,
        httpx.Client(base_url=server.url, headers=MAY, timeout=60) as client,
    ):
        assert client.get("/health").json()["rows"] == before + added
        [answer] = client.post("/search", files=as_files(images[:1]), data={"k": 3}).json()
        assert alike(answer["neighbours"], plain(gallery.search(images[:1], 3)[0]))
        assert client.post("/remove", data={"label": "a"}).json() == {"removed": 5}


def test_asked_to_end_under_load_it_answers_all_that_was_sent(
    project: Path, model: Model, tmp_path: Path
) -> None:
    requests = requests_of(model, noise_images(model, 2), noise_images(model, 2))
    n_answers, n_lost, is_ending = 0, 0, False

    async def client(server: Server, number: int) -> None:
        nonlocal n_answers, n_lost, is_ending
        address = urlsplit(server.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while True:
            writer.write(requests[number % len(requests)].content)
            was_before = not is_ending
            start = b""
            try:
                start = await reader.readexactly(1)
                status, _ = await answer_of(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                n_lost += was_before or bool(start)
                return
            assert start + status == b"HTTP/1.1 200 OK"
            n_answers += 1
            if n_answers == 500:  # in the middle of it all
                is_ending = True
                server.process.send_signal(signal.SIGTERM)

    async def everything(server: Server) -> None:
        await asyncio.gather(*(client(server, number) for number in range(32)))

    with serving(project, log=tmp_path / "log") as server:
        asyncio.run(everything(server))
        assert server.process.wait(60) == 0
    assert n_answers >= 500
    assert n_lost == 0
