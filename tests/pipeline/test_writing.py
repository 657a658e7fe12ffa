"""The pipeline on writing that is wider than high: from `siamese adopt` to the answers."""

import json
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from siamese.base.dataset import load_dataset
from siamese.export.runtime import open_session
from siamese.images.reading import load_image
from siamese.model.folder import load_model
from tests.support.pipeline_output import metrics, stages_run
from tests.support.service import serving
from tests.support.workspace import Workspace, new_workspace

WORDS = ("anna", "bo smith", "x.y.", "quillwort", "0815", "mmm")
SIZE = (16, 48)


def signature(word: str, number: int, paper: int = 235, pen: int = 30) -> Image.Image:
    """A word, a little turned, somewhere on a page that is wider than high."""
    rng = np.random.default_rng(number)
    page = Image.new("L", (240, 80), paper)
    font = ImageFont.load_default(int(rng.integers(20, 32)))
    ImageDraw.Draw(page).text(tuple(rng.integers(5, 40, 2)), word, fill=pen, font=font)
    turned = page.rotate(rng.uniform(-4, 4), Image.Resampling.BILINEAR, fillcolor=paper)
    noise = rng.normal(0, 3, (80, 240))
    return Image.fromarray((np.asarray(turned) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.slow
def test_signatures_are_adopted_trained_on_and_asked_about(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "repository")
    for label, word in enumerate(WORDS):
        (workspace.path / f"names/{label}").mkdir(parents=True)
        for number in range(20):
            file = workspace.path / f"names/{label}/{number}.png"
            signature(word, 100 * label + number).save(file)
    workspace.commit("signatures")
    printed = workspace.siamese("adopt", "names", "--image-size", "16x48")
    assert "taken for writing" in printed
    short = {"epochs": 3, "batches_per_epoch": 8}
    few = {"resamples": 100, "sheet_queries": 2, "sheet_neighbours": 2}
    workspace.change_params({"pairs": short, "network": {"width": 8}, "evaluate": few})
    ran = stages_run(workspace.dvc("repro"))
    assert ran >= {"prepare", "duplicates", "train", "embed", "floor", "evaluate"}
    assert metrics(workspace, "evaluation")["knn"]["k1"] > 2 / len(WORDS)
    images = load_dataset(workspace.path / "data/prepared").images
    assert images.shape[1:] == (*SIZE, 3)
    assert (images[:, 0] == 255).mean() > 0.95, "paper is white"
    assert (images.min(axis=(1, 2, 3)) < 64).all(), "ink is black"
    stored = json.loads((workspace.path / "data/model/network.json").read_text())
    assert (stored["image_size"], stored["fit"]) == ([16, 48], "ink")

    _check_answers(workspace, tmp_path)


def _check_answers(workspace: Workspace, tmp_path: Path) -> None:
    """Ask about a word in chalk, in every way: all find what its ink is nearest to."""
    model = load_model(workspace.path / "data/model")
    chalk = workspace.path / "chalk.png"
    signature(WORDS[3], 7, paper=25, pen=240).save(chalk)
    ink = load_image(workspace.path / "chalk.png", SIZE, "ink")
    workspace.siamese("gallery", "build")
    assert "16 x 48 pixels" in workspace.siamese("gallery", "info", "--model", "data/model")
    answer = json.loads(workspace.siamese("classify", "chalk.png", "--json"))
    assert answer["votes"][0]["label"] == "3"
    workspace.siamese("search", "chalk.png", "--sheet", "sheet.png")
    workspace.siamese("enroll", "chalk.png", "--label", "chalk")
    found = json.loads(workspace.siamese("search", "chalk.png", "-k", "1", "--json"))
    assert (found["label"], found["distance"] < 1e-3) == ("chalk", True)

    workspace.siamese("export", "model.onnx")
    session = open_session((workspace.path / "model.onnx").read_bytes())
    about = session.get_modelmeta().custom_metadata_map
    assert (about["siamese.image_size"], about["siamese.fit"]) == ("[16, 48]", "ink")
    [embedding] = session.run(None, {"images": ink[None]})
    np.testing.assert_allclose(embedding, model.embed(ink[None]), atol=1e-5)

    with serving(workspace.path, log=tmp_path / "log") as server:
        network = httpx.get(f"{server.url}/gallery").json()["network"]
        assert (network["image_size"], network["fit"]) == ([16, 48], "ink")
        files = {"images": ("chalk.png", chalk.read_bytes())}
        [again] = httpx.post(f"{server.url}/classify", files=files).json()
        assert again["votes"][0]["label"] in ("3", "chalk")
        assert again["neighbours"][0]["label"] == "chalk"
