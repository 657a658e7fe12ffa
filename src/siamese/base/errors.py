"""What can go wrong without the code being wrong: the input, the system, a request to end."""

import errno
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


# What to do about it, by the system's number of the error.
_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "make room for it, and run this again: what was complete before is kept",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "this user needs the permission, or another place for it"
    ),
    errno.EROFS: "it needs another place",
    errno.EMFILE: "raise the limit of open files, `ulimit -n 4096`",
}


def explained(error: OSError | MemoryError) -> str:
    """Return one sentence on what the system refused, and what to do, for a message."""
    if isinstance(error, MemoryError):
        return "this takes more memory than there is"
    # The error of a whole disk, for one, names no file.
    place = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    reason = " ".join((error.strerror or str(error) or "the system gave no reason").split())
    # NumPy, for one, says no more of a full disk than how many values it has written.
    advice = "is the disk full?" if error.errno is None else _ADVICE.get(error.errno)
    return f"{place}{reason[:1].lower()}{reason[1:]}{f'; {advice}' if advice else ''}"


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
