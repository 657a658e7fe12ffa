"""What is no file of safetensors is refused by what it contains."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from siamese.base.errors import InputError
from siamese.weights.safetensors_file import check_safetensors

GOOD = save({"weight": np.arange(40, dtype=np.float32), "bias": np.zeros(0, dtype=np.float16)})


class Opens:
    """What makes a file as soon as it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


def torch_saved(content: object, in_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=in_zip)
    return stream.getvalue()


def zipped_arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, weight=np.zeros(3))
    return stream.getvalue()


def test_whole_files_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(GOOD)
    check_safetensors(file)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_a_pickle_is_named_and_never_read(kind: str, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    file = tmp_path / "weights.safetensors"
    trap = {"weight": Opens(harm)}
    file.write_bytes(pickle.dumps(trap) if kind == "plain" else torch_saved(trap, kind == "zip"))
    with pytest.raises(InputError, match=r"a pickle, as torch\.save writes it"):
        check_safetensors(file)
    assert not harm.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of safetensors"),
        (b"weights", "not a file of safetensors"),
        (zipped_arrays(), "not a file of safetensors"),
        (b"\n<!DOCTYPE html>\n<title>Log in</title>", "a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "`git lfs pull`"),
        (GOOD + b"?", "cut off or damaged"),
        (save({}), "without any tensor"),
    ],
)
def test_anything_else_is_told_for_what_it_is(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{file}: .*{message}"):
        check_safetensors(file)


@given(length=st.integers(9, len(GOOD) - 1))
def test_a_file_cut_off_anywhere_is_refused(
    length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "cut.safetensors"
    file.write_bytes(GOOD[:length])
    with pytest.raises(InputError, match=r"cut off or damaged \(.*\); fetch the file again"):
        check_safetensors(file)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder, expected a file of safetensors"):
        check_safetensors(tmp_path)
    with pytest.raises(InputError, match="/nothing: no such file"):
        check_safetensors(tmp_path / "nothing")
