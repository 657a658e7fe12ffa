"""Training on sets so small that everything about it can be checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from siamese.base.dataset import Classes, Dataset
from siamese.network.siamese_network import NetworkParams, SiameseNetwork, build_network
from siamese.training.early_stopping import EpochRecord, Pace, Trained, train_network
from siamese.training.objective import OBJECTIVES
from siamese.training.parallel import Ranks
from siamese.training.resume import ResumeFile
from siamese.training.train_params import TrainParams
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData

CPU = torch.device("cpu")
N_CLASSES, PER_CLASS, SIZE, NOISE = 3, 12, 8, 60

# The section `train.augment` with nothing switched on.
NO_CHANGES: dict[str, Any] = {
    "flip": False,
    "crop": 0,
    "cutout": 0,
    "resized_crop": 1.0,
    "resized_to": 0,
    "jitter": 0.0,
    "policy": "none",
    "erase": 0.0,
    "rotate": 0.0,
    "scale": 0.0,
    "stroke": 0.0,
}


def params(**changes: Any) -> TrainParams:
    """The `train` section: all pairs of the batch, nothing random."""
    values: dict[str, Any] = {
        "loss": "contrastive",
        "margin": 1.0,
        "power": 2,
        "like_weight": 1.0,
        "mining": "batch",
        "proxy_weight": 0.0,
        "temperature": 0.1,
        "optimizer": "muon",
        "learning_rate": 0.05,
        "learning_rate_rest": 0.01,
        "weight_decay": 0.0,
        "freeze": "none",
        "images_at_once": "all",
        "warmup": 0.3,
        "precision": "fp32",
        "augment": NO_CHANGES,
        "monitor": "knn",
        "monitor_k": 3,
        "monitor_gallery": 100,
        "patience": 100,
        "min_delta": 0.0,
        "processes": 1,
        "seed": 0,
    }
    return TrainParams(**(values | changes))


def tiny_dataset(times: int = 1) -> Dataset:
    """Classes that differ in colour, with some noise; a third of each class in every split.

    Images are `times` as large as `SIZE`, every pixel of which is then a square.
    """
    rng = np.random.default_rng(0)
    n = N_CLASSES * PER_CLASS
    fine = np.arange(n) % N_CLASSES
    images = rng.integers(0, NOISE, (n, SIZE, SIZE, 3), dtype=np.uint8)
    images[np.arange(n), ..., fine] += 100
    split = np.array(["train", "validation", "test"])[(np.arange(n) // N_CLASSES) % 3]
    samples = pd.DataFrame({"sample": np.arange(n), "split": split, "fine": fine, "coarse": pd.NA})
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    return Dataset(images, samples, Classes(("red", "green", "blue")))


def pairs_of(dataset: Dataset, split: str, epochs: int, batches: int = 3) -> pd.DataFrame:
    """Every like pair and as many unlike pairs of a split, the same in every batch."""
    rows, fine = dataset.rows(split), dataset.fine()
    all_pairs = [(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    like = [pair for pair in all_pairs if fine[pair[0]] == fine[pair[1]]]
    unlike = [pair for pair in all_pairs if fine[pair[0]] != fine[pair[1]]]
    table = pd.DataFrame(like + unlike[:: len(unlike) // len(like)][: len(like)])
    table.columns = pd.Index(["left", "right"])
    table["same"] = np.arange(len(table)) < len(like)
    copies = [
        table.assign(epoch=epoch, batch=batch)
        for epoch in range(epochs)
        for batch in range(batches)
    ]
    return pd.concat(copies, ignore_index=True)


def data_of(dataset: Dataset, epochs: int, device: torch.device = CPU) -> TrainingData:
    """What training reads of a data set, with all pairs."""
    validation = pairs_of(dataset, "validation", 1, 1)[["left", "right", "same"]]
    return TrainingData.of(dataset, pairs_of(dataset, "train", epochs), validation, device)


def load(epochs: int, times: int = 1) -> TrainingData:
    """What training reads of the tiny data set."""
    return data_of(tiny_dataset(times), epochs)


def new_network(**changes: Any) -> SiameseNetwork:
    """A narrow untrained network."""
    values: dict[str, Any] = {
        "architecture": "resnet9",
        "width": 4,
        "embedding_dim": 8,
        "normalize": True,
        "mirror": False,
        "seed": 0,
    }
    size = changes.pop("size", SIZE)
    return build_network(NetworkParams(**(values | changes)), size, (0.5,) * 3, (0.25,) * 3)


def new_trainer(
    data: TrainingData,
    network: SiameseNetwork | None = None,
    changed: TrainParams | None = None,
    ranks: Ranks | None = None,
) -> Trainer:
    """A trainer with the objective that the parameters name."""
    network, changed = network or new_network(), changed or params()
    objective = OBJECTIVES[changed.loss](changed, data.n_classes, network)
    return Trainer(data, network, objective, changed, ranks)


def train(
    folder: Path,
    epochs: int | TrainingData,
    network: SiameseNetwork | None = None,
    on_epoch: Callable[[EpochRecord, Pace], None] = lambda record, pace: None,
    **changes: Any,
) -> tuple[SiameseNetwork, Trained]:
    """Train for some epochs, or on other data; what is unfinished is kept in `folder`."""
    network = network or new_network()
    data = load(epochs) if isinstance(epochs, int) else epochs
    trainer = new_trainer(data, network, params(**changes))
    return network, train_network(trainer, ResumeFile(folder, "run"), on_epoch)
