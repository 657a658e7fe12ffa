"""Who takes part in the study: settings of this project, and the losses people use instead.

All train the same network on as many images with the same optimisers, schedule, augmentation and
mirror, on batches of the same make. What differs is what `Contestant` says: parameters or the loss.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn
from torch.nn import functional

from siamese.network.siamese_network import SiameseNetwork
from siamese.training.objective import (
    OBJECTIVES,
    Contrastive,
    Figures,
    Objective,
    ObjectiveParams,
    PairedBatch,
    Pairs,
    all_pairs,
    describe,
)

MakeObjective = Callable[[ObjectiveParams, int, SiameseNetwork], Objective]


class Hardest(Contrastive):
    """Of each image's unlike pairs within the margin only the 16 nearest count."""

    def form_pairs(self, embeddings: Tensor, batch: PairedBatch) -> Pairs:
        """Leave the others out of the pairs."""
        pairs = super().form_pairs(embeddings, batch)
        unlike = pairs.distance.detach().masked_fill(pairs.same, torch.inf)
        limit = unlike.kthvalue(16, dim=1, keepdim=True).values  # (2P, 1)
        is_hard = (unlike <= limit) | (unlike <= limit.T)
        return Pairs(pairs.distance, pairs.same, pairs.counted & (pairs.same | is_hard))


class Peer(Objective):
    """A loss of another library over all embeddings of the batch.

    Args:
        loss: of embeddings, labels and, if there is a miner, what it picked.
        miner: picks pairs or triplets by embeddings and labels.
        margin: for the figures alone.
    """

    def __init__(self, loss: nn.Module, margin: float, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss, self.margin, self.miner = loss, margin, miner

    def forward(self, embeddings: Tensor, batch: PairedBatch) -> tuple[Tensor, Figures]:
        """Return its loss, and the figures of all pairs."""
        picked = [self.miner(embeddings, batch.labels)] if self.miner else []
        figures = describe(embeddings, all_pairs(embeddings.detach(), batch), self.margin)
        return self.loss(embeddings, batch.labels, *picked), figures


class CrossEntropy(nn.Module):
    """A classifier's last layer and its loss."""

    def __init__(self, n_classes: int, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, n_classes)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy."""
        return functional.cross_entropy(self.layer(embeddings), labels)


def without_last_layer(network: SiameseNetwork) -> None:
    """Turn the network into one for a classifier: it ends before the layer that embeds.

    It trains on raw features; brought to length 1 these are the embedding that is measured.
    """
    assert isinstance(network.encoder, nn.Sequential)
    linear = network.encoder[-1]
    assert isinstance(linear, nn.Linear)
    network.encoder[-1] = nn.Identity()
    network.embedding_dim = linear.in_features
    network.normalize = False


def peer(
    loss: Callable[[ObjectiveParams, int, int], nn.Module], miner: nn.Module | None = None
) -> MakeObjective:
    """Return how to make an objective of a loss, which `loss` makes.

    Args:
        loss: takes parameters, the number of classes and the dimension of the embeddings.
        miner: see `Peer`.
    """

    def make(params: ObjectiveParams, n_classes: int, network: SiameseNetwork) -> Objective:
        return Peer(loss(params, n_classes, network.embedding_dim), params.margin, miner)

    return make


@dataclass(frozen=True)
class Contestant:
    """What a contestant does differently.

    Attributes:
        says: in a few words, for the table.
        objective: where the loss is another than `train.loss` names.
        train: parameters of the section `train`.
        pairs: parameters of the section `pairs`; `batches_per_epoch` follows from `batch_size`.
        change_network: what is changed in the untrained network.
    """

    says: str
    objective: MakeObjective = OBJECTIVES["contrastive"]
    train: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, Any] = field(default_factory=dict)
    change_network: Callable[[SiameseNetwork], None] = lambda network: None


NO_PROXIES = {"proxy_weight": 0.0}
CONTESTANTS = {
    # Settings of ours.
    "default": Contestant("params.yaml as it is"),
    "formula": Contestant(
        "J, the pairs as drawn", train={"mining": "none", "like_weight": 1.0, **NO_PROXIES}
    ),
    "all-pairs": Contestant("J, all pairs of the batch", train={"like_weight": 1.0, **NO_PROXIES}),
    "like-weight": Contestant("the same, like term x 0.1", train=NO_PROXIES),
    "power-1": Contestant(
        "all pairs, distances not squared", train={"power": 1, "like_weight": 1.0, **NO_PROXIES}
    ),
    "hardest": Contestant(
        "like term x 0.1, 16 hardest unlike pairs per image", Hardest, NO_PROXIES
    ),
    "classes-16": Contestant(
        "like term x 0.1, 16 classes per batch", train=NO_PROXIES, pairs={"classes_per_batch": 16}
    ),
    "classes-64": Contestant(
        "like term x 0.1, 64 classes per batch", train=NO_PROXIES, pairs={"classes_per_batch": 64}
    ),
    # What margin and batch size do.
    "margin-0.5": Contestant("margin 0.5", train={"margin": 0.5}),
    "margin-1.4": Contestant("margin 1.4", train={"margin": 1.4}),
    "images-128": Contestant("batches of 128 images", pairs={"batch_size": 64}),
    "images-512": Contestant("batches of 512 images", pairs={"batch_size": 256}),
    # Peers, with their default values where nothing is said.
    "pml-contrastive": Contestant(  # distances not squared, terms that are zero left out of means
        "pytorch-metric-learning: Contrastive",
        peer(lambda params, *_: losses.ContrastiveLoss(neg_margin=params.margin)),
    ),
    "pml-multi-similarity": Contestant(  # Wang et al., CVPR 2019, with the miner that belongs to it
        "pytorch-metric-learning: MultiSimilarity",
        peer(lambda *_: losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()),
    ),
    "pml-triplet": Contestant(  # Schroff et al., CVPR 2015
        "pytorch-metric-learning: Triplet, semi-hard",
        peer(
            lambda *_: losses.TripletMarginLoss(margin=0.2),
            miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
        ),
    ),
    "pml-supcon": Contestant(  # Khosla et al., NeurIPS 2020
        "pytorch-metric-learning: SupCon", peer(lambda *_: losses.SupConLoss(temperature=0.1))
    ),
    "pml-proxy-anchor": Contestant(  # Kim et al., CVPR 2020: the strongest one with proxies there
        "pytorch-metric-learning: ProxyAnchor",
        peer(lambda _, n_classes, dim: losses.ProxyAnchorLoss(n_classes, dim)),
    ),
    "cross-entropy": Contestant(
        "cross-entropy, layer before the last",
        peer(lambda _, n_classes, dim: CrossEntropy(n_classes, dim)),
        change_network=without_last_layer,
    ),
}
