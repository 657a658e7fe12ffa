"""A model with a network of timm, as a person uses it: gallery, answers, service, export."""

import json
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("timm")
pytest.importorskip("fastapi")

from siamese.base.dataset import load_dataset
from siamese.cli.main import main
from siamese.model.folder import load_model
from tests.support.service import serving
from tests.support.timm_project import timm_project
from tests.support.workspace import Workspace

NETWORK = "16 x 16 pixels, trained from hf:timm/made-up (license: apache-2.0)"


@pytest.fixture(params=["test_efficientnet", pytest.param("test_vit", marks=pytest.mark.slow)])
def project(
    request: pytest.FixtureRequest,
    finished: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Stand in a project; two of its training images lie there as pictures."""
    folder = timm_project(finished, request.param, tmp_path / request.param)
    dataset = load_dataset(folder / "data/prepared")
    for row in dataset.rows("train")[:2]:
        Image.fromarray(np.asarray(dataset.images[row])).save(folder / f"{row}.png")
    monkeypatch.chdir(folder)
    return folder


def test_it_answers_from_the_gallery_that_it_made(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "build"]) == 0
    capsys.readouterr()
    assert main(["gallery", "info"]) == 0
    assert f"network         timm/{project.name}, {NETWORK}\n" in capsys.readouterr().out
    assert main(["gallery", "info", "--model", "elsewhere"]) == 0
    assert "network         not known: elsewhere is not that model\n" in capsys.readouterr().out
    pictures = sorted(map(str, project.glob("*.png")))
    assert main(["classify", *pictures, "-k", "1", "--json"]) == 0
    dataset = load_dataset(project / "data/prepared")
    for line in capsys.readouterr().out.splitlines():
        answer = json.loads(line)
        row = int(Path(answer["file"]).stem)
        assert answer["neighbours"][0]["number"] == row
        assert answer["neighbours"][0]["distance"] == pytest.approx(0, abs=1e-3)
        assert answer["label"] == dataset.classes.fine[dataset.fine()[row]]
    assert main(["verify", *pictures, "--json"]) == 0
    images = np.stack([np.asarray(Image.open(one)) for one in pictures])
    left, right = load_model("data/model").embed(images)
    found = json.loads(capsys.readouterr().out)["distance"]
    assert found == pytest.approx(float(np.linalg.norm(left - right)), abs=1e-5)


@pytest.mark.slow
def test_the_service_says_which_network_answers(project: Path) -> None:
    assert main(["gallery", "build"]) == 0
    with serving(project, "--runtime", "onnx", log=project / "log") as server:
        assert f"network: timm/{project.name}, {NETWORK}\n" in server.log.read_text()
        found = httpx.get(f"{server.url}/gallery").json()["network"]
    assert found["architecture"] == f"timm/{project.name}"
    assert found["origin"] == {
        "source": "hf:timm/made-up",
        "sha256": "0" * 64,
        "license": "apache-2.0",
    }


@pytest.mark.slow
def test_it_is_exported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "model.onnx"]) == 0
    assert f"model.onnx: timm/{project.name}, {NETWORK}; " in capsys.readouterr().out
