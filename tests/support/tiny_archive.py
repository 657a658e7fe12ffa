"""Tiny archives in CIFAR-100's layout and in the dialect of Python 2 and NumPy 1, for tests."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "cifar-100-python"


class Ops(bytes):
    """Instructions that are put into a pickle as they stand."""


def pickle2(value: Any) -> bytes:
    """Pickle as Python 2 did with protocol 2, texts being byte strings."""
    return b"\x80\x02" + _ops(value) + b"."


def array_ops(
    shape: tuple[int, ...], raw: Any, dtype: Any = b"u1", *, fortran: bool = False
) -> Ops:
    """Instructions for a NumPy array, made of whatever a test wants it to claim."""
    return Ops(
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + _ops((0,))
        + _ops(b"b")
        + b"\x87R("
        + _ops(1)
        + _ops(shape)
        + b"cnumpy\ndtype\n"
        + _ops((dtype, 0, 1))
        + b"R"
        + _ops((3, b"|", None, None, None, -1, -1, 0))
        + b"b"
        + _ops(fortran)
        + _ops(raw)
        + b"tb"
    )


def _ops(value: Any) -> bytes:
    match value:
        case Ops():
            return value
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if 0 <= value < 256:
            return b"K" + bytes([value])
        case int():
            return b"J" + value.to_bytes(4, "little", signed=True)
        case bytes() if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        case bytes():
            return b"T" + len(value).to_bytes(4, "little") + value
        case tuple():
            return b"(" + b"".join(map(_ops, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_ops, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_ops(k) + _ops(v) for k, v in value.items()) + b"u"
        case np.ndarray():
            return array_ops(value.shape, value.tobytes())
    raise TypeError(type(value))


def records(seed: int = 0) -> dict[str, dict[bytes, Any]]:
    """Return what the three pickles hold: 4 classes, 2 superclasses, 12 + 8 rows."""
    rng = np.random.default_rng(seed)
    content: dict[str, dict[bytes, Any]] = {
        "meta": {
            b"fine_label_names": [b"ant", b"bee", b"cat", b"dog"],
            b"coarse_label_names": [b"insect", b"mammal"],
        }
    }
    for split, rows in (("train", 12), ("test", 8)):
        fine = [row % 4 for row in range(rows)]
        content[split] = {
            b"filenames": [f"{split}_{row}.png".encode() for row in range(rows)],
            b"batch_label": b"batch 1 of 1",
            b"fine_labels": fine,
            b"coarse_labels": [label // 2 for label in fine],
            b"data": rng.integers(0, 256, (rows, 3072), dtype=np.uint8),
        }
    return content


def shuffled(content: dict[str, dict[bytes, Any]], seed: int) -> dict[str, dict[bytes, Any]]:
    """Return the same records with the rows of each split in another order."""
    rng = np.random.default_rng(seed)
    result = {"meta": content["meta"]}
    for split in ("train", "test"):
        order = rng.permutation(len(content[split][b"fine_labels"]))
        result[split] = {
            key: value[order]
            if isinstance(value, np.ndarray)
            else [value[row] for row in order]
            if isinstance(value, list)
            else value
            for key, value in content[split].items()
        }
    return result


def member(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    """Describe a member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def write_archive(
    file: Path,
    content: dict[str, Any],
    extra: list[tuple[tarfile.TarInfo, bytes]] | None = None,
) -> Path:
    """Write an archive; a value of `content` is a record to be pickled, or a pickle already."""
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(member(FOLDER, tarfile.DIRTYPE))
        for info, body in extra or []:
            tar.addfile(info, io.BytesIO(body))
        for name, value in content.items():
            body = value if isinstance(value, bytes) else pickle2(value)
            tar.addfile(member(f"{FOLDER}/{name}", size=len(body)), io.BytesIO(body))
    return file
