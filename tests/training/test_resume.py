"""The name of unfinished training: another one where anything that decides the result differs."""

from pathlib import Path

import pytest

from siamese.training.resume import run_name

RAN_ON = {"device": "cpu"}
PIPELINE = """
stages:
  train:
    params: [data.fit, train]
    deps: [stages/train.py, src/training, data/images.npy]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in {
        "dvc.yaml": PIPELINE,
        "params.yaml": "data: {fit: pad, name: digits}\ntrain: {margin: 1.0}\n",
        "stages/train.py": "stage",
        "src/training/trainer.py": "trainer",
        "src/training/deep/step.py": "step",
        "src/training/__pycache__/trainer.pyc": "compiled",
        "src/gallery/search.py": "search",
        "data/images.npy": "images",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def change(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("params.yaml", "margin: 1.0", "margin: 0.9"),
        ("params.yaml", "fit: pad", "fit: crop"),
        ("stages/train.py", "stage", "other"),
        ("src/training/deep/step.py", "step", "other"),
        ("data/images.npy", "images", "other"),
    ],
)
def test_whatever_the_stage_lists_gives_another_name(
    project: Path, name: str, old: str, new: str
) -> None:
    before = run_name("train", RAN_ON, project)
    assert run_name("train", RAN_ON, project) == before
    change(project, name, old, new)
    assert run_name("train", RAN_ON, project) != before


def test_a_new_file_or_another_device_gives_another_name(project: Path) -> None:
    before = run_name("train", RAN_ON, project)
    assert run_name("train", {"device": "cuda"}, project) != before
    (project / "src/training/new.py").touch()
    assert run_name("train", RAN_ON, project) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("params.yaml", "name: digits", "name: cifar100"),
        ("src/training/__pycache__/trainer.pyc", "compiled", "other"),
        ("src/gallery/search.py", "search", "other"),
    ],
)
def test_what_the_stage_does_not_list_makes_no_difference(
    project: Path, name: str, old: str, new: str
) -> None:
    before = run_name("train", RAN_ON, project)
    change(project, name, old, new)
    assert run_name("train", RAN_ON, project) == before


def test_the_project_itself_lists_what_can_be_read() -> None:
    """Of the real dvc.yaml every listed parameter and folder of code must be found."""
    assert len(run_name("train", RAN_ON, Path(__file__).parents[2])) == 16
