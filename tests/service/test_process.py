"""A real process: what it says, what it does with a hundred odd requests, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import numpy as np
import pytest

from siamese.service.protection import HEAD_BYTES
from siamese.service.server import listen
from siamese.service.settings import Settings
from siamese.service.uploads import FIELD_BYTES
from tests.support.service import TOKEN, Server, png, serving
from tests.support.workspace import ROOT

IMAGE = png(np.zeros((8, 8, 3), dtype=np.uint8))
KIND = "Content-Type: multipart/form-data; boundary=b"
MAY = f"Authorization: Bearer {TOKEN}"


@pytest.fixture(scope="module")
def server(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process for all; whoever ends it comes last."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(place, "--max-upload", "1", log=log) as server:
        yield server


def part(name: str, content: bytes | str, file: str | None = None, *headers: str) -> bytes:
    named = "" if file is None else f'; filename="{file}"'
    content = content if isinstance(content, bytes) else content.encode()
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"{named}', *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


END = b"--b--\r\n"
FILE = part("images", IMAGE, "a.png")


def post(path: str, body: bytes, *headers: str, kind: str = KIND) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", kind, f"Content-Length: {len(body)}"]
    return "\r\n".join([*(line for line in head if line), *headers, "", ""]).encode() + body


def form(path: str, *parts: bytes) -> bytes:
    return post(path, b"".join(parts) + END)


def get(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def chunked(*chunks: bytes) -> bytes:
    head = post("/classify", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"


def image(content: bytes, name: str = "a.png") -> bytes:
    return form("/classify", part("images", content, name))


def field(path: str, name: str, value: str, n_files: int = 1) -> bytes:
    return form(path, FILE * n_files, part(name, value))


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
ODD: dict[str, tuple[bytes, int]] = {
    # No HTTP
    "no request line": (b"\r\n\r\nnothing\r\n\r\n", 400),
    "binary": (bytes(range(256)) * 4, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "a wrong version": (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a socket of the web": (get("/x", "Connection: Upgrade", "Upgrade: websocket"), 404),
    "an unknown method": (b"FROB / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a header without a colon": (get("/health", "nothing"), 400),
    "a header with a space in its name": (get("/health", "a b: c"), 400),
    "a header with a zero": (get("/health", "a: \x00"), 400),
    "a length that is no number": (post("/classify", b"", "Content-Length: x"), 400),
    "a negative length": (get("/health", "Content-Length: -1"), 400),
    "two lengths": (post("/classify", b"ab", "Content-Length: 1"), 400),
    "length and chunks": (post("/classify", b"", "Transfer-Encoding: chunked"), 400),
    "a chunk of no length": (chunked()[:-5] + b"zz\r\n", 400),
    "an address that is not ASCII": ("GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 400),
    # Its head
    "a long header": (get("/health", "a: " + "b" * HEAD_BYTES), 431),
    "a header that never ends": (get("/health")[:-4] + b"\r\na: " + b"b" * 2**20, 431),
    "many headers": (get("/health", *(f"a{n}: b" for n in range(HEAD_BYTES // 6))), 431),
    "a long name of a header": (get("/health", "b" * HEAD_BYTES + ": a"), 431),
    "a long address": (get("/" + "a" * HEAD_BYTES), 431),
    "a long query": (get("/health?" + "a" * HEAD_BYTES), 431),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 421),
    "a foreign host": (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    "a foreign origin": (get("/health", "Origin: http://evil.example"), 403),
    "a foreign site": (get("/health", "Sec-Fetch-Site: cross-site"), 403),
    "endless trailers": (chunked()[:-2] + b"a:\r\n" * 2**18, 431),
    "a trailer that never ends": (chunked()[:-2] + b"a: " + b"b" * 2**20, 431),
    "a long name of a trailer": (chunked()[:-2] + b"a" * 2**20, 431),
    # Its address and method
    "nothing there": (get("/nothing"), 404),
    "a path upwards": (get("/../../etc/passwd"), 404),
    "an escaped path upwards": (get("/%2e%2e/%2e%2e/etc/passwd"), 404),
    "a path with a zero": (get("/%00"), 404),
    "a path that is no UTF-8": (get("/%ff"), 404),
    "get where post is meant": (get("/classify"), 405),
    "post where get is meant": (form("/health"), 405),
    "post to the page": (form("/index.html"), 405),
    "delete": (get("/gallery").replace(b"GET", b"DELETE", 1), 405),
    "trace": (get("/gallery").replace(b"GET", b"TRACE", 1), 405),
    # The kind of its body
    "no content type": (post("/classify", FILE + END, kind=""), 415),
    "JSON": (post("/classify", b"{}", kind="Content-Type: application/json"), 415),
    "the image itself": (post("/classify", IMAGE, kind="Content-Type: image/png"), 415),
    "an odd content type": (post("/classify", FILE, kind="Content-Type: ;;;=\xff"), 415),
    "no boundary": (post("/classify", FILE, kind="Content-Type: multipart/form-data"), 400),
    "an empty boundary": (post("/classify", FILE, kind=KIND[:-1]), 400),
    "another boundary": (post("/classify", FILE + END, kind=KIND + "c"), 400),
    "a long boundary": (post("/classify", FILE + END, kind=KIND + "c" * 999), 400),
    "a form without files": (
        post("/classify", b"k=1", kind="Content-Type: application/x-www-form-urlencoded"),
        422,
    ),
    # Its parts
    "no body": (post("/classify", b""), 400),
    "an empty form": (form("/classify"), 422),
    "no end": (post("/classify", FILE), 400),
    "cut off in a file": (post("/classify", FILE[:-20]), 400),
    "cut off in a header": (post("/classify", FILE[:20]), 400),
    "cut off in the boundary": (post("/classify", FILE + END[:3]), 400),
    "no name": (form("/classify", FILE.replace(b'name="images"; ', b"")), 400),
    "no disposition": (form("/classify", FILE.replace(b"Disposition", b"Nothing")), 400),
    "a header of a part with a bad name": (
        form("/classify", part("images", IMAGE, "a.png", "a b: c")),
        400,
    ),
    "long headers of a part": (
        form("/classify", part("images", IMAGE, "a.png", "a: " + "b" * 10**5)),
        400,
    ),
    "many headers of a part": (
        form("/classify", part("images", IMAGE, "a.png", *["a: b"] * 100)),
        400,
    ),
    "bare line feeds": (post("/classify", (FILE + END).replace(b"\r\n", b"\n")), 400),
    "too many files": (form("/classify", *[part("images", b"", "a")] * 101), 413),
    "too many fields": (form("/classify", *[part("a", "")] * 30), 413),
    "a long field": (field("/classify", "k", "1" * (FIELD_BYTES + 1)), 413),
    "too long": (image(bytes(2**20)), 413),
    "too long in chunks": (chunked(FILE, *[bytes(2**16)] * 20, END), 413),
    "a length that is too long": (post("/classify", b"", kind="Content-Length: 9999999999"), 400),
    # Its files
    "a file in another field": (form("/classify", part("image", IMAGE, "a.png")), 422),
    "text in the place of a file": (form("/classify", part("images", "a.png")), 422),
    "an empty file": (image(b""), 422),
    "an empty file without a name": (image(b"", ""), 422),
    "text": (image(b"no picture"), 422),
    "zeros": (image(bytes(999)), 422),
    "a vector drawing": (image(SVG), 422),
    "a page": (image(b"<!doctype html><html></html>"), 422),
    "a script": (image(b"#!/bin/sh\necho"), 422),
    "PostScript": (image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 422),
    "PDF": (image(b"%PDF-1.7\n"), 422),
    "half a picture": (image(IMAGE[: len(IMAGE) // 2]), 422),
    "a picture's first bytes": (image(IMAGE[:8]), 422),
    "a damaged picture": (image(IMAGE[:40] + b"\xff" * 20 + IMAGE[60:]), 422),
    "a picture of too many pixels": (
        image(IMAGE[:16] + (20_000).to_bytes(4, "big") * 2 + IMAGE[24:]),
        422,
    ),
    "an absurd picture": (image(IMAGE[:16] + b"\x7f\xff\xff\xff" * 2 + IMAGE[24:]), 422),
    "a picture of no size": (image(IMAGE[:16] + bytes(8) + IMAGE[24:]), 422),
    "a name that goes upwards": (image(b"", "../../etc/passwd"), 422),
    "a name of another script": (image(b"", "обезьяна 猿.png"), 422),
    "a name with quotes": (image(b"", 'a\\"b.png'), 422),
    "a long name": (image(b"", "a" * 3000), 422),
    "one bad of three": (form("/classify", FILE, part("images", SVG, "b.svg"), FILE), 422),
    # Its fields
    "k of no number": (field("/classify", "k", "many"), 422),
    "k of nothing": (field("/classify", "k", ""), 422),
    "k of zero": (field("/classify", "k", "0"), 422),
    "a negative k": (field("/search", "k", "-3"), 422),
    "a broken k": (field("/search", "k", "2.5"), 422),
    "k beyond all rows": (field("/search", "k", "1000000"), 422),
    "k beyond all numbers": (field("/search", "k", "9" * 5000), 422),
    "k that is infinite": (field("/search", "k", "inf"), 422),
    "k twice": (form("/search", FILE, part("k", "1"), part("k", "2")), 422),
    "k that is no UTF-8": (form("/search", FILE, part("k", b"\xff")), 422),
    "k as a file": (form("/search", FILE, part("k", "1", "k.txt")), 422),
    "exact of neither": (field("/classify", "exact", "perhaps"), 422),
    "an unknown field": (field("/classify", "kk", "1"), 422),
    "a field without a name": (field("/classify", "", "1"), 422),
    "one image to verify": (form("/verify", FILE), 422),
    "three images to verify": (form("/verify", FILE * 3), 413),
    "a label of nobody": (field("/verify", "label", "nobody"), 422),
    "a label that is no UTF-8": (form("/verify", FILE, part("label", b"\xff")), 422),
    "a label and a rate": (form("/verify", FILE, part("label", "3"), part("far", "0.1")), 422),
    "far of no number": (field("/verify", "far", "low", 2), 422),
    "far of one": (field("/verify", "far", "1", 2), 422),
    "a negative far": (field("/verify", "far", "-0.1", 2), 422),
    "far that is not a number": (field("/verify", "far", "nan", 2), 422),
    # Writing
    "no token": (field("/enroll", "label", "a"), 401),
    "a wrong token": (post("/remove", b"", MAY + "x"), 401),
    "a token of another kind": (post("/remove", b"", MAY.replace("Bearer", "Basic")), 401),
    "a token that is no ASCII": (post("/remove", b"", "Authorization: Bearer é"), 401),
    "no label": (post("/enroll", FILE + END, MAY), 422),
    "an empty label": (post("/enroll", FILE + part("label", "") + END, MAY), 422),
    "a label of two lines": (post("/enroll", FILE + part("label", "a\nb") + END, MAY), 422),
    "nothing to remove": (post("/remove", END, MAY), 422),
    "images to remove": (post("/remove", FILE + END, MAY), 413),
    "a number of no row": (post("/remove", part("number", "9" * 30) + END, MAY), 422),
}


def exchange(server: Server, request: bytes) -> tuple[int, str]:
    """Send bytes; return the status and the sentence of the one answer."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        # It may answer before all was sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        answer = one_answer(connection)
    status = int(answer.split(b" ", 2)[1])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    detail = json.loads(body)
    assert set(detail) == {"detail"}
    return status, detail["detail"]


def one_answer(connection: socket.socket) -> bytes:
    """Read one answer, whose length its head says."""
    answer = b""
    while True:
        head, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if found and length and len(body) >= int(length[1]):
            return answer[: len(head) + 4 + int(length[1])]
        chunk = connection.recv(2**16)
        assert chunk, f"closed after {answer!r}"
        answer += chunk


def test_it_says_where_it_answers_and_whether_it_writes(server: Server) -> None:
    lines = server.log.read_text().splitlines()
    assert lines == [
        "network: resnet9, 16 x 16 pixels",
        f"{server.url} answers from data/gallery; writing needs the token in SIAMESE_TOKEN",
    ]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_request_gets_one_sentence(server: Server, place: Path, name: str) -> None:
    request, expected = ODD[name]
    status, sentence = exchange(server, request)
    assert (status, "\n" in sentence) == (expected, False), sentence
    assert 10 < len(sentence) < 300
    assert str(place) not in sentence
    assert "Traceback" not in sentence


def test_after_all_of_them_it_answers_as_before(server: Server) -> None:
    assert len(ODD) >= 100
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        [answer] = client.post("/classify", files={"images": ("a.png", IMAGE)}).json()
    assert len(answer["neighbours"]) == 20
    assert "Traceback" not in server.log.read_text()


def test_a_port_that_is_taken_is_said_in_one_sentence(server: Server, place: Path) -> None:
    port = str(urlsplit(server.url).port)
    done = subprocess.run(
        [sys.executable, "-m", "siamese.cli.main", "serve", "--port", port],
        cwd=place,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"port {port}: address already in use" in done.stderr


def test_no_part_of_an_answer_waits_until_the_client_has_confirmed_another() -> None:
    with listen(Settings(port=0)) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_asked_to_end_it_finishes_what_has_begun_and_takes_nothing_new(server: Server) -> None:
    address = urlsplit(server.url)
    begun = [
        socket.create_connection((address.hostname, address.port), timeout=60) for _ in range(3)
    ]
    request = form("/classify", FILE)
    for connection in begun:
        connection.sendall(request[:-30])
    with httpx.Client(base_url=server.url) as client:  # so these have all been read
        assert client.get("/health").status_code == 200
    server.process.send_signal(signal.SIGTERM)
    while True:
        try:
            socket.create_connection((address.hostname, address.port), timeout=60).close()
        except ConnectionRefusedError:
            break
    assert server.process.poll() is None
    for connection in begun:
        connection.sendall(request[-30:])
    for connection in begun:
        with connection:
            answer = one_answer(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])[0]["file"] == "a.png"
    assert server.process.wait(60) == 0
