"""The file: one, checked, described; whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from siamese.base.dataset import load_dataset
from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.export.check import check, noise
from siamese.export.file import Exported, export, some_images
from siamese.export.runtime import open_session
from siamese.gallery.model_hash import model_folder_hash
from siamese.model.folder import Model, load_model, save_model
from tests.support.galleries import save_other_model
from tests.support.workspace import ROOT, Workspace


def test_it_stands_alone_and_is_well_formed(written: tuple[Path, Exported]) -> None:
    file, exported = written
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert file.stat().st_size == exported.bytes
    onnx.checker.check_model(str(file), full_check=True)


def test_old_runtimes_can_read_it(written: tuple[Path, Exported]) -> None:
    proto = onnx.load(written[0])
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 18)]
    assert proto.ir_version == 8  # of ONNX 1.13, the first release with that opset
    assert not proto.functions


def test_it_holds_the_weights_and_no_trace_of_its_source(
    written: tuple[Path, Exported], model: Model
) -> None:
    file, exported = written
    weights = sum(4 * one.numel() for one in model.network.state_dict().values())
    assert exported.bytes < weights + 40_000
    for trace in (b"pkg.torch", b".py", b"File "):
        assert trace not in file.read_bytes()


def test_it_takes_stored_images_in_any_number(
    written: tuple[Path, Exported], model: Model, finished: Workspace
) -> None:
    session = open_session(written[0].read_bytes())
    [given], [taken] = session.get_inputs(), session.get_outputs()
    size = model.network.image_size
    assert (given.name, given.type, given.shape) == (
        "images",
        "tensor(uint8)",
        ["batch", *size, 3],
    )
    assert (taken.name, taken.type, taken.shape) == (
        "embeddings",
        "tensor(float)",
        ["batch", model.network.embedding_dim],
    )
    images = np.asarray(load_dataset(finished.path / "data/prepared").images[:50])
    [found] = session.run(None, {"images": images})
    np.testing.assert_allclose(found, model.embed(images), rtol=0, atol=1e-5)


def test_its_metadata_says_what_the_model_folder_says(
    written: tuple[Path, Exported], finished: Workspace
) -> None:
    folder = finished.path / "data/model"
    network, classes, verification = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("network", "classes", "verification")
    )
    about = open_session(written[0].read_bytes()).get_modelmeta()
    assert about.producer_name == "siamese"
    found = about.custom_metadata_map
    assert {name: found.pop(name) for name in sorted(found) if "{" not in found[name]} == {
        "siamese.classes": json.dumps(classes["fine"]),
        "siamese.embedding_dim": str(network["network"]["embedding_dim"]),
        "siamese.fit": network["fit"],
        "siamese.format": "1",
        "siamese.image_size": str(network["image_size"]),
        "siamese.model": model_folder_hash(folder),
    }
    assert {name: json.loads(text) for name, text in found.items()} == {
        "siamese.thresholds": verification["thresholds"],
        "siamese.curve": verification["curve"],
    }


def test_it_was_checked_with_noise_and_images(written: tuple[Path, Exported]) -> None:
    _, exported = written
    assert exported.noise == 64
    assert 32 < exported.images <= 64
    assert exported.difference <= 1e-5


def test_images_come_from_all_over_the_data_set(finished: Workspace, tmp_path: Path) -> None:
    prepared = finished.path / "data/prepared"
    stored = load_dataset(prepared).images
    chosen = some_images(prepared, stored.shape[1:3])
    rows = [int((stored == one).all(axis=(1, 2, 3)).argmax()) for one in chosen]
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert rows[-1] > 0.95 * len(stored)
    assert len(some_images(prepared, (224, 224))) == 0
    assert len(some_images(tmp_path, (8, 8))) == 0


@pytest.mark.slow
def test_the_command_gives_the_same_bytes_in_any_process(
    written: tuple[Path, Exported], finished: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(finished.path / "data/model", tmp_path / "data/model")
    done = subprocess.run(
        [sys.executable, "-m", "siamese.cli.main", "export", "there/model.onnx"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    [line] = done.stdout.splitlines()
    assert line.startswith("there/model.onnx: resnet9, 16 x 16 pixels; 0.")
    assert line.endswith("on 64 random images and 0 of the data set")
    assert (tmp_path / "there/model.onnx").read_bytes() == written[0].read_bytes()


def test_another_model_is_told_apart(
    written: tuple[Path, Exported], model: Model, tmp_path: Path
) -> None:
    other = load_model(save_other_model(model, tmp_path / "other"))
    images = noise(model.network.image_size)
    with pytest.raises(InputError, match=r"^the file: its embeddings differ by up to .*1e-05"):
        check(other.network, open_session(written[0].read_bytes()), images, "the file")


def test_a_diverged_model_leaves_the_old_file_as_it_is(model: Model, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "out/model.onnx"
    folder.mkdir()
    save_model(model, folder)
    broken = load_model(folder)
    next(broken.network.encoder.parameters()).data.fill_(float("nan"))
    save_model(broken, folder)
    target.parent.mkdir()
    target.write_bytes(b"what was there")
    with pytest.raises(InputError, match=r"model\.onnx: its embeddings differ by up to nan"):
        export(folder, target, tmp_path)
    assert target.read_bytes() == b"what was there"
    assert [one.name for one in target.parent.iterdir()] == ["model.onnx"]


def test_what_is_no_regular_file_is_not_replaced(model: Model, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, tmp_path):
        with pytest.raises(InputError, match="not a regular file"):
            export(tmp_path / "no model", target, tmp_path)
    assert pipe.is_fifo()


def test_without_the_extra_it_says_what_to_install(
    finished: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    folder = str(finished.path / "data/model")
    assert main(["export", str(tmp_path / "model.onnx"), "--model", folder]) == 1
    assert capsys.readouterr().err == (
        "siamese: ONNX needs onnxscript, not installed here: pip install 'siamese[onnx]'\n"
    )
    assert not list(tmp_path.iterdir())
