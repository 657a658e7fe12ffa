"""`siamese adopt`: what it sets can be drawn, comments stay, and nothing is changed in error."""

import hashlib
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from siamese.base.dataset import Classes, Dataset
from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides
from siamese.cli.adoption import Adopted, Changes, adopt
from siamese.cli.defaults import DEFAULTS
from siamese.cli.fitting import CUT, cut_with_pairs, fitting
from siamese.cli.looks import KINDS, Kind
from siamese.cli.main import main
from siamese.cli.params_file import value_of
from siamese.cli.photographs import (
    AUGMENT,
    FINE_TUNING,
    HEAD_ALONE,
    NETWORK,
    OF_TIMM,
    images_per_epoch,
)
from siamese.cli.proposals import NO_AUGMENT, WRITING
from siamese.cli.schema import check_params
from siamese.pairs.drawing import draw_fixed, draw_training
from siamese.pairs.params import PairsParams
from siamese.preparation.splits import check_splits
from tests.support.kinds import make_folders, photograph, writing
from tests.support.pictures import draw, png
from tests.support.prepare_params import params
from tests.support.workspace import ROOT


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    for label, count in (("cat", 12), ("owl", 30), ("bat", 8)):
        for number in range(count):
            draw(tmp_path / "photos" / label / f"{number}.png", number)
    return tmp_path


def test_the_folder_and_what_depends_on_it_are_set(workspace: Path) -> None:
    adopted = adopt(Path("photos"), wanted={"data.image_size": 48}, workspace=workspace)
    content = yaml.safe_load((workspace / "params.yaml").read_text())
    before = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, (old, new) in adopted.changes.items():
        section, _, key = name.partition(".")
        assert content[section][key] == new
        assert before[section][key] == old != new
    assert content["data"]["name"] == "folder"
    assert content["data"]["path"] == "photos"
    assert content["data"]["image_size"] == 48
    assert content["pairs"]["classes_per_batch"] == 3
    assert content["embed"]["batch_size"] == 500 * 32**2 // 48**2
    assert "50 images of 3 classes (`bat` 8 to `owl` 30)" in adopted.found[0]
    assert "4 x 6 pixels" in adopted.found[2]
    check_params(workspace / "params.yaml")


def test_comments_and_all_other_lines_stay(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_text().splitlines()
    adopted = adopt(Path("photos"), workspace=workspace)
    after = (workspace / "params.yaml").read_text().splitlines()
    assert len(before) == len(after)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == len(adopted.changes)
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]
        assert old.partition(":")[0] == new.partition(":")[0]


def test_ends_of_lines_and_permissions_stay(workspace: Path) -> None:
    file = workspace / "params.yaml"
    adopt(Path("photos"), workspace=workspace)
    expected = file.read_bytes().replace(b"\n", b"\r\n")
    shutil.copyfile(ROOT / "params.yaml", file)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    adopt(Path("photos"), workspace=workspace)
    assert file.read_bytes() == expected
    assert file.stat().st_mode & 0o777 == 0o640


def test_adopting_again_changes_nothing(workspace: Path) -> None:
    adopt(Path("photos"), workspace=workspace)
    before = (workspace / "params.yaml").read_bytes()
    assert adopt(workspace / "photos", workspace=workspace).changes == {}
    assert (workspace / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("path", "wanted", "message"),
    [
        ("nowhere", {}, "no such folder or file"),
        ("data/raw", {}, "the pipeline itself writes"),
        ("photos", {"prepare.split_by": "group"}, "has no groups"),
        ("photos", {"prepare.split_by": "class"}, "two at least must stay"),
        ("photos", {"data.novel_classes": 2}, "two classes at least"),
        ("photos", {"data.novel_classes": -3}, r"/params\.yaml: `data\.novel_classes` is -3"),
        ("photos", {"data.image_size": 0}, r"/params\.yaml: `data\.image_size` is 0"),
        ("photos", {"network.architecture": "vgg"}, "`network.architecture` is 'vgg'"),
    ],
)
def test_an_error_changes_nothing(
    workspace: Path, path: str, wanted: dict[str, Any], message: str
) -> None:
    before = (workspace / "params.yaml").read_bytes()
    with pytest.raises(InputError, match=message):
        adopt(Path(path), wanted=wanted, workspace=workspace)
    assert (workspace / "params.yaml").read_bytes() == before
    assert {file.name for file in workspace.iterdir()} == {"params.yaml", "photos"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; run from the folder that holds"),
        ("data: [", "cannot be parsed as YAML"),
        ("", "expected one mapping per section"),
        ("data: 5", "key `data.name` is missing"),
    ],
)
def test_a_broken_parameter_file_is_named(
    workspace: Path, content: str | None, message: str
) -> None:
    file = workspace / "params.yaml"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(InputError, match=message):
        adopt(Path("photos"), workspace=workspace)


MEANINGFUL = ("yes", "12:30", "1e3", "null", "#1", "a: b", "@a", "[1] a", "%a", "!a", "*a", "${x}")


@pytest.mark.parametrize("name", MEANINGFUL)
def test_a_folder_whose_name_means_something_to_yaml(workspace: Path, name: str) -> None:
    (workspace / "photos").rename(workspace / name)
    adopt(Path(name), workspace=workspace)
    assert check_params(workspace / "params.yaml").data.path == name


def test_a_table_with_groups_is_split_by_them(workspace: Path) -> None:
    files = sorted(str(file.relative_to(workspace / "photos")) for file in workspace.rglob("*.png"))
    table = pd.DataFrame({"file": files, "label": [file.split("/")[0] for file in files]})

    def split_by(**wanted: Any) -> tuple[str, bool]:
        shutil.copyfile(ROOT / "params.yaml", workspace / "params.yaml")
        table.to_csv(workspace / "table.csv", index=False)
        notes = adopt(Path("table.csv"), Path("photos"), wanted, workspace).notes
        is_noted = any("groups are in more than one split" in note for note in notes)
        return check_params(workspace / "params.yaml").prepare.split_by, is_noted

    table["group"] = [str(number // 2) for number in range(len(files))]
    assert split_by() == ("group", False)
    # It ends with the data that had groups.
    changes = adopt(Path("photos"), workspace=workspace).changes
    assert changes["prepare.split_by"] == ("group", "sample")
    assert split_by(**{"prepare.split_by": "sample"}) == ("sample", True)
    table["split"] = np.where(np.arange(len(files)) % 3, "train", "test")
    assert split_by() == ("sample", True), "splits that are given are taken as they are"


@pytest.mark.parametrize("suffix", ["_forg", " forged"])
def test_folders_of_forgeries_are_found_and_training_is_watched_by_them(
    workspace: Path, suffix: str
) -> None:
    file = workspace / "params.yaml"
    adopt(Path("photos"), workspace=workspace)
    before = yaml.safe_load(file.read_text())
    for label, count in (("cat", 9), ("bat", 4)):
        for number in range(count):
            draw(workspace / f"photos/{label}{suffix}/{number}.png", 100 + number)
    adopted = adopt(Path("photos"), workspace=workspace)
    assert adopted.changes == {
        "data.forged_suffix": ("", suffix),
        "pairs.epochs": (30, 15),
        "pairs.forged": (0.5, 0.75),
        "train.margin": (1.0, 0.5),
        "train.monitor": ("knn", "eer"),
        "train.patience": (5, 30),
    }, "forgeries are no images to fit anything else to"
    assert "50 images of 3 classes (`bat` 8 to `owl` 30)" in adopted.found[0]
    n_each = [int(number) for number in re.findall(r"\d+", adopted.found[1])]
    assert sum(n_each) == 50
    assert adopted.found[2].startswith("13 forgeries beside them")
    assert adopt(Path("photos"), workspace=workspace).changes == {}
    wanted = {"data.forged_suffix": "", "train.monitor": "loss"}
    adopted = adopt(Path("photos"), wanted=wanted, workspace=workspace)
    assert "63 images of 5 classes" in adopted.found[0]
    after = yaml.safe_load(file.read_text())
    assert (after["data"]["forged_suffix"], after["train"]["monitor"]) == ("", "loss")
    usual = {
        "train.margin": 1.0,
        "train.monitor": "knn",
        "train.patience": 5,
        "pairs.epochs": 30,
        "pairs.forged": 0.5,
    }
    adopt(Path("photos"), wanted=usual, workspace=workspace)
    after = yaml.safe_load(file.read_text())
    after["data"]["forged_suffix"] = ""
    assert after == before


def test_a_table_says_what_is_forged_and_few_genuine_images_leave_a_class_out(
    workspace: Path,
) -> None:
    files = sorted(str(file.relative_to(workspace / "photos")) for file in workspace.rglob("*.png"))
    table = pd.DataFrame({"file": files, "label": [file.split("/")[0] for file in files]})
    table["group"] = table["label"] + pd.Series(range(len(files))).mod(5).astype(str)
    table["kind"] = np.where(np.arange(len(files)) % 3 == 0, "forged", "genuine")
    table.to_csv(workspace / "table.csv", index=False)
    adopted = adopt(Path("table.csv"), Path("photos"), {"data.min_images": 6}, workspace)
    assert "`group` (group), `kind` (kind), separated" in adopted.found[0]
    genuine = table[table["kind"] == "genuine"]["label"].value_counts()
    assert genuine["bat"] == 5 < 6
    described = f"{genuine['cat'] + genuine['owl']} images of 2 classes, 10 groups"
    assert described in adopted.found[1]
    assert adopted.found[3].startswith("14 forgeries beside them")
    found = check_params(workspace / "params.yaml")
    assert (found.prepare.split_by, found.train.monitor) == ("group", "eer")


def test_thresholds_for_other_classes_are_found_on_more_of_them(workspace: Path) -> None:
    for label in range(20):
        for number in range(4):
            draw(workspace / f"signed/{label}/{number}.png", number)
            draw(workspace / f"signed/{label}_forg/{number}.png", 50 + number)
    by_class = {"prepare.split_by": "class"}
    adopt(Path("signed"), wanted=by_class, workspace=workspace)
    assert check_params(workspace / "params.yaml").prepare.validation == 0.2
    adopt(Path("signed"), wanted=by_class | {"prepare.validation": 0.3}, workspace=workspace)
    assert check_params(workspace / "params.yaml").prepare.validation == 0.3
    adopt(Path("signed"), wanted=by_class | {"data.forged_suffix": ""}, workspace=workspace)
    assert check_params(workspace / "params.yaml").prepare.validation == 0.1


def test_images_that_cannot_be_opened_are_left_to_prepare(workspace: Path) -> None:
    names = ["a.png", "b.png"] * 40
    files = [f"{number}-{name}" for number, name in enumerate(names)]
    for file in files:
        (workspace / "photos" / file).touch()
    pd.DataFrame({"file": files, "label": [file[-5] for file in files]}).to_csv(
        workspace / "table.csv", index=False
    )

    def unopened() -> list[str]:
        notes = adopt(Path("table.csv"), Path("photos"), workspace=workspace).notes
        return [note for note in notes if "can be opened" in note]

    [note] = unopened()
    assert "none of the images that were tried can be opened, for example 0-a.png" in note
    for file in files:  # a decompression bomb
        (workspace / "photos" / file).write_bytes(png(20_000, 20_000, 8, 2, b""))
    assert len(unopened()) == 1


def test_the_defaults_are_what_params_yaml_says() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, value in DEFAULTS.items():
        found = content
        for key in name.split("."):
            found = found[key]
        assert value == found, name


def test_whatever_is_proposed_has_a_default() -> None:
    for proposed in (OF_TIMM, FINE_TUNING, HEAD_ALONE, AUGMENT, WRITING, NO_AUGMENT):
        assert set(proposed) <= set(DEFAULTS)
        for name, value in proposed.items():
            assert isinstance(value, type(DEFAULTS[name])), name


def test_the_reference_data_set_reduces_no_default() -> None:
    counts = {"train": 450, "validation": 50, "test": 100}
    samples = pd.DataFrame(
        [
            {"split": split, "fine": fine}
            for split, count in counts.items()
            for fine in range(100)
            for _ in range(count)
        ]
    )
    assert fitting(samples).items() <= DEFAULTS.items()


# Data sets and options, each of which sets what the others do not.
ADOPTED: dict[str, tuple[str, str | None, Changes]] = {
    "few": ("few", None, {}),
    "photos": ("photos", None, {"data.image_size": 96}),
    "mirror": ("photos", None, {"train.augment.flip": False, "network.mirror": False}),
    "novel": ("many", None, {"data.novel_classes": 2, "data.drop_labels": ["3", "no"]}),
    "class": ("many", None, {"prepare.split_by": "class", "prepare.test": 0.4}),
    "leaf": ("many", None, {"data.label_level": "leaf", "data.min_images": 9}),
    "groups": ("groups.csv", "photos", {}),
    "written": ("written.lst", "photos", {"data.table.header": False, "data.table.coarse": "3"}),
    "fitted": ("jpegs", None, {}),
    "fast": ("jpegs", None, {"train.freeze": "backbone"}),
    "ink": ("ink", None, {}),
    "suffix": ("suffix.csv", "photos", {"data.table.suffix": ".png", "data.table.label": "#1"}),
    "forged": ("signed", None, {}),
}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is taken for the weights: only the stage looks into them."""
    file = tmp_path / "weights.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, file)
    monkeypatch.setenv("SIAMESE_WEIGHTS", str(file))
    return file


@pytest.fixture
def jpegs(workspace: Path) -> Path:
    return make_folders(workspace / "jpegs", photograph, (8, 7, 9))


@pytest.fixture
def data_sets(workspace: Path, weights: Path, jpegs: Path) -> Path:
    make_folders(workspace / "ink", writing, (8, 8))
    for label in ("0", "1", "2", "3", "4", "no"):
        for number in range(10):
            draw(workspace / "many" / label / f"{number}.png", number)
    for label in ("a", "b", "c", "d"):
        for number in range(6):
            draw(workspace / "few" / label / f"{number}.png", number)
            draw(workspace / "signed" / f"{label}{'_forg' * (number > 2)}/{number}.png", number)
            draw(workspace / "signed" / label / f"{number}.png", number)
    photos = workspace / "photos"
    files = sorted(str(file.relative_to(photos)) for file in photos.rglob("*.png"))
    rows = [(file, file.split("/")[0], f"w{row // 3}") for row, file in enumerate(files)]
    lines = [f"{file},{label},{group}" for file, label, group in rows]
    (workspace / "groups.csv").write_text("\n".join(["file,label,group", *lines]))
    lines = [f"{file}\t{label}\tK\xe4fer" for file, label, _ in rows]
    (workspace / "written.lst").write_text("\n".join(lines), encoding="cp1252")
    lines = [f"{file[:-4]};{label}" for file, label, _ in rows]
    (workspace / "suffix.csv").write_text("\n".join(["file;#1", *lines]))
    return workspace


def adopt_named(name: str, workspace: Path) -> Adopted:
    path, images, wanted = ADOPTED[name]
    return adopt(Path(path), Path(images) if images else None, wanted, workspace)


IN_PAIRS = [name for name in ADOPTED if name not in ("fast", "ink")]
EVERY_PAIR = [name for pair in product(IN_PAIRS, IN_PAIRS) for name in pair]


@pytest.mark.parametrize(
    "order",
    [
        ["novel", "written", "forged", "novel"],
        ["few", "fitted", "ink", "few", "fast"],
        pytest.param(EVERY_PAIR, marks=pytest.mark.slow),
    ],
)
def test_what_was_adopted_before_leaves_no_trace(data_sets: Path, order: list[str]) -> None:
    file = data_sets / "params.yaml"

    def content() -> tuple[Any, list[str]]:
        """The parameters, and the lines but for blanks: long values move comments."""
        text = file.read_text()
        return yaml.safe_load(text), [" ".join(line.split()) for line in text.splitlines()]

    fresh = {}
    for name in set(order):
        shutil.copyfile(ROOT / "params.yaml", file)
        adopt_named(name, data_sets)
        fresh[name] = content()
    for name in order:
        changes = adopt_named(name, data_sets).changes
        assert set(changes) <= {*DEFAULTS, "data.name", "data.path"}
        values, lines = content()
        assert values == fresh[name][0]
        assert lines == fresh[name][1]


def test_an_edit_of_what_adopting_does_not_set_stays(data_sets: Path) -> None:
    file = data_sets / "params.yaml"
    edited = {"duplicates.threshold": 0.3, "evaluate.resamples": 700, "compute.threads": 7}
    adopt(Path("few"), wanted=edited, workspace=data_sets)
    raised = check_params(file).prepare
    assert (raised.test, raised.validation) > (0.2, 0.1)
    changes = adopt(Path("photos"), workspace=data_sets).changes
    assert changes["prepare.test"] == (raised.test, 0.2), "raised for few images, and said so"
    params = check_params(file)
    found = params.duplicates.threshold, params.evaluate.resamples, params.compute.threads
    assert found == (0.3, 700, 7)


@pytest.mark.parametrize(
    ("n_classes", "n_images", "split_by"),
    [(600, 14, "sample"), (1000, 5, "class"), (2000, 5, "class")],
)
def test_many_classes_of_few_images_can_be_drawn(
    n_classes: int, n_images: int, split_by: str
) -> None:
    assert draw_what_is_set([n_images] * n_classes, 0, split_by, 0)


def test_the_command_says_what_it_did(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    assert main(["adopt", "photos", "--image-size", "64"]) == 0
    out = capsys.readouterr().out
    assert "data.name                 cifar100 -> folder" in out
    assert "data.image_size           32 -> 64" in out
    assert "Next: dvc repro" in out
    assert main(["adopt", "elsewhere"]) == 1
    assert "siamese: data.path: elsewhere: no such folder" in capsys.readouterr().err


@pytest.fixture
def table(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function that writes a table of the photos, adopts it, and returns `data.table`."""
    monkeypatch.chdir(workspace)
    photos = workspace / "photos"
    files = sorted(str(file.relative_to(photos)) for file in photos.rglob("*.png"))

    def adopted(header: str, row: str, name: str, encoding: str, *options: str) -> dict[str, Any]:
        """In `row`, `f` is the file, `s` is it without `.png`, `l` the label, `g` a group."""
        shutil.copyfile(ROOT / "params.yaml", "params.yaml")
        rows = [
            row.format(f=file, s=file[:-4], l=file.split("/")[0], g=f"w{number // 3}")
            for number, file in enumerate(files)
        ]
        lines = [*([header] if header else []), *rows]
        Path(name).write_text("\n".join(lines), encoding=encoding)
        assert main(["adopt", name, "--images", "photos", *options]) == 0
        check_params()
        return dict(yaml.safe_load(Path("params.yaml").read_text())["data"]["table"])

    return adopted


@pytest.mark.parametrize(
    ("header", "row", "name", "encoding", "options", "expected"),
    [
        (
            "file;label",
            "{f};Käfer {l}",
            "t.csv",
            "cp1252",
            "",
            {"separator": ";", "encoding": "cp1252"},
        ),
        ("file,label", "{f},{l}", "t.csv", "utf-8", "--encoding latin-1", {"encoding": "latin-1"}),
        ("file\tlabel", "{f}\t{l}", "t.csv", "utf-8", "--separator tab", {"separator": "\t"}),
        (
            "file;label",
            "{s};{l}",
            "t.csv",
            "utf-8",
            "--suffix .png",
            {"separator": ";", "suffix": ".png"},
        ),
        (
            "image,kind,sender_id",
            "{f},{l},{g}",
            *("t.csv", "utf-8"),
            "--file-column image --label-column kind --group-column sender_id",
            {"file": "image", "label": "kind", "group": "sender_id"},
        ),
        (
            "",
            "{f}, {l}, x{l}",
            *("t.txt", "utf-8"),
            "--no-header --coarse-column 3",
            {"file": "1", "label": "2", "coarse": "3", "header": False},
        ),
        (
            "",
            "{l} {f}",
            *("t.txt", "utf-8"),
            "--no-header --file-column 2 --label-column 1",
            {"file": "2", "label": "1", "header": False, "separator": " "},
        ),
    ],
)
def test_how_a_table_is_written_is_found_and_set(
    table: Callable[..., dict[str, Any]],
    header: str,
    row: str,
    name: str,
    encoding: str,
    options: str,
    expected: dict[str, Any],
) -> None:
    before = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]["table"]
    assert table(header, row, name, encoding, *options.split()) == before | expected


def test_the_command_says_what_it_understood_of_a_table(
    table: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    how = ("image;kind;group", "{f};{l};{g}", "t.csv", "cp1252", "--file-column", "image")
    table(*how, "--label-column", "kind", "--drop-labels", "bat")
    out = capsys.readouterr().out
    assert "columns `image` (file), `kind` (label), `group` (group), separated by ';'" in out
    assert "data.table.separator      ',' -> ';'" in out
    assert "data.drop_labels          [] -> ['bat']" in out
    assert "prepare.split_by          sample -> group" in out
    assert "left out by data.drop_labels: 1 class with 8 images in all, for example `bat`" in out
    table(*how, "--label-column", "kind", "--min-images", "12")
    out = capsys.readouterr().out
    assert "left out by data.min_images (12): 1 class with 8 images" in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("photos --label-column x", "photos: a folder, .*; data.table.label goes with a table"),
        ("photos --images photos", "photos: a folder, .*; data.images goes with a table"),
        ("t.csv --images photos --label-level leaf", "data.label_level goes with class folders"),
        ("t.csv --images photos --forged-suffix _x", r"\(`--kind-column`\); data.forged_suffix go"),
        ("photos --kind-column x", "photos: a folder, .*; data.table.kind goes with a table"),
        ("t.csv", r"by `siamese adopt --images` \(data\.images\)"),
        ("t.csv --images photos --group-column writer", "lacks the column `writer`"),
        ("t.csv --images photos --encoding utf8x", r"data\.table\.encoding is 'utf8x'"),
        ("t.csv --images photos --separator ab", r"data\.table\.separator is 'ab'"),
        ("t.csv --images photos --suffix .jpg", "none of the 50 files that it lists is in photos"),
        ("t.csv --images photos --drop-labels bta", "called `bta`; did you mean `bat`"),
        ("t.csv --images photos --min-images 0", r"`data\.min_images` is 0"),
        ("t.csv --images photos --test 2", r"`prepare\.test` is 2"),
        ("t.csv --images photos --label-column file", "`file` is to hold both file and label"),
    ],
)
def test_options_that_cannot_be_met(
    table: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    table("file,label", "{f},{l}", "t.csv", "utf-8")
    before = Path("params.yaml").read_bytes()
    capsys.readouterr()
    assert main(["adopt", *command.split()]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert Path("params.yaml").read_bytes() == before


def test_names_with_commas_and_levels_of_folders(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    for number in range(4):
        draw(workspace / "photos" / "a, b" / f"{number}.png")
    command = ["adopt", "photos", "--drop-labels", 'cat, "a, b"', "--label-level", "leaf"]
    assert main([*command, "--unreadable", "leave_out"]) == 0
    data = check_params().data
    assert data.unreadable == "leave_out"
    assert data.drop_labels == ["cat", "a, b"]
    assert data.label_level == "leaf"
    assert main(["adopt", "photos", "--label-level", "1"]) == 0
    assert check_params().data.label_level == 1
    assert check_params().data.drop_labels == []
    assert check_params().data.unreadable == "stop"
    with pytest.raises(SystemExit):
        main(["adopt", "photos", "--label-level", "deep"])
    assert "'deep'; expected top, leaf or a number from 1 on" in capsys.readouterr().err


def test_a_set_of_faces_most_of_whom_have_one_picture(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Labeled Faces in the Wild is."""
    monkeypatch.chdir(workspace)
    for person in range(60):
        for number in range(1 if person % 10 < 7 else 2 + person % 5):
            file = workspace / f"faces/P_{person:02}/P_{person:02}_{number:04}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    assert main(["adopt", "faces"]) == 1
    assert "`siamese adopt --min-images 2`" in capsys.readouterr().err
    for options in ([], ["--split-by", "class"]):
        assert main(["adopt", "faces", "--min-images", "2", *options]) == 0
        out = capsys.readouterr().out
        assert "images of 18 classes" in out
        assert "left out by data.min_images (2): 42 classes with 42 images in all" in out


def test_photographs_are_given_a_pretrained_network(
    workspace: Path, weights: Path, jpegs: Path
) -> None:
    adopted = adopt(Path("jpegs"), workspace=workspace)
    content = yaml.safe_load((workspace / "params.yaml").read_text())
    assert content["network"]["architecture"] == NETWORK
    assert content["weights"]["bytes"] == weights.stat().st_size
    assert content["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["weights"]["source"].startswith("hf:timm/")
    counts = {"pairs.batch_size", "pairs.classes_per_batch"}
    for name, value in (OF_TIMM | FINE_TUNING | AUGMENT).items():
        if name not in counts:  # which depend on the data
            assert value_of(content, name) == value, name
    assert content["train"]["monitor_gallery"] == 14, "all there are to train on"
    assert adopted.is_pretrained
    [what, so] = adopted.found[3:]
    assert "taken for photographs: 24 of the 24 images that were opened are colourful" in what
    assert f"so {NETWORK} is fitted to them" in so
    assert "at 160 x 160 pixels" in so
    check_params(workspace / "params.yaml")


@pytest.mark.parametrize(
    ("options", "network", "size", "freeze"),
    [
        ("--fast", NETWORK, 224, "backbone"),
        ("--freeze none --image-size 128", NETWORK, 128, "none"),
        ("--network timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k", 160, "none"),
        ("--network timm/vit_tiny_patch16_224", "timm/vit_tiny_patch16_224", 160, "none"),
        ("--weights none", "resnet9", 64, "none"),
        ("--weights none --network timm/resnet18", "timm/resnet18", 160, "none"),
        ("--network conv4 --image-size 32", "conv4", 32, "none"),
        ("--kind drawings", "resnet9", 64, "none"),
        ("--kind small", "resnet9", 32, "none"),
        ("--kind drawings --fast", NETWORK, 224, "backbone"),
        ("--kind writing --weights pretrained", NETWORK, 160, "none"),
        ("--weights none --image-size 32x96", "resnet9", (32, 96), "none"),
    ],
)
def test_each_proposal_is_an_option(
    workspace: Path,
    weights: Path,
    jpegs: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    network: str,
    size: int | Size,
    freeze: str,
) -> None:
    monkeypatch.chdir(workspace)
    assert main(["adopt", "jpegs", *options.split()]) == 0
    found = check_params()
    is_pretrained = network.startswith("timm/") and "--weights none" not in options
    assert found.network.architecture == network
    assert found.data.image_size == sides(size)
    assert found.train.freeze == freeze
    assert (found.weights.source != "none") == is_pretrained
    assert (found.train.optimizer == "adamw") == is_pretrained
    assert found.network.mirror == ("writing" not in options)
    is_photographs = network.startswith("timm/") and "--kind" not in options
    is_cropped = is_photographs and freeze != "backbone"
    assert (found.train.augment.resized_crop < 1) == is_cropped
    takes_any = is_cropped and "vit" not in network
    smaller = {(160, 160): 128, (128, 128): 96}
    assert found.train.augment.resized_to == (smaller[found.data.image_size] if takes_any else 0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((192, 62), [64, 192]),
        ((40, 130), [192, 64]),
        ((150, 110), 64),
        ((300, 20), [64, 256]),
        ((90, 40), [32, 64]),
    ],
)
def test_writing_is_given_its_shape_its_ink_and_its_changes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], size: Any
) -> None:
    def line(number: int) -> Image.Image:
        return writing(number).crop((15, 45, 135, 75)).resize(shape)

    monkeypatch.chdir(workspace)
    make_folders(workspace / "names", line, (8, 7, 9), ".png")
    before = check_params()
    adopted = adopt(Path("names"), kind="writing")
    assert adopted.changes.get("data.image_size", (32, 32)) == (32, size)
    text = Path("params.yaml").read_text()
    assert f"image_size: {size} " in text
    assert "# pixels; images are brought to" in text
    found = check_params()
    assert found.data.fit == "ink"
    assert found.network.width == 16
    assert not found.network.mirror
    assert not found.train.augment.flip
    augment = found.train.augment
    assert min(augment.rotate, augment.scale, augment.stroke) > 0
    high, wide = found.data.image_size
    said = "\n".join(adopted.found)
    assert f"{shape[1]} x {shape[0]} pixels, height and width" in said
    assert f"at {high} x {wide} pixels, of what is written alone, black on white" in said
    options = "--kind writing --fit pad --image-size 48x64 --mirror"
    changes = "--no-augment --stroke 0.5 --crop 3 --cutout 9"
    assert main(["adopt", "names", *options.split(), *changes.split()]) == 0
    found = check_params()
    assert (found.data.fit, found.data.image_size) == ("pad", (48, 64))
    augment = found.train.augment
    assert (augment.rotate, augment.stroke, augment.crop, augment.cutout) == (0, 0.5, 3, 9)
    assert found.network.mirror
    adopt(Path("photos"))
    again = check_params()
    assert (again.data.image_size, again.data.fit) == (before.data.image_size, "pad")
    assert again.train.augment == before.train.augment


@pytest.mark.parametrize("size", ["64x", "x64", "64x64x64", "large", "64.5"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adopt", "photos", "--image-size", size])
    assert f"'{size}' is no size; expected pixels as 64, or" in capsys.readouterr().err


def test_augmentation_is_an_option(
    workspace: Path, weights: Path, jpegs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    assert main(["adopt", "jpegs", "--no-augment", "--jitter", "0.3"]) == 0
    augment = check_params().train.augment.model_dump()
    names = {name.removeprefix("train.augment."): value for name, value in NO_AUGMENT.items()}
    assert augment == names | {"jitter": 0.3}
    assert check_params().network.mirror
    assert main(["adopt", "jpegs", "--augment", "--policy", "trivial", "--erase", "0.2"]) == 0
    found = check_params().train.augment
    assert (found.policy, found.erase) == ("trivial", 0.2)
    assert found.resized_crop == AUGMENT["train.augment.resized_crop"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--network resnet9 --weights pretrained", "are for networks of timm"),
        ("--network resnet9 --fast", "starts from random weights, of which nothing is worth"),
        ("--weights none --fast", "resnet9 starts from random weights"),
        ("--network timm/tf_eficientnet_lite0", "did you mean `timm/tf_efficientnet_lite0`"),
        ("--copy nowhere.safetensors", "nowhere.safetensors.*\nNothing was changed"),
        ("--weights params.yaml", "params.yaml.*\nNothing was changed.*`--weights none` trains"),
        ("--resized-crop 0", r"`train\.augment\.resized_crop` is 0"),
    ],
)
def test_a_network_that_cannot_be_had_changes_nothing(
    workspace: Path,
    weights: Path,
    jpegs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: str,
    message: str,
) -> None:
    monkeypatch.chdir(workspace)
    before = Path("params.yaml").read_bytes()
    assert main(["adopt", "jpegs", *options.split()]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert Path("params.yaml").read_bytes() == before


def test_a_copy_of_the_weights_is_needed_again(
    workspace: Path,
    weights: Path,
    jpegs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("SIAMESE_WEIGHTS")
    assert main(["adopt", "jpegs", "--copy", "weights.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "Next: SIAMESE_WEIGHTS=weights.safetensors dvc repro" in out
    assert "  train.augment.resized_crop 1.0 -> " in out
    assert "(`--fast`: its last layer alone)" in out


@pytest.mark.parametrize(
    ("kind", "n_classes"), [*product(KINDS, [5]), ("photographs", 2), ("photographs", 300)]
)
def test_what_is_proposed_is_accepted(
    workspace: Path, weights: Path, kind: Kind, n_classes: int
) -> None:
    for number in range(6 * n_classes):
        (workspace / f"photos/{number}.jpg").touch()
    rows = [f"{number}.jpg,{number % n_classes}" for number in range(6 * n_classes)]
    (workspace / "table.csv").write_text("\n".join(["file,label", *rows]))
    adopt(Path("table.csv"), Path("photos"), workspace=workspace, kind=kind)
    pairs = check_params(workspace / "params.yaml").pairs
    assert pairs.classes_per_batch == min(n_classes, 16 if kind == "photographs" else 32)
    assert pairs.batches_per_epoch * pairs.classes_per_batch >= 2 * n_classes


def test_how_much_disk_is_taken_is_said_if_it_is_much(workspace: Path) -> None:
    for number in range(600):
        (workspace / f"photos/{number}.jpg").touch()
    rows = [f"{number}.jpg,{number % 5}" for number in range(600)]
    (workspace / "table.csv").write_text("\n".join(["file,label", *rows]))

    def notes(size: int) -> list[str]:
        adopted = adopt(
            Path("table.csv"), Path("photos"), {"data.image_size": size}, workspace, kind="small"
        )
        return [note for note in adopted.notes if "data/prepared" in note]

    assert notes(700) == []
    [note] = notes(768)
    assert "data/prepared will take 1.1 GB (600 images of 768 x 768 pixels" in note


@pytest.mark.parametrize(
    ("n_train", "times"), [(100, 61), (600, 24), (1_200, 12), (2_400, 6), (15_000, 6), (100_000, 6)]
)
def test_how_often_fine_tuning_meets_each_image(n_train: int, times: int) -> None:
    """Six times; of a small set more often, but not without end."""
    samples = pd.DataFrame(
        [{"split": "train", "fine": row % 10} for row in range(n_train)]
        + [{"split": split, "fine": row % 10} for split in CUT for row in range(100)]
    )
    found = fitting(samples, FINE_TUNING, images_per_epoch)
    n_images = 2 * found["pairs.batch_size"] * found["pairs.batches_per_epoch"]
    assert round(n_images * FINE_TUNING["pairs.epochs"] / n_train) == times


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=40),
    novel=st.sampled_from([0, 0, 2, 3]),
    split_by=st.sampled_from(["sample", "sample", "class"]),
    seed=st.integers(0, 3),
    is_tuned=st.booleans(),
)
def test_what_is_set_can_be_drawn(
    counts: list[int], novel: int, split_by: str, seed: int, is_tuned: bool
) -> None:
    """Of any classes that can be split at all, every pair that is asked for can be drawn."""
    draw_what_is_set(counts, novel, split_by, seed, is_tuned)


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(6, 20), min_size=2, max_size=30),
    equal=st.booleans(),
    seed=st.integers(0, 3),
)
def test_six_images_per_class_are_enough(counts: list[int], equal: bool, seed: int) -> None:
    """Two in each split; shares that would give too few are raised."""
    assert draw_what_is_set([counts[0]] * len(counts) if equal else counts, 0, "sample", seed)


def test_shares_are_raised_only_where_data_is_scarce(workspace: Path) -> None:
    for number in range(1000):
        (workspace / f"photos/{number}.png").touch()

    def shares(n_classes: int, n_images: int, **columns: list[Any]) -> tuple[set[str], list[str]]:
        shutil.copyfile(ROOT / "params.yaml", workspace / "params.yaml")
        labels = [str(number) for number in range(n_classes) for _ in range(n_images)]
        files = [f"{number}.png" for number in range(len(labels))]
        table = pd.DataFrame({"file": files, "label": labels} | columns)
        table.to_csv(workspace / "table.csv", index=False)
        adopted = adopt(Path("table.csv"), Path("photos"), workspace=workspace)
        raised = {
            name for name in adopted.changes if name in ("prepare.test", "prepare.validation")
        }
        return raised, adopted.notes

    def few(notes: list[str]) -> bool:
        return any("pairs of validation images" in note for note in notes)

    raised, notes = shares(10, 100)
    assert raised == set()
    assert not few(notes)
    raised, notes = shares(20, 10)
    assert raised == {"prepare.validation"}
    assert few(notes)
    assert shares(50, 6)[0] == {"prepare.test", "prepare.validation"}
    eleven_writers = [str(number % 11) for number in range(240)]
    assert shares(4, 60, group=eleven_writers)[0] == {"prepare.validation"}
    with pytest.raises(InputError, match="no pair of one class; add images: a class needs six"):
        shares(50, 4)
    before = yaml.safe_load((workspace / "params.yaml").read_text())
    assert before["prepare"]["validation"] == 0.1
    three_writers = [str(number % 3) for number in range(240)]
    assert shares(4, 60, group=three_writers)[0] == {"prepare.test", "prepare.validation"}
    with pytest.raises(InputError, match=r"the number of groups is 1; .* at least three"):
        shares(4, 60, group=[str(number % 2) for number in range(240)])


def test_mirror_images(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    assert main(["adopt", "photos"]) == 0
    assert "note: mirror images count as the same thing" in capsys.readouterr().out
    assert main(["adopt", "photos", "--mirror"]) == 0
    assert "note: mirror" not in capsys.readouterr().out, "it was asked for"
    assert main(["adopt", "photos", "--no-mirror"]) == 0
    out = capsys.readouterr().out
    assert "train.augment.flip        True -> False" in out
    assert "network.mirror            True -> False" in out
    assert "note: mirror" not in out
    found = check_params()
    assert not found.train.augment.flip
    assert not found.network.mirror


def draw_what_is_set(
    counts: list[int], novel: int, split_by: str, seed: int, is_tuned: bool = False
) -> bool:
    """Draw all pairs; return False if it was said before that there are too few images."""
    fine = np.repeat(np.arange(len(counts)), counts)
    samples = pd.DataFrame(
        {
            "split": None,
            "fine": fine,
            "coarse": pd.array([None] * len(fine), dtype="Int64"),
            "file": [f"{row}.png" for row in range(len(fine))],
        }
    )
    classes = Classes(tuple(map(str, range(len(counts)))))
    prepare = params(split_by=split_by, seed=seed)
    try:
        _, cut = cut_with_pairs(samples, classes, novel, prepare)
        cut = cut.reset_index(drop=True)
        check_splits(cut, classes, split_by)
        most, per_epoch = (FINE_TUNING, images_per_epoch) if is_tuned else (DEFAULTS, None)
        found = fitting(cut, most, per_epoch)
    except InputError:
        return False
    cut["sample"] = np.arange(len(cut))
    cut["duplicate_of"] = pd.array([None] * len(cut), dtype="Int64")
    dataset = Dataset(np.zeros((len(cut), 1, 1, 3), np.uint8), cut, classes)
    asked = {name.partition(".")[2]: v for name, v in found.items() if name.startswith("pairs.")}
    how = PairsParams(epochs=1, given="data/none", forged=0.5, seed=0, **asked)
    training = draw_training(dataset, how)
    assert len(training) == how.batches_per_epoch * how.batch_size
    for split in ("validation", "test"):
        fixed = draw_fixed(dataset, split, how)
        assert len(fixed) == asked[split]
        assert not fixed.duplicated(["left", "right"]).any()
    return True
