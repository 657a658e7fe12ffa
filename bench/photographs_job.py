"""What a contestant on photographs is given, and what it hands back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from siamese.base.dataset import Dataset, channel_statistics, load_dataset
from siamese.base.errors import InputError
from siamese.base.files import sha256
from siamese.base.params import Section, read_sections
from siamese.base.weights_folder import Weights, read_weights
from siamese.evaluation.params import EvaluateParams
from siamese.network.compute import ComputeParams
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import NetworkParams, SiameseNetwork, build_network
from siamese.network.timm_networks import is_timm
from siamese.pairs.params import PairsParams
from siamese.training.train_params import TrainParams


class Params(Section):
    """The sections of `params.yaml` that are read."""

    network: NetworkParams
    train: TrainParams
    pairs: PairsParams
    compute: ComputeParams
    evaluate: EvaluateParams

    def changed(self, changes: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the same with other values, by section and name."""
        sections = {
            name: getattr(self, name).model_copy(update=values) for name, values in changes.items()
        }
        return self.model_copy(update=sections)


@dataclass(frozen=True)
class Inputs:
    """What all contestants are given: a workspace where `dvc repro pairs` has run.

    Attributes:
        workspace: its folder.
        params: as its `params.yaml` has them.
        dataset: the prepared data.
        statistics: mean and deviation of the channels over the training samples.
        weights: that networks of timm start from.
        facts: what tells the data from others, for the record of a run.
    """

    workspace: Path
    params: Params
    dataset: Dataset
    statistics: tuple[list[float], list[float]]
    weights: Weights | None
    facts: dict[str, Any]

    @classmethod
    def read(cls, workspace: Path) -> Self:
        """Read them.

        Raises:
            InputError: a file is missing or damaged, or the network is not one of timm.
        """
        params = read_sections(Params, workspace / "params.yaml")
        if not is_timm(params.network.architecture):
            raise InputError(
                f"{workspace / 'params.yaml'}: `network.architecture` is"
                f" {params.network.architecture}; the contestants fine-tune a network of timm:"
                " expected timm/NAME"
            )
        prepared = workspace / "data/prepared"
        dataset = load_dataset(prepared)
        weights = read_weights(workspace / "data/weights")
        facts = {
            "images": len(dataset.images),
            "size": dataset.images.shape[1],
            "classes": len(dataset.classes.fine),
            "novel_classes": len(dataset.novel_classes()),
            "test_images": len(dataset.queries()),
            "sha256": [sha256(prepared / name) for name in ("images.npy", "samples.parquet")],
            "weights": weights.origin.sha256 if weights else None,
        }
        statistics = channel_statistics(dataset.images_of(dataset.rows("train")))
        return cls(workspace, params, dataset, statistics, weights, facts)


@dataclass(frozen=True)
class Job:
    """One run of one contestant.

    Attributes:
        inputs: of all contestants.
        params: changed as the contestant, the rate and the seed want them.
        loss: which of the contestant's losses.
        device: what trains.
        workers: processes that read images, where PyTorch's DataLoader does.
    """

    inputs: Inputs
    params: Params
    loss: str
    device: torch.device
    workers: int

    @property
    def dataset(self) -> Dataset:
        """The prepared data."""
        return self.inputs.dataset

    def new_network(self) -> SiameseNetwork:
        """Build the network that training starts from, on the device."""
        size = self.dataset.images.shape[1]
        weights = self.inputs.weights if is_timm(self.params.network.architecture) else None
        network = build_network(self.params.network, size, *self.inputs.statistics, weights)
        return network.to(self.device)

    def embed(
        self, network: SiameseNetwork, rows: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Embed samples of the data, float32 `[n, D]`, computed in float32."""
        label = "embedding" if progress else None
        return embed_images(network, self.dataset.images_of(rows), progress=label)


@dataclass(frozen=True)
class Outcome:
    """What a contestant hands back.

    Attributes:
        network: embeds as the contestant wants it to, with the weights of the best epoch.
        seconds: that training took, all that it does included: features that are computed once,
            validation after each epoch.
        images: seen in training, each as often as it was.
        best_epoch: from 1; 0 if nothing was trained.
        classifier: the last layer of a contestant that classifies: from features without a length
            to the classes of training, in label order.
    """

    network: SiameseNetwork
    seconds: float = 0.0
    images: int = 0
    best_epoch: int = 0
    classifier: nn.Linear | None = None


def without_head(network: SiameseNetwork) -> None:
    """Let the backbone's pooled features be the embedding; the network brings them to length 1."""
    head: Any = network.encoder.head
    network.encoder.head = nn.Identity()
    network.embedding_dim = head.in_features
    network.normalize = True
