"""The exceptions that do not mean "the code is wrong": wrong input, and a request to end."""

import os
import signal
from pathlib import Path


class InputError(ValueError):
    """A file, a parameter or an argument given by the user cannot be used.

    The message is one sentence or two: what was given, what was expected and what to do. Stages and
    the command line print it without a traceback.

    Attributes:
        met_by_all: each of several processes that train together meets it; only the first says so.
    """

    def __init__(self, message: str, met_by_all: bool = False) -> None:
        super().__init__(message)
        self.met_by_all = met_by_all


def no_such_file(file: Path | str, advice: str) -> InputError:
    """Return the error of a missing file; the advice is the end of the sentence."""
    return InputError(f"{file}: no such file; {advice}")


class Interrupted(Exception):
    """The process was asked to end and has put its work in order.

    Attributes:
        signal: what asked, SIGINT or SIGTERM.
    """

    def __init__(self, signal_number: signal.Signals, message: str) -> None:
        super().__init__(message)
        self.signal = signal_number

    def end_process(self) -> None:
        """End the process as that signal would have: shells and schedulers look for that."""
        signal.signal(self.signal, signal.SIG_DFL)
        os.kill(os.getpid(), self.signal)
