"""LanceDB's own errors, turned into one sentence at the places where it is called."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from siamese.base.errors import InputError

# What LanceDB raises for a file that is missing, damaged, forbidden or too large for the disk.
LANCE_ERRORS = (OSError, RuntimeError, ValueError)
# Of an object store's answer, which it repeats with all that is around it, this is the point.
STORE_ANSWER = re.compile(r"<Message>(.+?)</Message>")
LONGEST = 300
# It ends its messages with a line of its own code.
ORIGIN = re.compile(r",? ?\S+\.rs:\d+(:\d+)?")


class Unreadable(InputError):
    """LanceDB cannot read the gallery, or not in the version that was opened."""


@contextmanager
def reading(address: str) -> Iterator[None]:
    """Call LanceDB to read.

    Raises:
        Unreadable: it has failed.
    """
    try:
        yield
    except InputError:
        raise
    except LANCE_ERRORS as error:
        raise Unreadable(
            f"{address}: the gallery cannot be read ({cause(error)}); if it is damaged, move it"
            " away and run `siamese gallery build`"
        ) from None


@contextmanager
def changing(address: str) -> Iterator[None]:
    """Call LanceDB to change the table, which it does in one commit or not at all.

    Raises:
        InputError: it has failed.
    """
    try:
        yield
    except InputError:
        raise
    except LANCE_ERRORS as error:
        raise InputError(
            f"{address}: the gallery cannot be changed ({cause(error)}); it is as it was"
        ) from None


def cause(error: Exception) -> str:
    """Return what LanceDB says, on one short line, without the place in its code."""
    text = " ".join(str(error).split())
    if answer := STORE_ANSWER.search(text):
        return answer[1]
    text = ORIGIN.sub("", text).removeprefix("lance error: ")
    return shorten(text, LONGEST) or type(error).__name__
