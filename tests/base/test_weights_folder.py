"""What the stage `weights` leaves, read again."""

import json
from pathlib import Path

import pytest

from siamese.base.errors import InputError
from siamese.base.weights_folder import Origin, Weights, read_weights, save_weights

ORIGIN = Origin("hf:timm/resnet50.a1_in1k", "0" * 64, "apache-2.0")


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    file = tmp_path / "download"
    file.write_bytes(b"tensors")
    return Weights(file, ORIGIN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder


def test_weights_come_back_with_their_origin(weights: Weights, folder: Path) -> None:
    save_weights(weights, folder)
    assert read_weights(folder) == Weights(folder / "weights.safetensors", ORIGIN)
    assert (folder / "weights.safetensors").read_bytes() == b"tensors"


def test_none_is_none(folder: Path) -> None:
    save_weights(None, folder)
    assert read_weights(folder) is None
    assert [file.name for file in folder.iterdir()] == ["weights.json"]


def test_what_is_missing_or_damaged_is_named(weights: Weights, folder: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.json: no such file; `dvc repro weights` makes"):
        read_weights(folder)
    save_weights(weights, folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors: .*`dvc repro weights` makes it"):
        read_weights(folder)
    for content in ("{", "[]", json.dumps({"source": "x"}), json.dumps({"source": "x", "y": 1})):
        (folder / "weights.json").write_text(content)
        with pytest.raises(InputError, match=r"weights\.json: cannot be read"):
            read_weights(folder)
