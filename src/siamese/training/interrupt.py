"""Ctrl-C and SIGTERM, acted on where the work can stop without losing any of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Listener:
    """Remembers a request to end.

    Attributes:
        heard: the signal that came, None so far.
    """

    heard: signal.Signals | None = None


@contextmanager
def listening() -> Iterator[Listener]:
    """Hold SIGINT and SIGTERM back for as long as the block runs; a second one ends it at once.

    Outside the main thread, where Python allows no handlers, nothing is held back.
    """
    listener = Listener()
    if threading.current_thread() is not threading.main_thread():
        yield listener
        return

    def remember(number: int, frame: FrameType | None) -> None:
        listener.heard = signal.Signals(number)
        restore()

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for name, handler in before.items():
            signal.signal(name, handler)

    for name in before:
        signal.signal(name, remember)
    try:
        yield listener
    finally:
        restore()
