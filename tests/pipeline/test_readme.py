"""The documentation's Python, as a reader would run it: in a place with a finished pipeline."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.base.dataset import load_dataset
from siamese.gallery.build import build
from tests.support.workspace import ROOT, Workspace, new_workspace

README = (ROOT / "README.md").read_text()

BLOCKS = [
    pytest.param(block, id=f"{file.stem}-{number}")
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)
    )
]


@pytest.fixture(scope="module")
def place(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documentation takes for granted: `data/`, a gallery, `photo.png` and `other.png`."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("model", "embeddings", "prepared"):
        shutil.copytree(finished.path / "data" / name, folder / "data" / name)
    data = folder / "data"
    build(data / "gallery", data / "model", data / "embeddings/gallery.parquet", data / "prepared")
    dataset = load_dataset(data / "prepared")
    photos = dataset.images[dataset.rows("test")[[0, 99]]]
    for name, photo in zip(("photo.png", "other.png"), photos, strict=True):
        Image.fromarray(np.asarray(photo)).resize((60, 60)).save(folder / name)
    return folder


@pytest.mark.slow
def test_from_a_folder_of_images_to_figures_as_the_readme_has_it(tmp_path: Path) -> None:
    """The four commands and the folder they begin with, word for word, in the project's state."""
    section = README.partition("## Your own images")[2].partition("\n## ")[0]
    [python] = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    [bash] = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert len(bash.splitlines()) == 4
    workspace = new_workspace(tmp_path / "repository")
    shutil.copyfile(ROOT / "params.yaml", workspace.path / "params.yaml")
    workspace.run(sys.executable, "-c", python)
    output = workspace.run("bash", "-ec", bash)
    figures = re.findall(r"embedding, k = 20 +([\d.]+)%", output)
    assert len(figures) == 1
    assert float(figures[0]) > 95


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
