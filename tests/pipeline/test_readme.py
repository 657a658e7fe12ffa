"""The documentation's Python and its first commands, as a reader would run them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese.base.dataset import Dataset, load_dataset
from siamese.cli.main import main
from siamese.cli.schema import check_params
from siamese.export.file import export
from siamese.gallery.build import build
from siamese.pairs.given import read_given
from siamese.preparation.folder import list_images
from siamese.preparation.splits import cut_splits
from tests.support.benchmarks import OTHER_FACES, PER_CLASS, TESTED, make_benchmarks
from tests.support.workspace import ROOT, Workspace, new_workspace

README, OWN_IMAGES = ROOT / "README.md", ROOT / "docs/own-images.md"


def section_of(file: Path, heading: str) -> str:
    """Return the text below a heading of the second level, up to the next one."""
    return file.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks_of(text: str, language: str) -> list[str]:
    """Return the content of the text's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


BLOCKS = [
    pytest.param(block, id=f"{file.stem}-{number}")
    for file in [README, *sorted((ROOT / "docs").glob("*.md"))]
    for number, block in enumerate(blocks_of(file.read_text(), "python"))
]


@pytest.fixture(scope="module")
def place(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documentation assumes: `data/`, a gallery, `model.onnx`, files of other formats."""
    folder = tmp_path_factory.mktemp("readme")
    make_benchmarks(folder)
    for name in ("model", "embeddings", "prepared"):
        shutil.copytree(finished.path / "data" / name, folder / "data" / name)
    data = folder / "data"
    build(data / "gallery", data / "model", data / "embeddings/gallery.parquet", data / "prepared")
    export(data / "model", folder / "model.onnx", data / "prepared")
    dataset = load_dataset(data / "prepared")
    photos = dataset.images[dataset.rows("test")[[0, 99]]]
    for name, photo in zip(("photo.png", "other.png"), photos, strict=True):
        Image.fromarray(np.asarray(photo)).resize((60, 60)).save(folder / name)
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, folder / "resnet50.pth")
    return folder


@pytest.mark.slow
def test_from_a_folder_of_images_to_figures(tmp_path: Path) -> None:
    """The example's folder and commands, word for word, in the project's state."""
    section = section_of(OWN_IMAGES, "An example to try")
    [python] = blocks_of(section, "python")
    [bash] = blocks_of(section, "bash")
    workspace = new_workspace(tmp_path / "repository")
    shutil.copyfile(ROOT / "params.yaml", workspace.path / "params.yaml")
    workspace.run(sys.executable, "-c", python)
    output = workspace.run("bash", "-ec", bash)
    figures = re.findall(r"embedding, k = 20 +([\d.]+)%", output)
    assert len(figures) == 1
    assert float(figures[0]) > 95


def test_the_readme_has_the_commands_of_the_example_without_its_options() -> None:
    [readme] = blocks_of(section_of(README, "Your own images"), "bash")
    [example] = blocks_of(section_of(OWN_IMAGES, "An example to try"), "bash")
    commands = [line.partition("#")[0].strip() for line in readme.splitlines()]
    assert len(commands) == 4
    options = " --kind writing --image-size 16"
    assert example.count(options) == 1
    assert commands == example.replace(options, "").splitlines()


def test_the_documentation_has_python() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_as_it_is(block: str, place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_table_of_groceries_has_what_the_lists_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_benchmarks(tmp_path)
    monkeypatch.chdir(tmp_path)
    [block] = blocks_of(section_of(ROOT / "docs/photographs.md", "What was measured"), "python")
    exec(block, {})
    assert Path("grocery.csv").read_text().splitlines() == [
        "file,label,coarse,split",
        "train/Fruit/0/train.jpg,Gala,Apple,train",
        "train/Fruit/1/train.jpg,Fuji,Apple,train",
        "train/Fruit/2/train.jpg,Lime,Lime,train",
        "val/Fruit/1/val.jpg,Fuji,Apple,validation",
        "val/Fruit/2/val.jpg,Lime,Lime,validation",
        "test/Fruit/2/test.jpg,Lime,Lime,test",
        "test/Fruit/0/test.jpg,Gala,Apple,test",
    ]


def test_the_tables_of_the_benchmarks_can_be_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tested is of classes that training has not, all images are in the tables."""
    make_benchmarks(tmp_path)
    monkeypatch.chdir(tmp_path)
    section = section_of(ROOT / "docs/photographs.md", "The retrieval benchmarks")
    for block in blocks_of(section, "python")[:4]:
        exec(block, {})
    [commands] = blocks_of(section, "bash")
    adopted = {}
    for command in commands.splitlines():
        shutil.copyfile(ROOT / "params.yaml", "params.yaml")
        assert main(command.split()[1:]) == 0
        params = check_params()
        listing = list_images(params.data, Path())
        assert not any("without a" in note for note in listing.notes)
        cut = cut_splits(listing.samples, listing.classes, 0, params.prepare)
        counts = {"train": 3 * PER_CLASS, "validation": 2 * PER_CLASS, "test": 4 * PER_CLASS}
        assert cut["split"].value_counts().to_dict() == counts
        tested = cut.loc[cut["split"] == "test", "fine"]
        adopted[params.data.path] = {listing.classes.fine[label] for label in tested}
    assert adopted == TESTED


def test_the_tables_of_lfw_can_be_adopted_and_its_pairs_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_benchmarks(tmp_path)
    monkeypatch.chdir(tmp_path)
    section = section_of(ROOT / "docs/given-pairs.md", "Labeled Faces in the Wild")
    [block] = blocks_of(section, "python")
    exec(block, {})
    command = next(line for line in section.splitlines() if line.startswith("siamese adopt"))
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    assert main(command.partition("#")[0].split()[1:]) == 0
    params = check_params()
    listing = list_images(params.data, Path())
    cut = cut_splits(listing.samples, listing.classes, 0, params.prepare).reset_index(drop=True)
    tested = {listing.classes.fine[label] for label in cut.loc[cut["split"] == "test", "fine"]}
    assert tested == {"Ann_Ray", "Bo_Li", "Cy_Orr", "Di_Fox"}, "all persons of the protocol"
    assert {*listing.classes.fine} == {*tested, "Ed_Poe", *OTHER_FACES}, "one has a single image"
    cut = cut.assign(sample=cut.index, duplicate_of=pd.array([None] * len(cut), dtype="Int64"))
    images = np.zeros((len(cut), 0, 0, 3), np.uint8)
    given = read_given(Path("lfw_pairs.csv"), Dataset(images, cut, listing.classes))
    assert list(given) == ["test"]
    found = given["test"]
    assert found["fold"].tolist() == [0] * 4 + [1] * 4
    assert found["same"].tolist() == [True, True, False, False] * 2
    names = cut["file"].to_numpy()[found[["left", "right"]]]
    assert names[0].tolist() == ["lfw/Ann_Ray/Ann_Ray_0001.jpg", "lfw/Ann_Ray/Ann_Ray_0003.jpg"]
    assert names[7].tolist() == ["lfw/Ann_Ray/Ann_Ray_0002.jpg", "lfw/Di_Fox/Di_Fox_0001.jpg"]


def test_the_table_of_odd_inputs_names_tests_that_exist() -> None:
    text = (ROOT / "docs/odd-inputs.md").read_text()
    named = re.findall(r"`(\w+)/(test_\w+)`", text)
    assert len(named) > 30
    for folder, name in named:
        files = (ROOT / "tests" / folder).glob("test_*.py")
        assert any(f"def {name}(" in file.read_text() for file in files), f"{folder}/{name}"
