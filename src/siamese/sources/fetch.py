"""Fetching one large file: from the first URL that delivers it, resumed after a break, verified.

A URL is http, https or file, or simply a path. What is missing of a file is asked for by a `Range`
header.
"""

import functools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ReadTimeoutError

from siamese.base import files
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar

TRIES = 3  # times that one URL's transfer is started before the next URL's turn
PAUSE_SECONDS = 1.0  # between two of them
CONNECT_SECONDS = 10  # a machine without a network is told so, instead of waiting for minutes
STALL_SECONDS = 60  # silence after which a connection counts as broken
CHUNK = 1 << 16  # bytes; at a break, what has arrived of one is lost


# A function that returns at most that many bytes, none at the end of the file; where in the file it
# begins; and the whole file's bytes, where the server says.
_Stream = tuple[Callable[[int], bytes], int, int | None]


class _UnusableError(Exception):
    """This URL cannot deliver the file; the message says why, and the next URL gets its turn."""


def fetch(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    advice: str = "",
) -> Path:
    """Bring a file to `target`, unless the right one is there already.

    What has arrived is kept in a partial file beside `target` until it is complete and verified,
    and is then put in place in one rename. After a broken connection or a killed run the transfer
    continues where it stopped; a server that cannot do that sends all again.

    Args:
        urls: places that all hold the same file, tried in this order.
        target: where the file goes. One that is there already is used without any transfer if it
            has the right size and checksum, and is replaced if it has not.
        size: the file's bytes, if known.
        sha256: its checksum, 64 lower-case hexadecimal digits, if known. Without it `target` must
            belong to these URLs alone, since a partial file is then taken on trust.
        advice: what else the user can do, as sentences, for the message when nothing works.

    Returns:
        `target`.

    Raises:
        InputError: no URL delivered the file; the message lists each with its reason. Or the disk
            refused to take it.
    """
    faults = []
    if target.is_file():
        fault = _fault(target, size, sha256)
        if fault is None:
            return target
        faults.append(f"  {target}: {fault}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    for url in urls:
        try:
            _fetch_one(url, partial, size, sha256)
        except _UnusableError as error:
            faults.append(f"  {url}: {error}")
        else:
            partial.replace(target)
            return target
    raise InputError("\n".join([f"{target} could not be fetched:", *faults, advice]).rstrip())


def _fetch_one(url: str, partial: Path, size: int | None, sha256: str | None) -> None:
    """Complete and verify the partial file from one URL; a wrong one is deleted."""
    while True:
        inherited = partial.exists()
        _transfer(url, partial, size)
        fault = _fault(partial, size, sha256)
        if fault is None:
            return
        partial.unlink()
        if not inherited:
            raise _UnusableError(fault)
        # The fault may lie in the bytes that were there before: once more, from the start.


def _transfer(url: str, partial: Path, size: int | None) -> None:
    """Append what is missing; after a break, continue where it stopped."""
    connected = False
    for tries_left in reversed(range(TRIES)):
        offset = partial.stat().st_size if partial.exists() else 0
        if size is not None and offset >= size:
            return
        try:
            with _opened(url, offset) as stream:
                connected = True
                _append(*stream, partial, size)
            return
        except (requests.RequestException, HTTPError, OSError) as error:
            # A URL that never answered is not asked again: offline should fail at once.
            if not connected or tries_left == 0:
                raise _UnusableError(reason(error)) from error
            tqdm.write(f"{url}: {reason(error)}; continuing where it stopped")
        time.sleep(PAUSE_SECONDS)


def _append(
    read: Callable[[int], bytes], start: int, total: int | None, partial: Path, size: int | None
) -> None:
    total = size if total is None else total
    if size is not None and total != size:
        raise _UnusableError(f"it offers {total:,} bytes, expected {size:,}")
    label = partial.name.removeprefix(".").removesuffix(".partial")
    position = start
    try:
        file = partial.open("ab", buffering=0)  # or closing it would fail once more
        file.truncate(position)
    except OSError as error:
        raise InputError(f"{partial}: cannot be written: {error.strerror}") from None
    bar = progress_bar(label, "B", total=total, initial=position, unit_scale=True)
    with file, bar:
        while chunk := read(CHUNK):
            try:
                rest = memoryview(chunk)
                while rest:  # a disk that is nearly full takes a part
                    rest = rest[file.write(rest) :]
            except OSError as error:
                raise InputError(f"{partial}: cannot be written: {error.strerror}") from None
            bar.update(len(chunk))
            position += len(chunk)
            if size is not None and position > size:
                break  # the check of the size will refuse it; no need to see how much more comes
    if total is not None and position < total:
        raise ConnectionError(f"the transfer ended after {position:,} of {total:,} bytes")


@contextmanager
def _opened(url: str, offset: int) -> Iterator[_Stream]:
    """Open a URL at `offset`, or at its start if that cannot be done."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("http", "https"):
        response, start, total = _response(url, offset)
        with response:
            # Undecoded: some servers declare a .tar.gz to be a compressed tar, to be unpacked.
            yield functools.partial(response.raw.read, decode_content=False), start, total
    elif scheme in ("file", ""):
        path = Path(url2pathname(urlsplit(url).path) if scheme else url)
        total = path.stat().st_size
        with path.open("rb") as file:
            yield file.read, file.seek(offset if offset <= total else 0), total
    else:
        raise _UnusableError(f"expected a path, or a URL of http, https or file, not of {scheme}")


def _response(url: str, offset: int) -> tuple[requests.Response, int, int | None]:
    """Ask a server for a file from `offset` on, or for all of it if it cannot give that."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    limits = (CONNECT_SECONDS, STALL_SECONDS)
    response = requests.get(url, headers=headers, stream=True, timeout=limits)
    content_range = response.headers.get("Content-Range", "")
    if response.status_code == 206:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if found and int(found[1]) == offset:
            return response, offset, None if found[2] == "*" else int(found[2])
    if offset and response.status_code in (206, 416):  # another part, or nothing at this offset
        response.close()
        return _response(url, 0)
    response.raise_for_status()
    if response.status_code == 206:
        raise _UnusableError(f"the server answers with a part of the file ({content_range!r})")
    length = response.headers.get("Content-Length", "")
    return response, 0, int(length) if length.isdigit() else None


def _fault(file: Path, size: int | None, sha256: str | None) -> str | None:
    """Say what is wrong with a file, or None."""
    found = file.stat().st_size
    if size is not None and found != size:
        return f"{found:,} bytes, expected {size:,}"
    if sha256 is not None and (checksum := files.sha256(file)) != sha256:
        return f"SHA-256 {checksum}, expected {sha256}"
    return None


def reason(error: Exception) -> str:
    """Say in a few words why a file or an answer did not arrive."""
    match error:
        case FileNotFoundError() | requests.HTTPError(response=requests.Response(status_code=404)):
            return "there is no such file"
        case requests.HTTPError(response=requests.Response() as response):
            return f"the server answers {response.status_code} {response.reason}"
        case requests.Timeout() | ReadTimeoutError():
            return "the server does not answer"
        case requests.ConnectionError():
            return f"no connection: {_root(error)}"
        case HTTPError():
            return "the connection broke"
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _root(error: BaseException) -> BaseException:
    """Return what an exception goes back to: the system's own words."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
