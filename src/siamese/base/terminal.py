"""What is printed reaches the terminal, whatever it can show."""

import io
import sys


def print_any_name() -> None:
    """Let names that the output's encoding lacks be printed, as escapes.

    A file may be called anything, on a system whose terminal knows ASCII alone; and a name that is
    not UTF-8 cannot be printed as text at all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
