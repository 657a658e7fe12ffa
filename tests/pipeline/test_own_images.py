"""The pipeline on a folder of images: what DVC runs when images change, and where it finds them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from siamese.base.dataset import load_dataset
from siamese.cli.adoption import adopt
from tests.support.pipeline_output import metrics, stages_changed, stages_run
from tests.support.workspace import Workspace, new_workspace

SMALL = {
    "data": {"image_size": 16},
    "pairs": {"epochs": 1, "batches_per_epoch": 4},
    "evaluate": {"resamples": 100, "sheet_queries": 2, "sheet_neighbours": 2},
}
AFTER_PREPARE = {"duplicates", "pairs", "train", "embed", "floor", "evaluate"}


def digits_folder(folder: Path, n: int = 400) -> Path:
    """Write scanned digits into class folders, some as JPEG, some not square."""
    digits = load_digits()
    images, labels = digits.images[:n], digits.target[:n]
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        file = folder / str(label) / f"{number:04}{'.jpg' if number % 3 == 0 else '.png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((pixels * 15.9375).astype(np.uint8))
        picture.resize((8 + number % 5, 8)).save(file)
    return folder


def adopted(workspace: Workspace, path: str, **wanted: object) -> None:
    adopt(Path(path), wanted=dict(wanted), workspace=workspace.path)
    workspace.change_params(SMALL)


@pytest.fixture(scope="module")
def own_drawn(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A folder under DVC's control, and the pipeline run on it up to the pairs."""
    workspace = new_workspace(tmp_path_factory.mktemp("own") / "repository")
    digits_folder(workspace.path / "photos")
    adopted(workspace, "photos")
    workspace.dvc("add", "photos")
    workspace.dvc("repro", "pairs")
    workspace.commit("pairs")
    return workspace


@pytest.fixture(scope="module")
def own_finished(own_drawn: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same, and the whole pipeline run on it."""
    workspace = own_drawn.copy_to(tmp_path_factory.mktemp("finished") / "repository")
    workspace.dvc("repro")
    workspace.commit("results")
    return workspace


@pytest.fixture
def own(own_drawn: Workspace, tmp_path: Path) -> Workspace:
    return own_drawn.copy_to(tmp_path / "repository")


@pytest.fixture
def whole(own_finished: Workspace, tmp_path: Path) -> Workspace:
    return own_finished.copy_to(tmp_path / "repository")


def test_a_folder_is_prepared(own_drawn: Workspace) -> None:
    dataset = load_dataset(own_drawn.path / "data/prepared")
    assert len(dataset.images) == 400
    assert dataset.classes.fine == tuple("0123456789")
    assert set(dataset.samples["split"]) == {"train", "validation", "test"}
    labels = dataset.samples["file"].str.split("/").str[0].astype(int)
    assert (labels == dataset.fine()).all()


@pytest.mark.slow
def test_nothing_runs_again_on_an_unchanged_folder(whole: Workspace) -> None:
    assert 0 < metrics(whole, "evaluation")["knn"]["k1"] <= 1
    assert stages_run(whole.dvc("repro")) == set()
    assert not whole.git("status", "--porcelain")


@pytest.mark.slow
@pytest.mark.parametrize("change", ["changed", "added", "removed", "moved"])
def test_another_image_runs_prepare_and_what_follows(whole: Workspace, change: str) -> None:
    file = sorted((whole.path / "photos/3").iterdir())[0]
    match change:
        case "changed":
            content = Image.new("L", (8, 8), 77)
            file.unlink()  # a link to DVC's cache, perhaps
            content.save(file)
        case "added":
            Image.new("L", (8, 8), 99).save(file.with_name("new.png"))
        case "removed":
            file.unlink()
        case "moved":
            file.rename(whole.path / "photos/4/moved.png")
    assert stages_changed(whole.dvc("status")) >= {"prepare"}
    assert "download" not in stages_changed(whole.dvc("status"))
    ran = stages_run(whole.dvc("repro", "pairs"))
    # Pairs are drawn from labels and copies: other pixels alone do not draw them again.
    assert ran == ({"prepare"} if change == "changed" else {"prepare", "pairs"})
    count = len(load_dataset(whole.path / "data/prepared").images)
    assert count == {"added": 401, "removed": 399}.get(change, 400)
    # `dvc repro` has taken the folder as it now is under its control.
    assert "photos.dvc" in whole.git("status", "--porcelain")
    assert AFTER_PREPARE - {"pairs"} <= stages_changed(whole.dvc("status"))


@pytest.mark.slow
def test_names_with_odd_characters(tmp_path: Path) -> None:
    """DVC has patterns and templates of its own, and YAML has marks."""
    workspace = new_workspace(tmp_path / "repository")
    names = ("-x", "@photos", "[2024] photos", "%old", "*", "${data}", "#1", "a: b", "cafe\u0301")
    for number, name in enumerate(names):
        for copy in range(6):
            file = workspace.path / "[2024] *${photos}" / name / f"{copy}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, copy, 0)).save(file)
    adopted(workspace, "[2024] *${photos}")
    workspace.dvc("add", "[2024] *${photos}")
    workspace.dvc("repro", "prepare")
    dataset = load_dataset(workspace.path / "data/prepared")
    assert set(dataset.classes.fine) == {*names[:-1], "caf\u00e9"}
    assert len(dataset.images) == 6 * len(names)
    assert "prepare" not in stages_changed(workspace.dvc("status", "prepare"))


@pytest.mark.slow
def test_a_file_that_is_no_image_changes_nothing_further_down(whole: Workspace) -> None:
    (whole.path / "photos/3/notes.txt").write_text("a remark")
    assert stages_run(whole.dvc("repro")) == {"prepare"}


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_finds_the_folder(whole: Workspace) -> None:
    whole.git("config", "user.name", "tester")
    whole.git("config", "user.email", "tester@example.com")
    output = whole.dvc("exp", "run", "--temp", "-S", "data.fit=crop")
    assert stages_run(output) == ({"prepare"} | AFTER_PREPARE) - {"pairs"}  # the labels stay
    assert "crop" in whole.dvc("exp", "show", "--csv")


def test_a_folder_that_nobody_tracks_is_noted_and_refused_in_a_copy(own: Workspace) -> None:
    own.git("config", "user.name", "tester")
    own.git("config", "user.email", "tester@example.com")
    own.git("rm", "-q", "--cached", "photos.dvc")
    (own.path / "photos.dvc").unlink()
    own.commit("no longer under control")
    output = own.dvc("repro", "--force", "--single-item", "prepare")
    assert "neither DVC nor Git tracks photos (data.path)" in output
    assert "`dvc add photos`" in output
    output = own.dvc("exp", "run", "--temp", "-S", "prepare.seed=1", fails=True)
    assert re.search(
        r"failed to reproduce 'prepare': .*No such file or directory: .*photos", output
    )


@pytest.mark.slow
def test_another_machine_pulls_the_folder(whole: Workspace, tmp_path: Path) -> None:
    whole.dvc("remote", "add", "--default", "store", str(tmp_path / "remote"))
    whole.commit("a remote")
    whole.dvc("push")
    whole.git("clone", "-q", str(whole.path), str(tmp_path / "elsewhere"))
    elsewhere = Workspace(tmp_path / "elsewhere")
    assert not (elsewhere.path / "photos").exists()
    elsewhere.dvc("pull")
    assert len(list((elsewhere.path / "photos").rglob("*.*"))) == 400
    assert stages_run(elsewhere.dvc("repro")) == set()


def test_a_folder_outside_the_repository(own: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(own.path / "photos", outside)
    before = (own.path / "data/prepared/images.npy").read_bytes()
    own.change_params({"data": {"path": "../outside"}})
    output = own.dvc("repro", "prepare", fails=True)
    assert "data.path is ../outside, which leads out of the repository" in output
    assert "Traceback" not in output
    own.change_params({"data": {"path": str(outside)}})
    output = own.dvc("repro", "prepare")
    assert stages_run(output) == {"prepare"}
    assert "outside the repository" in output
    assert (own.path / "data/prepared/images.npy").read_bytes() == before
    for file in (own.path / "data/prepared").iterdir():
        assert str(outside).encode() not in file.read_bytes(), "a path in an output"


def test_files_that_cannot_be_read_are_named_or_left_out(own: Workspace) -> None:
    broken = own.path / "photos/5/broken.png"
    broken.write_bytes(b"no image at all")
    output = own.dvc("repro", "prepare", fails=True)
    assert "1 of 401 images cannot be read" in output
    assert "5/broken.png: not a picture that can be read" in output
    assert "`data.unreadable: leave_out`" in output
    assert not (own.path / "data/.prepared.partial").exists()
    own.change_params({"data": {"unreadable": "leave_out"}})
    output = own.dvc("repro", "prepare")
    assert "left out: 5/broken.png: not a picture" in output
    left_out = pd.read_csv(own.path / "data/prepared/left_out.csv")
    assert left_out["file"].tolist() == ["5/broken.png"]
    assert len(load_dataset(own.path / "data/prepared").images) == 400


def test_a_table_with_splits_and_groups(own: Workspace) -> None:
    files = sorted(file.relative_to(own.path / "photos") for file in own.path.rglob("photos/*/*.*"))
    table = pd.DataFrame({"file": map(str, files), "label": [file.parts[0] for file in files]})
    table["group"] = [f"writer-{row % 40}" for row in range(len(table))]
    table["coarse"] = np.where(table["label"] < "5", "low", "high")
    table.to_csv(own.path / "labels.csv", index=False)
    adopt(Path("labels.csv"), Path("photos"), {"prepare.split_by": "group"}, own.path)
    own.change_params(SMALL)
    assert stages_run(own.dvc("repro", "pairs")) == {"prepare", "pairs"}
    samples = load_dataset(own.path / "data/prepared").samples
    assert (samples.groupby("group")["split"].nunique() == 1).all()
    assert samples["coarse"].notna().all()
    # The table and the images are both watched.
    table.loc[0, "label"] = "1"
    table.loc[0, "coarse"] = "low"
    table.to_csv(own.path / "labels.csv", index=False)
    assert "prepare" in stages_changed(own.dvc("status"))
    own.dvc("repro", "prepare")
    next((own.path / "photos/2").iterdir()).unlink()
    output = own.dvc("repro", "prepare", fails=True)
    assert "no such file or directory" in output


def test_a_table_as_it_was_exported(own: Workspace) -> None:
    """The stage reads it as `adopt` has found it to be written."""
    photos = own.path / "photos"
    files = sorted(file.relative_to(photos) for file in photos.rglob("*/*.*"))
    rows = ["\\".join(file.parts) + f";Käfer {file.parts[0]}" for file in files]
    rows += ["3\\missing.png;Käfer 3", "4\\rare.png;rare"]
    text = "\r\n".join(["image;kind", *rows])
    (own.path / "labels.txt").write_text(text, encoding="cp1252", newline="")
    columns = {"data.table.file": "image", "data.table.label": "kind", "data.min_images": 2}
    found = adopt(Path("labels.txt"), Path("photos"), columns, own.path)
    assert any("rows without a file in" in note and "2 of 402" in note for note in found.notes)
    own.change_params(SMALL)
    output = own.dvc("repro", "prepare", fails=True)
    assert "left out by data.min_images (2): 1 class with 1 image in all" in output
    assert "3\\missing.png: no such file or directory" in output
    own.change_params({"data": {"unreadable": "leave_out"}})
    assert stages_run(own.dvc("repro", "pairs")) == {"prepare", "pairs"}
    dataset = load_dataset(own.path / "data/prepared")
    assert dataset.classes.fine == tuple(f"Käfer {digit}" for digit in range(10))
    assert sorted(dataset.samples["file"]) == sorted(map(str, files))


@pytest.mark.slow
def test_never_seen_classes_are_reported_apart(own: Workspace) -> None:
    adopted(own, "photos", **{"data.novel_classes": 3})
    assert stages_run(own.dvc("repro")) == {"prepare", "weights"} | AFTER_PREPARE
    dataset = load_dataset(own.path / "data/prepared")
    novel = set(dataset.novel_classes().tolist())
    assert len(novel) == 3
    trained = pd.read_parquet(own.path / "data/pairs/train.parquet")
    seen = set(dataset.fine()[trained[["left", "right"]].to_numpy().ravel()].tolist())
    assert not seen & novel
    evaluation = metrics(own, "evaluation")
    for group in ("seen", "novel"):
        assert {"k1", "auc", "eer"} <= set(evaluation[group])
    assert {"recall_at_1", "map_at_r"} <= set(evaluation["novel"])
    assert metrics(own, "details")["novel"]["classes"] == 3
    assert set(metrics(own, "floor")) == {"pixels", "untrained", "seen", "novel"}
    shown = own.siamese("show")
    assert "never" in shown


@pytest.mark.slow
def test_nothing_is_classified_by_classes_that_nobody_has_seen(own: Workspace) -> None:
    adopted(own, "photos", **{"prepare.split_by": "class"})
    assert stages_run(own.dvc("repro")) == {"prepare", "weights"} | AFTER_PREPARE
    samples = load_dataset(own.path / "data/prepared").samples
    assert (samples.groupby("fine")["split"].nunique() == 1).all()
    evaluation = metrics(own, "evaluation")
    assert set(evaluation) == {"retrieval", "verification"}
    assert evaluation["retrieval"]["recall_at_1"] > 0.2
    assert set(metrics(own, "floor")) == {"verification"}
    training = json.loads((own.path / "metrics/training.json").read_text())
    assert training["validation"]["knn"] > 0.2, "among the validation classes themselves"
    shown = own.siamese("show")
    assert "area under the ROC" in shown
    assert "recall@1 " in shown
    for name in ("confusion", "mistakes", "neighbours", "verification"):
        assert (own.path / f"data/pictures/{name}.png").stat().st_size > 0
