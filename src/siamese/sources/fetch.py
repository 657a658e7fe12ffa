"""Fetching one large file: from the first URL that delivers it, resumed after a break, verified.

fsspec speaks the protocol, so a URL may be https, file, s3 or whatever else it has a plug-in for.
HTTP is read as one stream, started in the middle with a `Range` header: fsspec's seekable HTTP
files would send one request for each block of 5 MB, and its default timeout ends every request,
whatever its size, after five minutes.
"""

import io
import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import fsspec
from tqdm import tqdm

from siamese.base import files
from siamese.base.errors import InputError

TRIES = 3  # times that one URL's transfer is started before the next URL's turn
PAUSE_SECONDS = 1.0  # between two of them
CONNECT_SECONDS = 10  # a machine without a network is told so after this time at the latest
STALL_SECONDS = 60  # silence after which a connection counts as broken
CHUNK = 1 << 20


class _UnusableError(Exception):
    """This URL cannot deliver the file; the message says why, and the next URL gets its turn."""


@dataclass(frozen=True)
class _Source:
    stream: io.BufferedIOBase
    start: int  # where in the file the stream begins
    total: int | None  # the whole file's bytes, where the source tells


def fetch(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    advice: str = "",
) -> Path:
    """Bring a file to `target`, unless the right one is there already.

    What has arrived is kept in a partial file beside `target` until it is complete and verified,
    and is then put in place in one rename. After a broken connection, or in the next run after a
    killed one, the transfer goes on where it stopped; a server that cannot do that sends all again.

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
    """Append what is missing, going on after a break."""
    connected = False
    for tries_left in reversed(range(TRIES)):
        offset = partial.stat().st_size if partial.exists() else 0
        if size is not None and offset >= size:
            return
        try:
            source = _open(url, offset)
            with closing(source.stream):
                connected = True
                _append(source, partial, size)
            return
        except (InputError, _UnusableError):
            raise
        except Exception as error:
            # Every file system that fsspec knows has exceptions of its own; each means "not from
            # here". A URL that never answered is not asked again: offline should fail at once.
            if not connected or tries_left == 0:
                raise _UnusableError(_reason(error)) from error
            tqdm.write(f"{url}: {_reason(error)}; going on where it stopped")
        time.sleep(PAUSE_SECONDS)


def _append(source: _Source, partial: Path, size: int | None) -> None:
    total = source.total if source.total is not None else size
    if size is not None and total != size:
        raise _UnusableError(f"it offers {total:,} bytes, expected {size:,}")
    label = partial.name.removeprefix(".").removesuffix(".partial")
    position = source.start
    try:
        file = partial.open("ab")
        file.truncate(source.start)
    except OSError as error:
        raise InputError(f"{partial}: cannot be written: {error.strerror}") from None
    # disable=None: no bar where nobody watches, such as in the log of a CI job.
    bar = tqdm(desc=label, total=total, initial=position, unit="B", unit_scale=True, disable=None)
    with file, bar:
        while chunk := source.stream.read(CHUNK):
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise InputError(f"{partial}: cannot be written: {error.strerror}") from None
            bar.update(len(chunk))
            position += len(chunk)
            if size is not None and position > size:
                break  # the check of the size will refuse it; no need to see how much more comes
    if total is not None and position < total:
        raise ConnectionError(f"the transfer ended after {position:,} of {total:,} bytes")


def _open(url: str, offset: int) -> _Source:
    """Open a URL at `offset`, or at its start if that cannot be done."""
    if url.startswith(("http://", "https://")):
        return _open_http(url, offset)
    system, path = fsspec.core.url_to_fs(url)
    total = system.size(path)
    stream = system.open(path, "rb")
    if offset == 0 or (total is not None and offset > total):
        return _Source(stream, 0, total)
    try:
        stream.seek(offset)
    except (OSError, ValueError, NotImplementedError):
        stream.close()
        return _Source(system.open(path, "rb"), 0, total)
    return _Source(stream, offset, total)


def _open_http(url: str, offset: int) -> _Source:
    system = fsspec.filesystem(
        "http",
        client_kwargs={
            "timeout": aiohttp.ClientTimeout(
                total=None, connect=CONNECT_SECONDS, sock_read=STALL_SECONDS
            ),
            # Some servers declare a .tar.gz to be a compressed tar, and it would arrive unpacked.
            "auto_decompress": False,
            "trust_env": True,  # proxies, as other programs on the machine use them
        },
    )
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        # block_size=0 asks for a stream. Its size, which a stream has no use for, is given so that
        # no HEAD request is sent to find it.
        stream = system.open(url, block_size=0, size=1, headers=headers)
    except aiohttp.ClientResponseError as error:
        if offset and error.status == 416:  # there is nothing at this offset
            return _open_http(url, 0)
        raise
    response = stream.r
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return _Source(stream, 0, int(length) if length else None)
    content_range = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
    if not match or int(match[1]) != offset:
        stream.close()
        if offset:
            return _open_http(url, 0)
        raise _UnusableError(f"the server answers with a part of the file ({content_range!r})")
    return _Source(stream, offset, None if match[2] == "*" else int(match[2]))


def _fault(file: Path, size: int | None, sha256: str | None) -> str | None:
    """Say what is wrong with a file, or None."""
    found = file.stat().st_size
    if size is not None and found != size:
        return f"{found:,} bytes, expected {size:,}"
    if sha256 is not None and (checksum := files.sha256(file)) != sha256:
        return f"SHA-256 {checksum}, expected {sha256}"
    return None


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientResponseError():
            return f"the server answers {error.status} {error.message}"
        case aiohttp.ClientPayloadError():
            return "the connection broke"
        case FileNotFoundError():
            return "there is no such file"
        case TimeoutError():
            return "the server does not answer"
    return f"{type(error).__name__}: {error}".replace("\n", " ")
