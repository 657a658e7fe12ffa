"""Running the application: its socket, what it prints, and how it ends."""

import logging
import os
import signal
import socket

import uvicorn
from fastapi import FastAPI

from siamese.base.errors import InputError, explained
from siamese.service.protection import ANY
from siamese.service.protocol import Protocol
from siamese.service.settings import Settings

# Beyond the time limit of a request, for what has begun to end.
GRACE = 5
# Of an answer that the system holds until the client takes them.
SEND_BYTES = 2**18


def serve(app: FastAPI, settings: Settings, listener: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT; then finish what has begun, and return."""
    logging.basicConfig(format="siamese: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(settings.timeout) + GRACE,
    )
    # uvicorn raises them again at its end, when all is done that was asked.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _Server(config, _ready(listener, settings)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.ready, flush=True)


def listen(settings: Settings) -> socket.socket:
    """Take the address that others will ask at; they wait until there is an answer.

    Raises:
        InputError: it cannot be had, because another process has it, say.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        address = (settings.host, settings.port)
        listener = socket.create_server(address, family=family, backlog=1024)
        # Its connections inherit this. asyncio sets it only on sockets that it has made itself, and
        # without it the second part of an answer waits 40 ms for the client to confirm the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The system would take megabytes of an answer, and from a slow client no progress be seen.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        return listener
    except (OSError, OverflowError, UnicodeError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno is not None:
            # Python's own text repeats the address; of a name that nobody knows it has no number.
            known = os.strerror(error.errno) if error.errno > 0 else error.strerror
            reason = explained(OSError(error.errno, known))
        raise InputError(
            f"{settings.host}, port {settings.port}: {reason}; choose others (`--host`, `--port`)"
        ) from None


def _ready(listener: socket.socket, settings: Settings) -> str:
    """Return the line that tells where the service answers, and whether it writes."""
    loopback = "::1" if settings.host == "::" else "127.0.0.1"
    host = loopback if settings.host in ANY else settings.host
    address = f"[{host}]" if ":" in host else host
    writing = (
        "writing needs the token in SIAMESE_TOKEN"
        if settings.token is not None
        else "no writing: SIAMESE_TOKEN is not set"
    )
    return (
        f"http://{address}:{listener.getsockname()[1]} answers from {settings.gallery}; {writing}"
    )
