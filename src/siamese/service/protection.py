"""Who may ask at all, and how much at once: checked before a route sees the request.

- A browser sends the name of the host it believes to talk to. If a foreign name was made to point
  to this machine (DNS rebinding), that name gives it away, and the request is refused.
- Other sites' pages may not ask: a request that a browser marks as theirs is refused, except for a
  link that somebody follows. No header lets them read an answer.
- Bodies are counted while they arrive, each and all together; requests have a time limit, and only
  so many are worked on at once.
- Every answer tells browsers to take nothing from elsewhere and to guess no content type.
"""

import asyncio
import ipaddress
import socket
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siamese.service.errors import BROKEN, Refused
from siamese.service.settings import Settings

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ANY = {"", "0.0.0.0", "::"}
# Of request line and headers.
HEAD_BYTES = 2**15
# Bodies that are in memory at once, in units of the longest.
BODIES = 8
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Protection:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.hosts = _hosts(settings)
        self.most_bytes = BODIES * settings.request_bytes
        self.n_working = 0
        self.n_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or answer as the application does."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def protected(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        failure: Exception | None = None
        try:
            self._check(scope)
            await self._within_limits(scope, receive, protected)
            return
        except Refused as error:
            refusal = error
        except ClientDisconnect:
            return
        except Exception as error:
            failure, refusal = error, Refused(HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN)
        if not has_started:
            await refusal.response()(scope, receive, protected)
        if failure is not None:
            raise failure  # for the log

    def _check(self, scope: Scope) -> None:
        """Look at the head of a request.

        Raises:
            Refused: it is too long, or asks in the name of another site.
        """
        size = len(scope["raw_path"]) + len(scope["query_string"])
        # A line of the head has a colon, a space and its end besides.
        size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > HEAD_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"address and headers are too long; expected at most {HEAD_BYTES:,} bytes",
            )
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this service does not answer under the name in the header Host; started with"
                " `--allow-host NAME`, it does",
            )
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        is_link = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        if (origin is not None and origin.rpartition("://")[2] != host) or (
            site not in ("none", "same-origin") and not is_link
        ):
            raise Refused(HTTPStatus.FORBIDDEN, "pages of other sites get no answer")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.settings.request_bytes:
            raise self._too_long()

    def _is_ours(self, host: str) -> bool:
        """Tell whether a header Host names this service; the port does not matter."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        if self.settings.host not in ANY:
            return False
        # Of all addresses of this machine, whichever is asked: a number was made up by nobody.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer.

        Raises:
            Refused: the body is too long, there is too much to do, or it takes too long.
        """
        has_body = scope["method"] not in ("GET", "HEAD")
        if has_body and self.n_working >= self.settings.queue:
            raise _busy()
        n_received, is_received = 0, not has_body

        async def counted() -> Message:
            nonlocal n_received, is_received
            message = await receive()
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                n_received += size
                self.n_bytes += size
                is_received = not message.get("more_body", False)
                if n_received > self.settings.request_bytes:
                    raise self._too_long()
                if self.n_bytes > self.most_bytes:
                    raise _busy()
            return message

        self.n_working += has_body
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self.app(scope, counted, send)
        except TimeoutError:
            seconds = f"{self.settings.timeout:g} seconds"
            raise (
                Refused(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {seconds}; ask again")
                if is_received
                else Refused(
                    HTTPStatus.REQUEST_TIMEOUT, f"the request did not arrive within {seconds}"
                )
            ) from None
        finally:
            self.n_working -= has_body
            self.n_bytes -= n_received

    def _too_long(self) -> Refused:
        return Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request is too long; expected at most {self.settings.request_bytes:,} bytes, all"
            " its files together",
        )


def _hosts(settings: Settings) -> set[str]:
    """Return the names, in lower case, by which a browser may call the service."""
    names = LOOPBACK | {name.lower() for name in settings.allowed_hosts}
    return names | {(socket.gethostname() if settings.host in ANY else settings.host).lower()}


def _busy() -> Refused:
    return Refused(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the service has too much to do; ask again in a second",
        {"Retry-After": "1"},
    )
