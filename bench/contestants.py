"""Who takes part in the study: settings of this project, and the losses people use instead.

All train the same network on as many images with the same optimisers, schedule, augmentation and
mirror, on batches of the same make. What differs is what `Contestant` says: parameters or the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn
from torch.nn import functional

from siamese.training.trainer import PairedBatch, Trainer


class HardestTrainer(Trainer):
    """Of each image's unlike pairs within the margin only the 16 nearest count."""

    def pairs_of(self, embeddings: Tensor, index: Tensor, same: Tensor) -> PairedBatch:
        """Leave the others out of the pairs."""
        batch = super().pairs_of(embeddings, index, same)
        unlike = batch.distance.detach().masked_fill(batch.is_same, torch.inf)
        limit = unlike.kthvalue(16, dim=1, keepdim=True).values  # (2P, 1)
        is_hard = (unlike <= limit) | (unlike <= limit.T)
        is_pair = batch.is_pair & (batch.is_same | is_hard)
        return PairedBatch(batch.embeddings, batch.labels, batch.distance, batch.is_same, is_pair)


class PeerTrainer(Trainer):
    """A loss of pytorch-metric-learning over all embeddings of the batch."""

    def make_head(self) -> nn.Module:
        """Return the loss: some have weights."""
        return self.make_loss(self.data.n_classes, self.network.embedding_dim)

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss, with its default values where nothing is said."""
        raise NotImplementedError

    def loss_of(self, batch: PairedBatch) -> Tensor:
        """Return the peer's loss."""
        return self.head(batch.embeddings, batch.labels)


class ContrastiveTrainer(PeerTrainer):
    """Its contrastive loss: distances not squared, terms that are zero left out of the means."""

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss with the margin of `params.yaml`."""
        return losses.ContrastiveLoss(neg_margin=self.params.margin)


class MultiSimilarityTrainer(PeerTrainer):
    """Wang et al., CVPR 2019, with the miner that belongs to it."""

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss."""
        return losses.MultiSimilarityLoss()

    def loss_of(self, batch: PairedBatch) -> Tensor:
        """Return the loss over the pairs that the miner picks."""
        found = miners.MultiSimilarityMiner()(batch.embeddings, batch.labels)
        return self.head(batch.embeddings, batch.labels, found)


class TripletTrainer(PeerTrainer):
    """Schroff et al., CVPR 2015: semi-hard triplets, margin 0.2."""

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss."""
        return losses.TripletMarginLoss(margin=0.2)

    def loss_of(self, batch: PairedBatch) -> Tensor:
        """Return the loss over semi-hard triplets."""
        miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard")
        return self.head(batch.embeddings, batch.labels, miner(batch.embeddings, batch.labels))


class SupConTrainer(PeerTrainer):
    """Khosla et al., NeurIPS 2020."""

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss with its default temperature."""
        return losses.SupConLoss(temperature=0.1)


class ProxyAnchorTrainer(PeerTrainer):
    """Kim et al., CVPR 2020: the strongest of the library's losses with one point a class."""

    def make_loss(self, n_classes: int, dim: int) -> nn.Module:
        """Return the loss."""
        return losses.ProxyAnchorLoss(n_classes, dim)


class CrossEntropyTrainer(Trainer):
    """A classifier. What comes before its last layer, brought to length 1, is the embedding."""

    def make_head(self) -> nn.Module:
        """Return the last layer in the place of the one that embeds."""
        assert isinstance(self.network.encoder, nn.Sequential)
        linear = self.network.encoder[-1]
        assert isinstance(linear, nn.Linear)
        self.network.encoder[-1] = nn.Identity()
        self.network.normalize = False
        return nn.Linear(linear.in_features, self.data.n_classes)

    def loss_of(self, batch: PairedBatch) -> Tensor:
        """Return the cross-entropy."""
        return functional.cross_entropy(self.head(batch.embeddings), batch.labels)


@dataclass(frozen=True)
class Contestant:
    """What a contestant does differently.

    Attributes:
        says: in a few words, for the table.
        trainer: where the loss is its own.
        train: parameters of the section `train`.
        pairs: parameters of the section `pairs`; `batches_per_epoch` follows from `batch_size`.
    """

    says: str
    trainer: type[Trainer] = Trainer
    train: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, Any] = field(default_factory=dict)


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
        "like term x 0.1, 16 hardest unlike pairs an image", HardestTrainer, NO_PROXIES
    ),
    "classes-16": Contestant(
        "like term x 0.1, 16 classes a batch", train=NO_PROXIES, pairs={"classes_per_batch": 16}
    ),
    "classes-64": Contestant(
        "like term x 0.1, 64 classes a batch", train=NO_PROXIES, pairs={"classes_per_batch": 64}
    ),
    # What margin and batch size do.
    "margin-0.5": Contestant("margin 0.5", train={"margin": 0.5}),
    "margin-1.4": Contestant("margin 1.4", train={"margin": 1.4}),
    "images-128": Contestant("batches of 128 images", pairs={"batch_size": 64}),
    "images-512": Contestant("batches of 512 images", pairs={"batch_size": 256}),
    # Peers.
    "pml-contrastive": Contestant("pytorch-metric-learning: Contrastive", ContrastiveTrainer),
    "pml-multi-similarity": Contestant(
        "pytorch-metric-learning: MultiSimilarity", MultiSimilarityTrainer
    ),
    "pml-triplet": Contestant("pytorch-metric-learning: Triplet, semi-hard", TripletTrainer),
    "pml-supcon": Contestant("pytorch-metric-learning: SupCon", SupConTrainer),
    "pml-proxy-anchor": Contestant("pytorch-metric-learning: ProxyAnchor", ProxyAnchorTrainer),
    "cross-entropy": Contestant("cross-entropy, layer before the last", CrossEntropyTrainer),
}
