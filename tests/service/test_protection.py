"""Who may ask, and how much: hosts, other sites, lengths, time and numbers."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from uvicorn import Config
from uvicorn.server import ServerState

from siamese.base.errors import InputError
from siamese.service import protocol
from siamese.service.app import create_app
from siamese.service.errors import public
from siamese.service.protection import BODIES, HEAD_BYTES, Protection
from siamese.service.settings import Settings
from tests.support.service import as_files

ONE = as_files([np.zeros((8, 8, 3), dtype=np.uint8)])


@pytest.fixture(scope="module")
def limited(read_only: Settings) -> Iterator[TestClient]:
    settings = replace(read_only, request_bytes=5000, images_per_request=3, most_pixels=2**16)
    with TestClient(create_app(settings), "http://localhost") as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_this_machine_are_answered(reader: TestClient, host: str) -> None:
    assert reader.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::"])
def test_a_foreign_name_for_this_machine_is_refused(reader: TestClient, host: str) -> None:
    answer = reader.get("/health", headers={"Host": host})
    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        (socket.gethostname(), True),
        ("192.168.1.7:8000", True),
        ("[fe80::1]", True),
        ("gallery.example", True),
        ("evil.example", False),
    ],
)
def test_open_to_the_network_it_has_the_machines_addresses_and_the_allowed_names(
    read_only: Settings, host: str, is_answered: bool
) -> None:
    settings = replace(read_only, host="0.0.0.0", allowed_hosts=("Gallery.example",))
    assert Protection(nothing, settings)._is_ours(host) == is_answered


async def nothing(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_pages_of_other_sites_get_no_answer(reader: TestClient, headers: dict[str, str]) -> None:
    answer = reader.post("/classify", files=ONE, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_and_a_link_to_it_are_answered(reader: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert reader.post("/embed", files=ONE, headers=own).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert reader.get("/health", headers=link).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/", "/nothing", "/docs", "/classify"])
def test_every_answer_tells_browsers_to_be_careful(reader: TestClient, path: str) -> None:
    headers = reader.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_bodies_that_are_too_long_are_refused_said_or_not(limited: TestClient) -> None:
    long = [("images", ("a.png", bytes(6000)))]
    said = limited.post("/classify", files=long)
    kind = "multipart/form-data; boundary=b"
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield head
        yield from (bytes(1000) for _ in range(10))

    unsaid = limited.post("/classify", content=endless(), headers={"Content-Type": kind})
    for answer in (said, unsaid):
        assert answer.status_code == 413
        assert "expected at most 5,000 bytes" in answer.json()["detail"]


def test_too_many_images_are_refused(limited: TestClient) -> None:
    answer = limited.post("/classify", files=ONE * 4)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "expected at most 3 images in a request"


def test_a_picture_with_too_many_pixels_is_refused(limited: TestClient) -> None:
    large = as_files([np.zeros((257, 256, 3), dtype=np.uint8)])
    answer = limited.post("/classify", files=large)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("0.png: too many pixels: 256 x 257; expected at most")


def test_a_long_head_is_refused(reader: TestClient) -> None:
    for answer in (
        reader.get("/health", headers={"X": "x" * HEAD_BYTES}),
        reader.get("/health?" + "x" * HEAD_BYTES),
    ):
        assert answer.status_code == 431


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")],
    }


async def status_of(app: Any, receive: Any) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope_of("/classify"), receive, send)
    return sent[0]["status"]


async def status_behind(waiting: int, app: Any, receive: Any) -> int:
    """Return what a request is told while so many like it are worked on."""
    before = [asyncio.create_task(status_of(app, receive)) for _ in range(waiting)]
    await asyncio.sleep(0)
    status = await status_of(app, receive)
    for task in before:
        task.cancel()
    await asyncio.gather(*before, return_exceptions=True)
    return status


async def never() -> Any:
    await asyncio.Event().wait()


async def body_and_no_more() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def reads(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await asyncio.Event().wait()


def test_a_request_that_never_ends_is_given_up(read_only: Settings) -> None:
    app = Protection(reads, replace(read_only, timeout=0.01))
    assert asyncio.run(status_of(app, never)) == 408
    assert asyncio.run(status_of(app, body_and_no_more)) == 504
    assert (app.n_working, app.n_bytes) == (0, 0)


def test_who_comes_while_there_is_too_much_to_do_is_told_to_come_again(read_only: Settings) -> None:
    app = Protection(reads, replace(read_only, queue=2))
    assert asyncio.run(status_behind(2, app, never)) == 429
    assert (app.n_working, app.n_bytes) == (0, 0)


def test_all_bodies_together_have_a_limit(read_only: Settings) -> None:
    app = Protection(reads, replace(read_only, request_bytes=100))

    async def full() -> Any:
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    assert asyncio.run(status_behind(BODIES, app, full)) == 429
    assert (app.n_working, app.n_bytes) == (0, 0)


def test_a_failure_is_one_sentence_and_the_rest_goes_to_the_log(read_only: Settings) -> None:
    app = create_app(read_only)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        app.state.engine.ask = None
        answer = client.post("/embed", files=ONE)
    assert answer.status_code == 500
    assert set(answer.json()) == {"detail"}
    assert "Traceback" not in answer.text
    assert "TypeError" not in answer.text


@pytest.mark.parametrize(
    "head", [b"", b"GET / HTTP/1.1\r\nHost: lo", b"GET /nothing HTTP/1.1\r\n\r\n"]
)
def test_a_connection_without_a_request_is_closed(
    read_only: Settings, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    config = Config(Protection(nothing_here, read_only), http=protocol.Protocol, log_config=None)
    config.load()

    async def talk() -> bytes:
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: protocol.Protocol(config, state, {}), "127.0.0.1", 0
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(head)
            answer = await reader.read()  # until it is closed
            writer.close()
        return answer

    answer = asyncio.run(talk())
    assert answer.startswith(b"HTTP/1.1 421") == head.endswith(b"\r\n\r\n")


async def nothing_here(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("/a/g: the gallery cannot be read (x)", None),
        ("the gallery at /a/g is empty; do", "the gallery is empty; do"),
        ("label 'x': no row of /a/g has it", "label 'x': no row of the gallery has it"),
        ("file:///a/g/x.lance is missing", None),
        ("the label 'x' is empty", "the label 'x' is empty"),
    ],
)
def test_sentences_lose_the_gallerys_address(message: str, sentence: str | None) -> None:
    assert public(str(InputError(message)), "/a/g") == sentence
