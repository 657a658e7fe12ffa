import hashlib
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from siamese.base.errors import InputError
from siamese.sources import fetch as module
from siamese.sources.fetch import fetch

CONTENT = random.Random(0).randbytes(300_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE = Path(module.__file__).parents[2]
CHUNK = module.CHUNK


@dataclass
class Request:
    start: int  # as the client asked
    status: int
    sent: int = 0  # bytes of the body that were given to the network


@dataclass
class Server:
    """One file on a real HTTP server on this machine, with the faults that a test wants."""

    content: bytes = CONTENT
    ranges: bool = True
    shift: int = 0  # bytes by which the part that is sent misses the part that was asked for
    status: int = 200  # anything else is sent without content
    tells_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)  # bytes, for one request each
    before_break: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = (
            re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) if self.ranges else None
        )
        start = int(asked[1]) if asked else 0
        status = self.status if self.status != 200 else 206 if asked else 200
        if asked and start >= len(self.content):
            status = 416
        if asked:
            start += self.shift
        request = Request(start, status)
        self.requests.append(request)
        handler.send_response(status)
        body = self.content[start:] if status in (200, 206) else b""
        if self.tells_length:
            handler.send_header("Content-Length", str(len(body)))
        if status == 206:
            span = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", span)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        breaks = bool(self.break_after) and bool(body)
        body = body[: self.break_after.pop(0)] if breaks else body
        try:
            for at in range(0, len(body), 10_000):
                chunk = body[at : at + 10_000]
                request.sent += len(chunk)  # before: the client may be done before the next line
                handler.wfile.write(chunk)
            if breaks:
                self.before_break()
        except OSError:
            pass  # the client has gone
        handler.close_connection = True


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[ThreadingHTTPServer] = []

    def start(**faults: object) -> Server:
        server = Server(**faults)  # type: ignore[arg-type]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(http)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        server.url = f"http://127.0.0.1:{http.server_port}/archive"
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "CHUNK", 1000)  # what breaks off arrives in whole chunks here
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "archive.tar.gz"


@pytest.fixture
def partial(target: Path) -> Path:
    target.parent.mkdir()
    return target.with_name(f".{target.name}.partial")


def get(target: Path, *servers: Server | str | Path) -> Path:
    urls = [server.url if isinstance(server, Server) else str(server) for server in servers]
    return fetch(urls, target, SIZE, SHA256, "Advice.")


def check_complete(target: Path, content: bytes = CONTENT) -> None:
    """The right file is there, and nothing else."""
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def wait_for_bytes(file: Path) -> Callable[[], None]:
    """Hold a connection open until the client has stored something of what it received."""

    def wait() -> None:
        deadline = time.monotonic() + 10
        while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)

    return wait


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"tells_length": False},
        {"headers": {"Content-Encoding": "gzip"}},  # not to be unpacked on the way
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_whole_file_is_fetched_once(
    faults: dict, is_known: bool, serve: Callable[..., Server], target: Path
) -> None:
    server = serve(**faults)
    for _ in range(2):
        assert (get(target, server) if is_known else fetch([server.url], target)) == target
        check_complete(target)
    assert server.requests == [Request(0, 200, SIZE)]


def test_a_wrong_file_in_its_place_is_replaced_by_a_right_one_alone(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"4 bytes, expected 300,000"):
        get(target, "/no/such/file")
    assert target.read_bytes() == b"mine"
    target.write_bytes(CONTENT[:-1] + b"?")
    get(target, serve())
    check_complete(target)


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_broken_transfer_continues_where_it_stopped(
    tells_length: bool, serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    wait = wait_for_bytes(partial)
    server = serve(tells_length=tells_length, break_after=[100_000], before_break=wait)
    get(target, server)
    check_complete(target)
    first, second = server.requests
    assert first == Request(0, 200, 100_000)
    assert 0 < second.start <= 100_000
    assert second == Request(second.start, 206, SIZE - second.start)  # the rest only


def test_a_server_without_ranges_sends_all_again(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    server = serve(ranges=False, break_after=[100_000], before_break=wait_for_bytes(partial))
    get(target, server)
    check_complete(target)
    assert server.requests == [Request(0, 200, 100_000), Request(0, 200, SIZE)]


def test_what_arrived_is_kept_for_the_next_run_after_too_many_breaks(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    server = serve(break_after=[50_000] * module.TRIES, before_break=wait_for_bytes(partial))
    with pytest.raises(InputError, match=re.escape(server.url)):
        get(target, server)
    assert len(server.requests) == module.TRIES
    assert not target.exists()
    kept = partial.stat().st_size
    assert partial.read_bytes() == CONTENT[:kept]
    get(target, server)
    check_complete(target)
    assert server.requests[-1] == Request(kept, 206, SIZE - kept)


def test_what_a_killed_process_fetched_is_kept(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    hold = threading.Event()
    server = serve(break_after=[3 * CHUNK], before_break=lambda: hold.wait(20) and None)
    code = (
        "import sys; from pathlib import Path; from siamese.sources.fetch import fetch;"
        f"fetch([{server.url!r}], Path({str(target)!r}), {SIZE}, {SHA256!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCE)}
    )
    try:
        deadline = time.monotonic() + 20
        while not (partial.exists() and partial.stat().st_size >= 3 * CHUNK):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
        hold.set()
    assert not target.exists()
    get(target, server)
    check_complete(target)
    assert server.requests[-1] == Request(3 * CHUNK, 206, SIZE - 3 * CHUNK)


def test_a_complete_partial_file_needs_no_transfer(target: Path, partial: Path) -> None:
    partial.write_bytes(CONTENT)
    get(target, "/no/such/file")
    check_complete(target)


@pytest.mark.parametrize("wrong", [b"?" * 1000, b"?" * SIZE, b"?" * (SIZE + 1)])
def test_a_partial_file_with_other_bytes_is_given_up(
    wrong: bytes, serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    partial.write_bytes(wrong)
    get(target, serve())
    check_complete(target)


@pytest.mark.parametrize("faults", [{"status": 404}, {"content": CONTENT[::-1]}])
def test_after_a_file_that_is_missing_or_wrong_it_is_the_next_urls_turn(
    faults: dict, serve: Callable[..., Server], target: Path
) -> None:
    wrong, right = serve(**faults), serve()
    get(target, wrong, right)
    check_complete(target)
    assert len(wrong.requests) == 1
    assert right.requests == [Request(0, 200, SIZE)]


def test_another_size_is_refused_before_the_transfer(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    partial.write_bytes(CONTENT[:1000])
    wrong, right = serve(content=CONTENT * 2), serve()
    with pytest.raises(InputError, match="offers 600,000 bytes, expected 300,000"):
        get(target, wrong)
    get(target, wrong, right)
    check_complete(target)
    assert right.requests == [Request(1000, 206, SIZE - 1000)]


def test_when_all_fail_each_is_named_with_its_reason(
    serve: Callable[..., Server], target: Path
) -> None:
    missing, busy, wrong = serve(status=404), serve(status=503), serve(content=CONTENT[::-1])
    nowhere = "http://127.0.0.1:9/archive"
    with pytest.raises(InputError) as caught:
        get(target, missing, busy, wrong, nowhere, "odd://x/y")
    first, *reasons, last = str(caught.value).splitlines()
    assert first == f"{target} could not be fetched:"
    assert reasons[0] == f"  {missing.url}: there is no such file"
    assert reasons[1] == f"  {busy.url}: the server answers 503 Service Unavailable"
    assert reasons[2].startswith(f"  {wrong.url}: SHA-256 ")
    assert reasons[2].endswith(f", expected {SHA256}")
    assert reasons[3].startswith(f"  {nowhere}: no connection: [Errno ")
    assert reasons[4] == "  odd://x/y: expected a path, or a URL of http, https or file, not of odd"
    assert len(reasons) == 5
    assert last == "Advice."
    assert list(target.parent.iterdir()) == []


def test_without_a_network_it_does_not_try_again(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def pause(_: float) -> None:
        pytest.fail("a server that cannot be reached is asked once")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr("siamese.sources.fetch.time.sleep", pause)
    with pytest.raises(InputError, match=r"no connection: .*Name or service not known"):
        get(target, "http://127.0.0.1:9/archive", "http://no-such-host.invalid/archive")


def test_a_silent_server_is_given_up(
    serve: Callable[..., Server], target: Path, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.2)
    hold = threading.Event()
    server = serve(break_after=[10_000] * 9, before_break=lambda: hold.wait(10) and None)
    with pytest.raises(InputError, match="the server does not answer"):
        get(target, server)
    hold.set()
    assert len(server.requests) == module.TRIES


def test_an_endless_answer_is_cut_off(serve: Callable[..., Server], target: Path) -> None:
    server = serve(content=CONTENT * 100, tells_length=False)
    with pytest.raises(InputError, match=r"bytes, expected 300,000"):
        get(target, server)
    assert server.requests[0].sent < 100 * SIZE
    assert list(target.parent.iterdir()) == []


def test_a_proxy_of_the_environment_is_asked(
    serve: Callable[..., Server], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve()
    monkeypatch.setenv("http_proxy", proxy.url)
    get(target, "http://elsewhere.invalid/archive")
    check_complete(target)
    assert len(proxy.requests) == 1


def test_a_truncated_transfer_is_noticed_without_a_checksum(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    server = serve(break_after=[1000] * 9, before_break=wait_for_bytes(partial))
    with pytest.raises(InputError):
        fetch([server.url], target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("there", "faults", "statuses"),
    [
        (CONTENT[:1000], {"shift": 10}, [206, 200]),  # another part than the one asked for
        (b"?" * (SIZE + 5), {}, [416, 200]),  # longer than what the server has now
    ],
)
def test_a_part_that_does_not_fit_is_not_appended(
    there: bytes,
    faults: dict,
    statuses: list[int],
    serve: Callable[..., Server],
    target: Path,
    partial: Path,
) -> None:
    partial.write_bytes(there)
    server = serve(**faults)
    fetch([server.url], target)  # without a checksum, which would notice it
    check_complete(target)
    assert [request.status for request in server.requests] == statuses


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_files_continue_too(prefix: str, target: Path, partial: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    partial.write_bytes(CONTENT[:1000])
    get(target, f"{prefix}{source}")
    check_complete(target)


def test_a_disk_that_takes_no_more_is_no_fault_of_the_url(
    serve: Callable[..., Server], target: Path, partial: Path
) -> None:
    server = serve()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match=r"partial: cannot be written: File too large"):
            get(target, server, server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(server.requests) == 1
