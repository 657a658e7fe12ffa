"""Connections over real sockets: what uvicorn alone would keep, refuse or never close."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request
from uvicorn import Config
from uvicorn.server import ServerState

from siamese.service import page, protocol
from siamese.service.errors import answer_errors
from siamese.service.server import _ready, listen
from siamese.service.settings import Settings

ALL = b"x" * 2**24


def service() -> FastAPI:
    app = FastAPI(redirect_slashes=False)

    @app.post("/echo")
    async def echo(request: Request) -> list[str]:
        return [(await request.body()).decode(), *request.headers]

    @app.get("/all")
    async def all_of_it() -> str:
        return ALL.decode()

    page.mount(app)
    answer_errors(app)
    return app


def talk(then: Callable[[int, ServerState], Awaitable[Any]]) -> Any:
    """Serve, and let a client talk to the port."""
    config = Config(service(), http=protocol.Protocol, ws="none", log_config=None)
    config.load()

    async def both() -> Any:
        state = ServerState()
        loop = asyncio.get_running_loop()
        with listen(Settings(port=0)) as listener:
            server = await loop.create_server(
                lambda: protocol.Protocol(config, state, {}), sock=listener
            )
            async with server:
                return await then(listener.getsockname()[1], state)

    return asyncio.run(asyncio.wait_for(both(), 60))


def answer(*parts: bytes) -> bytes:
    """Send parts, each on its own; return all that comes until the other side closes."""

    async def ask(port: int, state: ServerState) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        found = await reader.read()
        writer.close()
        return found

    found: bytes = talk(ask)
    return found


def head(first: str, *lines: str) -> bytes:
    return "\r\n".join([first, "Host: localhost", *lines, "", ""]).encode()


@pytest.mark.parametrize("protocol_name", ["h2c", "websocket"])
@pytest.mark.parametrize("is_split", [False, True])
def test_a_request_that_offers_another_protocol_is_answered_in_this_one(
    protocol_name: str, is_split: bool
) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol_name}")
    first = head("POST /echo HTTP/1.1", *upgrade, "Content-Length: 5")
    second = head(
        "POST /echo HTTP/1.1", *upgrade, "Transfer-Encoding: chunked", "Connection: close"
    )
    sent = first + b"hello" + second + b"5\r\nagain\r\n0\r\n\r\n"
    parts = [sent[at : at + 40] for at in range(0, len(sent), 40)] if is_split else [sent]
    found = answer(*parts)
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert found.index(b'["hello","host",') < found.index(b'["again","host",')
    assert b'"upgrade"' not in found


def test_trailers_are_not_kept() -> None:
    async def send_trailers(port: int, state: ServerState) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked"))
        writer.write(b"2\r\nhi\r\n0\r\nmade-up: x\r\nhost: x\r\n\r\n")
        await reader.readuntil(b'["hi","host","transfer-encoding"]')
        [connection] = state.connections
        assert isinstance(connection, protocol.Protocol)
        writer.close()
        return [value for _, value in connection.headers]

    assert talk(send_trailers) == [b"localhost", b"chunked"]


def test_whoever_does_not_take_the_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.05)

    async def ask_and_not_read(port: int, state: ServerState) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head("GET /all HTTP/1.1", "Connection: close"))
            while state.total_requests == 0:
                await asyncio.sleep(0.01)
            while state.connections:
                await asyncio.sleep(0.01)

    talk(ask_and_not_read)


def test_whoever_takes_it_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.3)

    async def read_slowly(port: int, state: ServerState) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        writer.write(head("GET /all HTTP/1.1", "Connection: close"))
        found = b""
        while chunk := await reader.read(2**18):
            found += chunk
            await asyncio.sleep(0.015)
        writer.close()
        return found

    assert talk(read_slowly).endswith(b'"' + ALL + b'"')


@pytest.mark.parametrize(
    ("request_line", "status", "allow"),
    [
        ("GET /echo", 405, b"POST"),
        ("HEAD /echo", 405, b"POST"),
        ("POST /all", 405, b"GET"),
        ("POST /", 405, b"GET, HEAD"),
        ("POST /main.js", 405, b"GET, HEAD"),
        ("GET /", 200, None),
        ("HEAD /", 200, None),
        ("HEAD /all", 200, None),
        ("GET /nothing.js", 404, None),
        ("GET /main.js/", 404, None),
        ("GET /../page.py", 404, None),
    ],
)
def test_an_address_takes_its_methods(request_line: str, status: int, allow: bytes | None) -> None:
    found = answer(head(f"{request_line} HTTP/1.1", "Connection: close"))
    top, _, body = found.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 %d " % status)
    allowed = [line for line in top.split(b"\r\n") if line.lower().startswith(b"allow:")]
    if allow is not None:
        assert set(allowed[0].split(b": ")[1].split(b", ")) == set(allow.split(b", "))
    assert (body == b"") == request_line.startswith("HEAD")
    if status >= 400 and body:
        assert body.startswith(b'{"detail":')


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "127.0.0.1"])
def test_it_says_an_address_where_it_answers(host: str) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    settings = Settings(host=host, port=0)
    with listen(settings) as listener:
        said = urlsplit(_ready(listener, settings).split()[0])
        socket.create_connection((said.hostname, said.port), timeout=60).close()
