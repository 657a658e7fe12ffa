"""The model folder: self-contained, the same bytes each time, refused when it is damaged."""

import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from siamese.base.data_params import Fit
from siamese.base.dataset import Classes
from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides
from siamese.base.weights_folder import Origin
from siamese.gallery.model_hash import model_hash
from siamese.model.description import describe_folder
from siamese.model.folder import Model, load_model, save_model
from siamese.network.siamese_network import NetworkParams, build_network
from siamese.training.thresholds import calibrate

PARAMS = NetworkParams(
    architecture="resnet9", width=4, embedding_dim=6, normalize=True, mirror=True, seed=3
)


def model(size: int | Size = 8, fit: Fit = "pad") -> Model:
    network = build_network(PARAMS, size, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.fill_(0.25)  # statistics are part of the model
    calibration = calibrate(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False]))
    return Model(network, PARAMS, Classes(("cat", "dog"), ("animal",)), calibration, fit)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(model(), tmp_path)
    return tmp_path


def test_a_loaded_model_embeds_as_the_saved_one(folder: Path) -> None:
    loaded = load_model(folder)
    np.testing.assert_array_equal(loaded.embed(images(5)), model().embed(images(5)))
    assert loaded.classes == model().classes
    assert loaded.calibration == model().calibration
    assert loaded.params == PARAMS


def test_size_and_fit_are_kept_and_a_square_is_one_number(tmp_path: Path) -> None:
    for name, size, written in (("square", 8, 8), ("wide", (8, 24), [8, 24])):
        (tmp_path / name).mkdir()
        save_model(model(size, "ink"), tmp_path / name)
        assert json.loads((tmp_path / name / "network.json").read_text())["image_size"] == written
        loaded = load_model(tmp_path / name)
        assert (loaded.network.image_size, loaded.fit) == (sides(size), "ink")
        assert f"{sides(size)[0]} x {sides(size)[1]} pixels" in describe_folder(tmp_path / name)
    wide = np.random.default_rng(0).integers(0, 256, (3, 8, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.embed(wide), model((8, 24)).embed(wide))
    for other in (wide[:, :, :8], wide.transpose(0, 2, 1, 3)):
        with pytest.raises(InputError, match=r"expected images as uint8 \[N, 8, 24, 3\]"):
            loaded.embed(other)


def test_equal_models_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save_model(model(), other)
    for file in other.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes(), file.name


def test_a_folder_carried_elsewhere_is_enough(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in folder.glob("*.*"):
        shutil.copyfile(file, elsewhere / file.name)
    load = "from siamese.model.folder import load_model"
    code = f"import sys; {load}; print(load_model(sys.argv[1]).classes)"
    output = subprocess.check_output([sys.executable, "-c", code, str(elsewhere)], cwd=elsewhere)
    assert b"cat" in output


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 8, 9, 3), np.uint8), ((8, 8, 3), np.uint8), ((2, 8, 8, 3), np.float32)],
)
def test_images_of_another_shape_or_type_are_refused(
    folder: Path, shape: tuple[int, ...], dtype: type
) -> None:
    with pytest.raises(InputError, match=r"expected images as uint8 \[N, 8, 8, 3\]"):
        load_model(folder).embed(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    "name", ["network.json", "classes.json", "verification.json", "model.safetensors"]
)
def test_a_missing_or_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{} and more")
    with pytest.raises(InputError, match=name.replace(".", r"\.") + "|damaged"):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    description = json.loads((folder / "network.json").read_text())
    description["network"]["width"] = 5
    (folder / "network.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="damaged"):
        load_model(folder)


@pytest.mark.parametrize("size", [[8], [8, 8, 8], "8x8", None])
def test_a_size_that_is_none_is_refused(folder: Path, size: object) -> None:
    description = json.loads((folder / "network.json").read_text()) | {"image_size": size}
    (folder / "network.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="damaged"):
        load_model(folder)


def test_another_format_is_refused(folder: Path) -> None:
    description = json.loads((folder / "network.json").read_text()) | {"format": 99}
    (folder / "network.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="format 99, expected 1"):
        load_model(folder)


def test_other_users_may_read_it_as_any_new_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    allowed = (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in folder.iterdir()} == {allowed}


def test_weights_are_readable_without_this_package(folder: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.testing.assert_close(weights["channel_mean"].flatten(), torch.tensor([0.1, 0.2, 0.3]))


# What training started from


def test_it_says_where_its_weights_began(tmp_path: Path, folder: Path) -> None:
    assert load_model(folder).origin is None
    origin = Origin("hf:timm/made-up", "1" * 64, "apache-2.0")
    started, other = replace(model(), origin=origin), tmp_path / "other"
    other.mkdir()
    save_model(started, other)
    assert load_model(other).origin == origin
    assert model_hash(started) == model_hash(model()), "its embeddings are the same"
    assert json.loads((other / "weights.json").read_text()) == {
        "source": "hf:timm/made-up",
        "sha256": "1" * 64,
        "license": "apache-2.0",
    }
    assert load_model(folder).description == "resnet9, 8 x 8 pixels"
    line = "resnet9, 8 x 8 pixels, trained from hf:timm/made-up (license: apache-2.0)"
    assert started.description == describe_folder(other) == line
    (other / "weights.json").write_text('{"source": "hf:timm/made-up"}')
    with pytest.raises(InputError, match=r"weights\.json: cannot be read .*expected source"):
        load_model(other)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_a_network_of_timm_is_rebuilt_without_a_download(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    from tests.support.timm_project import ORIGIN, timm_model

    saved = timm_model(name, 48, mirror=False)
    for value in saved.network.state_dict().values():
        if value.is_floating_point():
            value.add_(0.01)  # as training changes them
    save_model(saved, tmp_path)

    def asked(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", asked)
    loaded = load_model(tmp_path)
    some = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.embed(some), saved.embed(some))
    assert loaded.origin == ORIGIN


def test_a_model_of_timm_without_timm_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    from tests.support.timm_project import timm_model

    save_model(timm_model("test_vit", 16), tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"pip install 'siamese\[timm\]'"):
        load_model(tmp_path)
