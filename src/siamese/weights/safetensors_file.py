"""Refusing what is no file of safetensors, by what it contains; nothing in it is ever run."""

import re
from pathlib import Path

from siamese.base.errors import InputError, no_such_file

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_WEB_PAGE = re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE)
# Of torch.save: a pickle of protocol 2 or newer; in a zip archive, since PyTorch 1.6.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04.*data\.pkl", re.DOTALL)


def check_safetensors(file: Path) -> None:
    """Make sure that a file holds tensors, all of them whole.

    Raises:
        InputError: it does not, or there is no such file; the message says what it is instead.
        OSError: the system does not give it.
    """
    from safetensors import SafetensorError, safe_open

    if file.is_dir():
        raise InputError(f"{file}: a folder, expected a file of safetensors")
    try:
        with file.open("rb") as stream:
            start = stream.read(1024)
    except FileNotFoundError:
        raise no_such_file(file.absolute(), "expected a file of safetensors") from None
    try:
        with safe_open(file, framework="numpy") as opened:
            is_empty = not opened.keys()
    except SafetensorError as error:
        raise InputError(f"{file}: {_described(start, error)}") from None
    if is_empty:
        raise InputError(f"{file}: a file of safetensors without any tensor; take another")


def _described(start: bytes, error: Exception) -> str:
    """Say what a file is that begins like this, and what to do."""
    if start.startswith(_LFS_POINTER):
        return "a Git LFS pointer, not the weights themselves; `git lfs pull` fetches those"
    if _WEB_PAGE.search(start):
        return "a web page, not weights, as after a failed download; fetch the file again"
    if _PICKLE.match(start):
        return (
            "a pickle, as torch.save writes it; reading one may run any code, so it is not read."
            " If you trust it, convert it to safetensors, as docs/pretrained.md shows"
        )
    if start[8:9] == b"{":  # where the header of safetensors begins, after its length
        reason = str(error).rpartition(": ")[2]
        return f"safetensors that are cut off or damaged ({reason}); fetch the file again"
    return "not a file of safetensors; weights in other formats must be converted first"
