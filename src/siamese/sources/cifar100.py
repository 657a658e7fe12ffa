"""Decoding CIFAR-100's archive for Python, without trusting it.

The archive is a gzip-compressed tar with the pickles `meta`, `train` and `test` in a folder. It is
read in memory, once, from front to back: nothing is unpacked to disk, and the pickles are read as
data (`plain_pickle`). The number of classes is that of the names in `meta`.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.dataset import Classes, Dataset
from siamese.base.errors import InputError, no_such_file
from siamese.sources.canonical import canonical_order
from siamese.sources.plain_pickle import PickledArray, PickledDtype, read_pickle

TOP_FOLDER = "cifar-100-python"
# The official members have 1.5 kB, 155 MB and 31 MB. Larger ones are not CIFAR-100.
MAX_MEMBER = {"meta": 1 << 20, "train": 1 << 28, "test": 1 << 28}
MAX_UNPACKED = 1 << 29
MAX_MEMBERS = 1000
SIDE = 32


class _Bounded:
    """A stream that refuses to unpack to more than `limit` bytes."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._read = 0

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._read += len(content)
        if self._read > self._limit:
            raise InputError(f"it unpacks to more than {self._limit:,} bytes")
        return content


def read_cifar100(archive: Path) -> Dataset:
    """Decode an archive in the official layout.

    Returns:
        Images uint8 `[N, 32, 32, 3]` with the splits `train` and `test`, in canonical order.

    Raises:
        InputError: the archive cannot be read, is damaged, or holds anything but what the official
            layout has.
    """
    if not archive.is_file():
        raise no_such_file(archive.resolve(), "expected CIFAR-100's archive")
    try:
        members = _read_members(archive)
        with _naming("meta"):
            classes = _classes(members["meta"])
        parts = []
        for split in ("train", "test"):
            with _naming(split):
                # Popped, so that the memory of one pickle is free before the next is decoded.
                parts.append(_split(members.pop(split), split, classes))
        samples = pd.concat([part.samples for part in parts], ignore_index=True)
        parents = samples.groupby("fine")["coarse"].nunique()
        for fine in parents.index[parents > 1]:
            raise InputError(f"images of `{classes.fine[fine]}` stand under several superclasses")
    except InputError as error:
        raise InputError(
            f"{archive}: {error}. Expected CIFAR-100's archive for Python, unchanged or repacked in"
            " its layout; take another copy."
        ) from None
    images = np.concatenate([part.images for part in parts])
    return canonical_order(Dataset(images, samples, classes))


@contextmanager
def _naming(member: str) -> Iterator[None]:
    """Put the name of a member before messages."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{member}: {error}") from None


def _read_members(archive: Path) -> dict[str, bytes]:
    """Return the three pickles by name."""
    found: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as unpacked:
            stream = _Bounded(unpacked, MAX_UNPACKED)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:  # type: ignore[call-overload]
                for count, member in enumerate(tar):
                    if count == MAX_MEMBERS:
                        raise InputError(f"it has more than {MAX_MEMBERS:,} members")
                    name = _check_member(member)
                    if name is None:
                        continue
                    if name in found:
                        raise InputError(f"it has two members `{TOP_FOLDER}/{name}`")
                    found[name] = tar.extractfile(member).read()
            # To the end, where gzip's own checksum is.
            while stream.read(1 << 20):
                pass
    except InputError:
        raise
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"not a readable .tar.gz file ({error})") from None
    if missing := [name for name in MAX_MEMBER if name not in found]:
        names = ", ".join(f"`{TOP_FOLDER}/{name}`" for name in missing)
        raise InputError(f"it has no member {names}")
    return found


def _check_member(member: tarfile.TarInfo) -> str | None:
    """Return which of the three pickles a member is, or None for one that is not needed."""
    path = PurePosixPath(member.name)
    shown = repr(member.name[:100])  # a name may be millions of characters long
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"member {shown} points out of the archive")
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise InputError(f"member {shown} is neither a plain file nor a folder")
    name = path.name if path.parts == (TOP_FOLDER, path.name) else ""
    limit = MAX_MEMBER.get(name, MAX_UNPACKED)
    if not 0 <= member.size <= limit:
        raise InputError(f"member {shown} claims {member.size:,} bytes, at most {limit:,}")
    if name not in MAX_MEMBER:
        return None
    if not member.isreg():
        raise InputError(f"member {shown} is a folder, expected a pickle")
    return name


def _classes(content: bytes) -> Classes:
    record = _record(content)
    names = []
    for key in ("fine_label_names", "coarse_label_names"):
        texts = _texts(record, key)
        if not texts or "" in texts or len(set(texts)) != len(texts):
            raise InputError(f"`{key}` is empty, or has an empty or repeated name")
        names.append(tuple(texts))
    return Classes(*names)


def _split(content: bytes, split: str, classes: Classes) -> Dataset:
    """Decode one split; the samples are numbered later."""
    record = _record(content)
    rows = _rows(record)
    files = _texts(record, "filenames")
    fine = _labels(record, "fine_labels", len(classes.fine))
    coarse = _labels(record, "coarse_labels", len(classes.coarse))
    for key, column in (("filenames", files), ("fine_labels", fine), ("coarse_labels", coarse)):
        if len(column) != len(rows):
            raise InputError(f"`{key}` has {len(column):,} entries for {len(rows):,} rows")
    # A row is its red, then its green, then its blue plane.
    images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # (N, 32, 32, 3)
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(rows)),
            "split": split,
            "fine": np.array(fine, dtype=np.int64),
            "coarse": pd.array(coarse, dtype="Int64"),
            "file": files,
        }
    )
    return Dataset(images, samples, classes)


def _record(content: bytes) -> dict[str, Any]:
    record = read_pickle(content)
    if type(record) is not dict:
        raise InputError(f"a pickled {type(record).__name__}, expected a dictionary")
    return record


def _entry(record: dict[str, Any], key: str) -> Any:
    if key not in record:
        raise InputError(f"has no `{key}`")
    return record[key]


def _rows(record: dict[str, Any]) -> np.ndarray:
    """Return the pixels, uint8 `[N, 3072]`, read-only."""
    entry = _entry(record, "data")
    columns = 3 * SIDE * SIDE
    match entry:
        case PickledArray(
            state=(_, (int(count), int(width)), PickledDtype(code="u1" | b"u1"), order, bytes(raw))
        ) if width == columns and count > 0 and len(raw) == count * columns:
            # In C order, or in Fortran's where the pickle says so.
            shape = (count, columns)
            return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if order else "C")
    raise InputError(f"`data` is not an array of uint8 [N, {columns}]")


def _labels(record: dict[str, Any], key: str, count: int) -> list[int]:
    labels = _entry(record, key)
    # `type`, since True and False are int too.
    if type(labels) is not list or not all(type(label) is int for label in labels):
        raise InputError(f"`{key}` is not a list of whole numbers")
    for label in labels:
        if not 0 <= label < count:
            shown = label if abs(label) < 10**9 else "a huge number"
            raise InputError(f"`{key}` has {shown}, expected 0 to {count - 1}")
    return labels


def _texts(record: dict[str, Any], key: str) -> list[str]:
    texts = _entry(record, key)
    if type(texts) is not list or not all(isinstance(text, str | bytes) for text in texts):
        raise InputError(f"`{key}` is not a list of texts")
    try:
        return [text if isinstance(text, str) else text.decode() for text in texts]
    except UnicodeDecodeError:
        raise InputError(f"`{key}` has a text that is not UTF-8") from None
