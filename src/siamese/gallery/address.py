"""Where a gallery is: one form of its address, its folder, and the lock that its writers take."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from siamese.base.errors import InputError
from siamese.gallery.text import is_plain

LOCK = ".gallery.lock"
FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/)|(?!//))(/.*)", re.IGNORECASE)
STORE = re.compile(r"([a-z][a-z0-9+.-]*://)(.*)", re.IGNORECASE)


def canonical(address: Path | str) -> str:
    """Return the one form of an address, so that a gallery is the same one however it is named.

    Args:
        address: a folder, also as `~/gallery` or `file:///gallery`, or an object store.

    Returns:
        The absolute path of the folder, without links in it; or the address of the object store,
        without slashes at its end.

    Raises:
        InputError: it is empty, a `file:` URL without an absolute path, or no plain text.
    """
    text = os.fspath(address)
    if url := FILE_URL.fullmatch(text):
        text = unquote(url[1], errors="surrogateescape")
    elif text.lower().startswith("file:"):
        raise InputError(f"{text}: names no folder; expected file:// and an absolute path")
    if not text or not is_plain(text):
        raise InputError(
            f"{text!r} cannot be the address of a gallery; expected a folder, or an object store"
            " such as s3://bucket/gallery, in UTF-8 and without control characters"
        )
    if store := STORE.fullmatch(text):
        return store[1] + store[2].rstrip("/")
    return os.path.realpath(os.path.expanduser(text))  # noqa: PTH111 (a Path of `./~` loses the dot)


def local_folder(address: str) -> Path | None:
    """Return the folder that a canonical address names, or None for an object store."""
    return None if STORE.fullmatch(address) else Path(address)


@contextmanager
def writing(address: Path | str, patience: float | None = None) -> Iterator[None]:
    """Let one process at a time change the gallery in a local folder; others wait.

    On an object store nothing is locked, and this does nothing. Lance orders the commits there, so
    enrolling from several machines loses nothing. But what is enrolled while a build runs is lost
    with the old gallery, and an image that two machines enrol at the same instant may come twice.

    Args:
        address: of the gallery.
        patience: seconds to wait for others; without it, as long as they take.

    Raises:
        InputError: the folder cannot be made, nothing can be written there, or others take longer.
    """
    folder = local_folder(canonical(address))
    if folder is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(-1 if patience is None else patience)
    except Timeout:
        raise InputError(
            f"{folder}: another process is changing the gallery; try again when it has finished"
        ) from None
    except OSError as error:
        raise InputError(
            f"{folder}: the gallery cannot be written to ({error.strerror or error}); expected a"
            " folder that you may change"
        ) from None
    try:
        yield
    finally:
        lock.release()
