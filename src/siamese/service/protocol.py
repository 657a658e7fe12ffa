"""HTTP as uvicorn speaks it, with limits that hold before there is a request."""

import json
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from siamese.service.protection import HEAD_BYTES

# For request line and headers to arrive, from the first byte or the last answer on.
HEAD_SECONDS = 15
# Once the service is to end, a connection without a request stays open that long: a client that
# keeps it open may have sent one.
LINGER_SECONDS = 0.5
# A client that takes nothing of its answer for so long, and up to twice that, gets no more of it.
STALL_SECONDS = 15


class Protocol(HttpToolsProtocol):
    """A connection that is closed if a request does not begin in time, or never ends to begin.

    Also if nobody takes the answer. uvicorn would wait for ever, and keep whatever comes. `HEAD` is
    answered as `GET`, without the body. No other protocol is offered, so `Upgrade` is ignored.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = self._answer
        self._timer: TimerHandle | None = None
        self._watcher: TimerHandle | None = None
        # Bytes that belong to no body, since the last that did: of a head, or of trailers.
        self._n_bytes = 0
        self._is_body_due = False
        self._is_last = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_head()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._unset_keepalive_if_required()
        self._n_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as stopped:
            if self._is_upgrade():
                self._begin_again(data[stopped.args[0] :])
        except HttpParserError:
            self.send_400_response("")
        if self._n_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"address and headers are too long; expected at most {HEAD_BYTES:,} bytes",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; nobody asks for the trailers of a body."""
        if not self._is_body_due:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        if self._is_upgrade():
            return
        self._cancel()
        self._n_bytes = 0
        self._is_body_due = True
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._n_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body; a head may follow in the same data."""
        self._n_bytes = 0
        if self._is_body_due:
            self._is_body_due = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the rest of a body that nobody wanted."""
        super().on_response_complete()
        self._expect_head()

    def shutdown(self) -> None:
        """Answer what has begun, or begins just now, and close."""
        self._watch()
        if self.cycle is None or self.cycle.response_complete:
            self._is_last = True
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(
            HTTPStatus.BAD_REQUEST, "this is no request in HTTP/1.1 that can be understood"
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn goes by its own scope, and sends no body to HEAD.
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.config.loaded_app(scope, receive, send)

    def _is_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _begin_again(self, rest: bytes) -> None:
        """Read a request without its header Upgrade, for which the parser would skip the body."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        # Not in the middle of an answer.
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = json.dumps({"detail": sentence}).encode()
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
                + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()

    def _watch(self, n_before: int = 0) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        n_unsent = self.transport.get_write_buffer_size()
        if n_unsent and n_unsent == n_before:
            # Closed, it would wait until the rest is taken.
            self.transport.abort()
        else:
            self._watcher = self.loop.call_later(STALL_SECONDS, self._watch, n_unsent)

    def _expect_head(self) -> None:
        self._cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        # A request that came with the one before it may be under way.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
