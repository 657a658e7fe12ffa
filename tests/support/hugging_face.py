"""Hugging Face's two addresses, on a real HTTP server on this machine."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class HuggingFace:
    """Repositories, each with all its commits; the faults are those that a test wants.

    Attributes:
        url: what HF_ENDPOINT must be.
        commits: the files of each commit, by repository and commit; the newest comes last.
        cards: what a repository's API says beside its files.
        break_after: bytes after which a transfer breaks, for one request each.
        requests: the path of each, and from which byte it asks.
    """

    url: str = ""
    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)

    def put(self, name: str, files: dict[str, bytes], **card: Any) -> str:
        """Commit files to a repository; return the commit."""
        commit = hashlib.sha1(b"".join(files.values())).hexdigest()
        self.commits.setdefault(name, {})[commit] = files
        self.cards[name] = card
        return commit

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(name, {})
        commit = [*commits][-1] if commits and revision == "main" else revision
        return (commit, commits[commit]) if commit in commits else None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        self.requests.append((path, int(asked[1]) if asked else 0))
        if api := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            found = self._files(api[1], api[2] or "main")
            if found is None:  # so it says of what does not exist, too
                _send(handler, 401, b'{"error":"Invalid username or password."}')
            else:
                _send(handler, 200, json.dumps(self._described(api[1], *found)).encode())
        elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(.+)/([^/]+)", path):
            found = self._files(file[1], file[2])
            if found is None or file[3] not in found[1]:
                _send(handler, 404, b"Entry not found")
            else:  # the bytes are elsewhere
                handler.send_response(302)
                handler.send_header("Location", f"{self.url}/cdn/{file[1]}/{found[0]}/{file[3]}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
        elif stored := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([^/]+)/([^/]+)", path):
            content = self.commits[stored[1]][stored[2]][stored[3]]
            limit = self.break_after.pop(0) if self.break_after else None
            _send_part(handler, content, int(asked[1]) if asked else None, limit)
        else:
            _send(handler, 404, b"<!doctype html><html>Not found</html>")

    def _described(self, name: str, commit: str, files: dict[str, bytes]) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for file, content in files.items():
            siblings.append({"rfilename": file, "size": len(content), "blobId": "0" * 40})
            if file.endswith(".safetensors"):
                digest = hashlib.sha256(content).hexdigest()
                stored = {"sha256": digest, "size": len(content), "pointerSize": 134}
                siblings[-1]["lfs"] = stored
        return {"id": name, "sha": commit, "siblings": siblings, **self.cards[name]}


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _send_part(
    handler: BaseHTTPRequestHandler, content: bytes, start: int | None, limit: int | None
) -> None:
    """Send a file from `start` on; with a limit, break off after so many bytes."""
    body = content[start or 0 :]
    handler.send_response(200 if start is None else 206)
    handler.send_header("Content-Length", str(len(body)))
    if start is not None:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.send_header("Content-Range", span)
    handler.end_headers()
    with suppress(OSError):  # the client may have gone
        handler.wfile.write(body[:limit])
    handler.close_connection = True


@contextmanager
def hugging_face() -> Iterator[HuggingFace]:
    """Run a server without repositories."""
    hub = HuggingFace()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
