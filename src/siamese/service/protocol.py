"""HTTP as uvicorn speaks it, with limits that hold before there is a request."""

import json
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from siamese.service.protection import HEAD_BYTES

# For request line and headers to arrive, from the first byte or the last answer on.
HEAD_SECONDS = 15
# Once the service is to end, a connection without a request stays open that long: a client that
# keeps it open may have sent one.
LINGER_SECONDS = 0.5


class Protocol(HttpToolsProtocol):
    """A connection that is closed if a request does not begin in time, or never ends to begin.

    uvicorn would wait for ever, and keep whatever comes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: TimerHandle | None = None
        # Bytes of a head that has begun; None while a body is due.
        self._head: int | None = 0
        self._is_last = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"address and headers are too long; expected at most {HEAD_BYTES:,} bytes",
            )

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._cancel()
        self._head = None
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End the body; a head may follow in the same data."""
        self._head = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the rest of a body that nobody wanted."""
        super().on_response_complete()
        self._expect_head()

    def shutdown(self) -> None:
        """Answer what has begun, or begins just now, and close."""
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

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        body = json.dumps({"detail": sentence}).encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()

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
