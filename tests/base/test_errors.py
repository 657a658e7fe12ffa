"""What the system refuses is said in a sentence."""

import errno
import os
from pathlib import Path

import pytest

from siamese.base.errors import explained


def test_the_file_the_reason_and_the_advice_are_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        tmp_path.write_text("no file")
    assert explained(caught.value) == f"{tmp_path}: is a directory"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "no space left on device; make room for it, and run this again: what was complete"
            " before is kept",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"caf\xe9.png"),
            "caf\udce9.png: permission denied; this user needs the permission, or another place"
            " for it",
        ),
        (OSError("a library's\n  own words"), "a library's own words; is the disk full?"),
        (OSError(), "the system gave no reason; is the disk full?"),
        (OSError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: not a directory"),
        (MemoryError(), "this takes more memory than there is"),
    ],
)
def test_each_kind_is_one_sentence(error: OSError | MemoryError, sentence: str) -> None:
    assert explained(error) == sentence
