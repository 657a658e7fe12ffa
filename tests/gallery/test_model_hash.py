"""The hash of a model: the same for a folder and for what is loaded from it."""

import hashlib
import shutil
from pathlib import Path

import pytest

from siamese.base.errors import InputError
from siamese.gallery.model_hash import model_folder_hash, model_hash
from siamese.model.folder import load_model
from tests.support.workspace import Workspace


@pytest.fixture
def folder(finished: Workspace, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path / "data/model", tmp_path / "model"))


def test_it_is_the_hash_of_both_files_joined(folder: Path) -> None:
    joined = (folder / "model.safetensors").read_bytes() + (folder / "network.json").read_bytes()
    assert model_folder_hash(folder) == hashlib.sha256(joined).hexdigest()
    assert model_hash(load_model(folder)) == model_folder_hash(folder)


def test_what_changes_an_embedding_changes_it_and_nothing_else_does(folder: Path) -> None:
    before = model_folder_hash(folder)
    for name in ("classes.json", "verification.json"):
        (folder / name).write_bytes(b"{}")
    assert model_folder_hash(folder) == before
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert model_folder_hash(folder) != before


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "network.json").unlink()
    with pytest.raises(InputError, match=r"network\.json: no such file; is .*model a model folder"):
        model_folder_hash(folder)
