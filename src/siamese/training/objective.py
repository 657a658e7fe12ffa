"""What training minimises. `train.loss` names an objective of the table `OBJECTIVES`.

The default is the contrastive loss, in three separate steps: distances, loss of each pair, mean.

    J = ½ [ y·D² + (1 − y)·max(0, m − D)² ],    y = 1 for two images of the SAME class

after Hadsell, Chopra and LeCun, *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR
2006, equation 4 (whose Y is 1 − y: it is 0 for similar pairs).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from siamese.base.errors import InputError
from siamese.base.params import Section, nearest_name
from siamese.measures.verification import pair_distances
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.distances import distance_matrix, distance_of

# Scalars by the name of their column in `metrics/training.csv`.
Figures = dict[str, Tensor]


class ObjectiveParams(Section):
    """What objectives read of the `train` section of `params.yaml`, where it is explained."""

    loss: str
    margin: float = Field(gt=0)
    power: Literal[1, 2]
    like_weight: float = Field(gt=0)
    mining: Literal["none", "batch"]
    proxy_weight: float = Field(ge=0)
    temperature: float = Field(gt=0)
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("loss")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"there is no such loss{nearest_name(name, OBJECTIVES)}")
        return name


@dataclass(frozen=True)
class PairedBatch:
    """What is known of the images of a batch: P drawn pairs, all lefts and then all rights.

    Attributes:
        labels: int64 `[2P]`; of a forgery -1-c, where c is the class that it pretends to be of.
        index: int64 `[2P]`, which image it is; an image may be in a batch more than once.
        same: bool `[P]`, of the drawn pairs: true for two images of the same class.
    """

    labels: Tensor
    index: Tensor
    same: Tensor

    def parts(self, n_pairs: int) -> list["PairedBatch"]:
        """Cut it into batches of at most `n_pairs` pairs."""
        index, labels = (
            ends.view(2, -1).split(n_pairs, dim=1) for ends in (self.index, self.labels)
        )
        return [
            PairedBatch(label.flatten(), image.flatten(), same)
            for label, image, same in zip(labels, index, self.same.split(n_pairs), strict=True)
        ]


class Objective(nn.Module):
    """From the embeddings of a batch to its loss.

    It may hold weights, which are trained together with the network and dropped afterwards.

    Attributes:
        scale: how far apart this loss moves images of different classes. An embedding whose spread
            is small beside it has collapsed.
    """

    scale = 1.0

    def forward(self, embeddings: Tensor, batch: PairedBatch) -> tuple[Tensor, Figures]:
        """Return the loss of a batch, a scalar, and figures for the record of the epoch.

        Args:
            embeddings: float32 `[2P, D]`.
            batch: what these are the embeddings of, on the same device.
        """
        raise NotImplementedError

    def validation_loss(self, embeddings: Tensor, pairs: PairedBatch, batch_size: int) -> float:
        """Return the loss on the fixed validation pairs: the mean over batches as large as usual.

        Args:
            embeddings: float32 `[v, D]`, of the validation images.
            pairs: of these; `index` are rows of `embeddings`. Of a class that training does not
                have the label is one that no weight belongs to.
            batch_size: in pairs.
        """
        losses = [
            self(embeddings[batch.index], batch)[0] * len(batch.same)
            for batch in pairs.parts(batch_size)
        ]
        return float(torch.stack(losses).sum() / len(pairs.same))


@dataclass(frozen=True)
class Pairs:
    """Pairs of the images of a batch: `S` is `[P]` as drawn, or `[2P, 2P]`.

    Attributes:
        distance: float32 `S`.
        same: bool `S`.
        counted: bool `S`: each pair once, and no image with itself.
    """

    distance: Tensor
    same: Tensor
    counted: Tensor


def drawn_pairs(embeddings: Tensor, batch: PairedBatch) -> Pairs:
    """Return the pairs as they were drawn, `[P]`."""
    distance = distance_of(*embeddings.chunk(2))
    return Pairs(distance, batch.same, torch.ones_like(batch.same))


def all_pairs(embeddings: Tensor, batch: PairedBatch) -> Pairs:
    """Return all pairs among the images of a batch, `[2P, 2P]`.

    A forgery is unlike all that is genuine. Two forgeries are no pair: nobody knows whether one
    hand made both.
    """
    distance = distance_matrix(embeddings, embeddings)
    same = batch.labels[:, None] == batch.labels[None, :]
    is_genuine = batch.labels >= 0
    is_other = batch.index[:, None] != batch.index[None, :]
    is_pair = is_other & (is_genuine[:, None] | is_genuine[None, :])
    return Pairs(distance, same, is_pair.triu(diagonal=1))


@torch.no_grad()
def describe(embeddings: Tensor, pairs: Pairs, margin: float | None = None) -> Figures:
    """Return what an epoch's record says of a batch.

    The mean distance of like and of unlike pairs, the share of unlike pairs nearer than the margin
    (so still pushed apart; left out where there is no margin) and the spread of the embedding (root
    mean square distance from its centre: 0 when it has collapsed into a point).
    """
    like, unlike = pairs.same & pairs.counted, ~pairs.same & pairs.counted
    n_like, n_unlike = like.sum().clamp_min(1), unlike.sum().clamp_min(1)
    figures = {
        "like_distance": pairs.distance.where(like, 0).sum() / n_like,
        "unlike_distance": pairs.distance.where(unlike, 0).sum() / n_unlike,
    }
    if margin is not None:
        figures["active_unlike"] = (unlike & (pairs.distance < margin)).sum() / n_unlike
    centred = embeddings - embeddings.mean(0)
    return figures | {"spread": centred.square().sum(1).mean().sqrt()}


def contrastive_loss(
    distance: Tensor,
    same: Tensor,
    margin: float,
    power: Literal[1, 2] = 2,
    like_weight: float = 1.0,
) -> Tensor:
    """Return the loss of each pair: ½ [ w·y·Dᵖ + (1 − y)·max(0, m − D)ᵖ ].

    With the defaults p = 2 and w = 1 this is J, exactly.

    Args:
        distance: D, float, any shape.
        same: bool of the same shape: true for two images of the same class.
        margin: m, the distance beyond which unlike pairs cost nothing.
        power: p.
        like_weight: w, a factor on the term of the like pairs.

    Returns:
        float of the same shape.
    """
    pull = like_weight * distance.pow(power)
    push = (margin - distance).clamp_min(0).pow(power)
    return 0.5 * torch.where(same, pull, push)


def balanced_mean(losses: Tensor, same: Tensor, counted: Tensor) -> Tensor:
    """Average like and unlike pairs separately, so that neither outnumbers the other.

    On a batch that is half like pairs, as the manifests are, this is the plain mean. All pairs of a
    batch are mostly unlike: there it makes one like pair weigh as much as many unlike ones.

    Args:
        losses: float, any shape.
        same: bool of the same shape.
        counted: bool of the same shape: which pairs count.

    Returns:
        A scalar: half the mean over the like pairs plus half the mean over the unlike pairs. A kind
        of which there is no pair adds nothing.
    """
    like, unlike = same & counted, ~same & counted
    zero = losses.new_zeros(())
    like_mean = torch.where(like, losses, zero).sum() / like.sum().clamp_min(1)
    unlike_mean = torch.where(unlike, losses, zero).sum() / unlike.sum().clamp_min(1)
    return 0.5 * (like_mean + unlike_mean)


class Contrastive(Objective):
    """The contrastive loss over the pairs as drawn, or over all pairs of a batch.

    With `proxy_weight` it is the weighted mean of two: over pairs of images, and over pairs of an
    image and a proxy, one learned point per class (after Movshovitz-Attias et al., *No Fuss
    Distance Metric Learning using Proxies*, ICCV 2017). A batch holds images of some classes; the
    proxies stand for all of them, so that at every step an image meets every class.

    Args:
        params: the `train` section.
        n_classes: labels are 0 to n_classes-1.
        network: whose embeddings it is for.

    Raises:
        InputError: the margin is out of reach.
    """

    def __init__(self, params: ObjectiveParams, n_classes: int, network: SiameseNetwork) -> None:
        check_margin(params, network.normalize)
        super().__init__()
        self.params, self.scale, self.normalize = params, params.margin, network.normalize
        if params.proxy_weight:
            # They begin at length 1, in any direction.
            generator = torch.Generator().manual_seed(params.seed)
            points = torch.randn(n_classes, network.embedding_dim, generator=generator)
            self.proxies = nn.Parameter(functional.normalize(points, dim=1))

    def forward(self, embeddings: Tensor, batch: PairedBatch) -> tuple[Tensor, Figures]:
        """Return the loss of a batch and its figures; see `Objective`."""
        pairs = self.form_pairs(embeddings, batch)
        figures = describe(embeddings, pairs, self.params.margin)
        loss = self.mean_loss(pairs, active_only=self.params.mining == "batch")
        weight = self.params.proxy_weight
        if not weight:
            return loss, figures
        points = functional.normalize(self.proxies, dim=1) if self.normalize else self.proxies
        distance = distance_matrix(embeddings, points)  # (2P, classes)
        is_own = batch.labels[:, None] == torch.arange(len(points), device=distance.device)
        to_proxies = self.mean_loss(
            Pairs(distance, is_own, torch.ones_like(is_own)), active_only=True
        )
        return (loss + weight * to_proxies) / (1 + weight), figures

    def form_pairs(self, embeddings: Tensor, batch: PairedBatch) -> Pairs:
        """Return the pairs of images that `train.mining` asks for."""
        return (drawn_pairs if self.params.mining == "none" else all_pairs)(embeddings, batch)

    def mean_loss(self, pairs: Pairs, active_only: bool) -> Tensor:
        """Return the mean loss of pairs, a scalar.

        Args:
            pairs: any.
            active_only: leave out the unlike pairs beyond the margin. Where there are many of them
                their zeros would drown the few that have something left to learn.
        """
        counted = pairs.counted
        if active_only:
            counted = counted & (pairs.same | (pairs.distance < self.params.margin))
        losses = contrastive_loss(
            pairs.distance,
            pairs.same,
            self.params.margin,
            self.params.power,
            self.params.like_weight,
        )
        return balanced_mean(losses, pairs.same, counted)

    def validation_loss(self, embeddings: Tensor, pairs: PairedBatch, batch_size: int) -> float:
        """Return the mean loss of the validation pairs as drawn, without proxies, in float64."""
        left, right = pairs.index.cpu().numpy().reshape(2, -1)
        distance = torch.from_numpy(pair_distances(embeddings.cpu().numpy(), left, right))
        same = pairs.same.cpu()
        drawn = Pairs(distance, same, torch.ones_like(same))
        return float(self.mean_loss(drawn, active_only=False))


class SupervisedContrastive(Objective):
    """All images of a class against all others of the batch, by cosine similarity.

    Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020, equation 2: the mean of
    -log( exp(z·p / t) / Σ exp(z·a / t) ) over the images p of the class of z, where a runs over all
    images but z itself; t is `train.temperature`. Images whose class has no other are left out.

    Args:
        params: the `train` section.
        n_classes: of training; not needed.
        network: not needed either.
    """

    def __init__(self, params: ObjectiveParams, n_classes: int, network: SiameseNetwork) -> None:
        super().__init__()
        self.temperature = params.temperature

    def forward(self, embeddings: Tensor, batch: PairedBatch) -> tuple[Tensor, Figures]:
        """Return the loss of a batch and its figures; see `Objective`."""
        directions = functional.normalize(embeddings, dim=1)
        similarity = directions @ directions.T / self.temperature  # (2P, 2P)
        is_other = batch.index[:, None] != batch.index[None, :]
        is_like = is_other & (batch.labels[:, None] == batch.labels[None, :])
        is_like = is_like & (batch.labels >= 0)[:, None]  # a forgery is like nothing
        lowest = torch.finfo(similarity.dtype).min
        log_sum = similarity.where(is_other, lowest).logsumexp(dim=1, keepdim=True)
        n_like = is_like.sum(dim=1)  # (2P,)
        log_share = (similarity - log_sum).where(is_like, 0).sum(dim=1) / n_like.clamp_min(1)
        loss = -log_share.sum() / (n_like > 0).sum().clamp_min(1)
        return loss, describe(embeddings, all_pairs(embeddings.detach(), batch))


OBJECTIVES: dict[str, Callable[[ObjectiveParams, int, SiameseNetwork], Objective]] = {
    "contrastive": Contrastive,
    "supervised_contrastive": SupervisedContrastive,
}


def check_margin(params: ObjectiveParams, normalize: bool) -> None:
    """Refuse a margin that unit-length embeddings, at most 2 apart, can never reach."""
    if params.loss == "contrastive" and normalize and params.margin >= 2:
        raise InputError(
            f"params.yaml: `train.margin` is {params.margin}, but with `network.normalize: true`"
            " embeddings have length 1 and are at most 2 apart; choose a margin below 2"
        )
