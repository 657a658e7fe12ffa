"""The digits, embedded by a tiny network of timm that nobody has trained."""

import shutil
from pathlib import Path

import numpy as np

from siamese.base.dataset import Classes, load_dataset
from siamese.base.weights_folder import Origin
from siamese.embeddings.embedding_file import Embeddings, save_embeddings
from siamese.model.folder import Model, save_model
from siamese.network.siamese_network import NetworkParams, build_network
from siamese.training.thresholds import calibrate
from tests.support.workspace import Workspace

ORIGIN = Origin("hf:timm/made-up", "0" * 64, "apache-2.0")


def timm_model(name: str, size: int, classes: Classes | None = None, **changes: object) -> Model:
    """Return a model that says it started from weights, but is as the seed made it."""
    values = {"width": 4, "embedding_dim": 6, "normalize": True, "mirror": True, "seed": 0}
    params = NetworkParams(architecture=f"timm/{name}", **values | changes)  # type: ignore[arg-type]
    network = build_network(params, size, (0.5,) * 3, (0.25,) * 3).eval()
    calibration = calibrate(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False]))
    return Model(network, params, classes or Classes(("cat", "dog")), calibration, "pad", ORIGIN)


def timm_project(finished: Workspace, name: str, folder: Path) -> Path:
    """Write `data/` of a project: the prepared digits, such a model, and its embeddings."""
    data = folder / "data"
    shutil.copytree(finished.path / "data/prepared", data / "prepared")
    dataset = load_dataset(data / "prepared")
    model = timm_model(name, dataset.images.shape[1], dataset.classes)
    for made in ("model", "embeddings"):
        (data / made).mkdir()
    save_model(model, data / "model")
    rows = dataset.gallery()
    vectors = model.embed(np.asarray(dataset.images[rows]))
    embeddings = Embeddings.of(dataset.samples, rows, vectors)
    save_embeddings(embeddings, data / "embeddings/gallery.parquet")
    return folder
