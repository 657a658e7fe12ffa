"""The pipeline on photographs, with a pretrained network of timm: as the documentation starts."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.embeddings.embedding_file import load_embeddings
from siamese.images.reading import load_image
from siamese.model.folder import load_model
from tests.support.kinds import photograph
from tests.support.pipeline_output import metrics, stages_run
from tests.support.timm_weights import made_up_weights
from tests.support.workspace import ROOT, Workspace, new_workspace

NETWORK = "test_efficientnet"
CLASSES, PER_CLASS = 4, 24
REAL_WEIGHTS = ROOT.parent / "shared/weights/tf_efficientnet_lite0.safetensors"
GROCERIES = ROOT.parent / "shared/images/grocery.tar"


def tinted(folder: Path) -> None:
    """Write photographs whose classes differ in colour."""
    for label in range(CLASSES):
        colour = np.roll([1.0, 0.75, 0.4], label) if label < 3 else np.ones(3)
        (folder / f"{label}").mkdir(parents=True)
        for number in range(PER_CLASS):
            pixels = np.asarray(photograph(100 * label + number)) * colour
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / f"{label}/{number}.jpg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Photographs and weights under Git's control, nothing run yet."""
    workspace = new_workspace(tmp_path_factory.mktemp("photographs") / "repository")
    tinted(workspace.path / "photos")
    made_up_weights(workspace.path / "start.safetensors", NETWORK, noise=0)
    workspace.commit("photographs")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--fast",)])
def test_photographs_are_adopted_trained_on_and_asked_about(
    drawn: Workspace, tmp_path: Path, options: tuple[str, ...]
) -> None:
    workspace = drawn.copy_to(tmp_path / "repository")
    weights = ("--network", f"timm/{NETWORK}", "--weights", "start.safetensors")
    printed = workspace.siamese("adopt", "photos", *weights, "--image-size", "64", *options)
    assert "taken for photographs" in printed
    assert "Next: dvc repro, and siamese show" in printed
    short = {"epochs": 3, "batches_per_epoch": 8}
    workspace.change_params({"pairs": short, "evaluate": {"resamples": 100}})
    ran = stages_run(workspace.dvc("repro"))
    assert ran >= {"weights", "prepare", "train", "embed", "floor", "evaluate"}
    assert metrics(workspace, "evaluation")["knn"]["k1"] > 1.5 / CLASSES
    assert not workspace.dvc("status", "--json").strip("{}\n")
    model = load_model(workspace.path / "data/model")
    assert model.origin is not None
    assert model.origin.source == "start.safetensors"

    workspace.siamese("gallery", "build")
    told = workspace.siamese("gallery", "info", "--model", "data/model")
    assert re.search(rf"timm/{NETWORK}, 64 x 64 pixels.* start\.safetensors", told)
    answer = json.loads(workspace.siamese("classify", "photos/0/0.jpg", "--json"))
    assert sum(vote["share"] for vote in answer["votes"]) == pytest.approx(1)
    images = load_image(workspace.path / "photos/0/0.jpg", 64, model.fit)[None]
    gallery = load_embeddings(workspace.path / "data/embeddings/gallery.parquet")
    nearest = np.linalg.norm(gallery.vectors - model.embed(images), axis=1).min()
    assert answer["neighbours"][0]["distance"] == pytest.approx(nearest, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL_WEIGHTS.exists() and GROCERIES.exists()),
    reason="needs real weights and photographs, in ../shared beside the project",
)
def test_a_pretrained_network_is_a_floor_worth_having(tmp_path: Path) -> None:
    """On a few classes of real photographs, untouched: far better than pixels."""
    import tarfile

    workspace = new_workspace(tmp_path / "repository")
    with tarfile.open(GROCERIES) as archive:
        wanted = [
            member
            for member in archive.getmembers()
            if re.search(r"/(train|test)/Fruit/(Lemon|Lime|Kiwi|Banana)/.*\.jpg$", member.name)
        ]
        archive.extractall(tmp_path, wanted, filter="data")
    (tmp_path / "grocery").rename(workspace.path / "grocery")
    workspace.siamese(
        "adopt", "grocery", "--label-level", "2", "--fast", "--copy", str(REAL_WEIGHTS)
    )
    workspace.run("env", f"SIAMESE_WEIGHTS={REAL_WEIGHTS}", "dvc", "repro", "floor")
    floor = metrics(workspace, "floor")
    assert floor["untrained"] > floor["pixels"] + 0.2
