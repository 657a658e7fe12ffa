"""One training run at work: its network, optimiser and schedule, epoch by epoch.

An epoch walks through the batches that the `pairs` stage drew: look up the images, augment them,
embed them in one pass, take the contrastive loss over their pairs, step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from siamese.base.errors import InputError
from siamese.base.params import Section
from siamese.measures.knn import class_ranking, nearest, nearest_others
from siamese.measures.verification import pair_distances
from siamese.network.compute import Precision, autocast_dtype
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.augment import AugmentParams, Changes, augment
from siamese.training.loss import balanced_mean, contrastive_loss, distance_matrix, distance_of
from siamese.training.optimizer import make_optimizers
from siamese.training.parallel import Ranks
from siamese.training.proxies import Proxies
from siamese.training.training_data import Images, TrainingData

# What is measured of every batch, in this order; see `training.EpochRecord`.
FIGURES = ("loss", "like_distance", "unlike_distance", "active_unlike", "spread")
# Reading a figure makes a GPU wait for the host: there the loss is looked at this often.
BATCHES_BETWEEN_CHECKS = {"cpu": 1, "cuda": 50}


class TrainParams(Section):
    """The `train` section of `params.yaml`, where each value is explained."""

    margin: float = Field(gt=0)
    power: Literal[1, 2]
    like_weight: float = Field(gt=0)
    mining: Literal["none", "batch"]
    proxy_weight: float = Field(ge=0)
    learning_rate: float = Field(gt=0)
    learning_rate_rest: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: float = Field(gt=0, lt=1)
    precision: Precision
    augment: AugmentParams
    monitor: Literal["knn", "loss"]
    monitor_k: int = Field(ge=1)
    monitor_gallery: int = Field(ge=1)
    patience: int = Field(ge=1)
    min_delta: float = Field(ge=0)
    processes: int = Field(ge=1, le=4096)
    seed: int = Field(ge=0, lt=2**32)


@dataclass(frozen=True)
class PairedBatch:
    """The embeddings of a batch and the pairs among them: `S` is `[P]` or `[2P, 2P]`.

    Attributes:
        embeddings: float32 `[2P, D]`, all lefts of the drawn pairs and then all rights.
        labels: int64 `[2P]`.
        distance: float32 `S`, of each pair.
        is_same: bool `S`.
        is_pair: bool `S`: each pair once, and no image with itself.
    """

    embeddings: Tensor
    labels: Tensor
    distance: Tensor
    is_same: Tensor
    is_pair: Tensor


class Trainer:
    """Trains a network in place, epoch by epoch, and can be put down and taken up again.

    Args:
        data: on the device to train on.
        network: untrained, on that device.
        params: see `params.yaml`.
        ranks: the processes that train together; each has all of `data`.

    Raises:
        InputError: the batches cannot be shared evenly, the schedule is too short, or the precision
            cannot be had.
    """

    def __init__(
        self,
        data: TrainingData,
        network: SiameseNetwork,
        params: TrainParams,
        ranks: Ranks | None = None,
    ) -> None:
        self.data, self.network, self.params = data, network, params
        self.ranks = ranks or Ranks()
        self.device = data.labels.device
        self.precision = autocast_dtype(params.precision, self.device)
        self.wrapped = self.ranks.wrap(network)
        self.head = self.make_head().to(self.device)
        self.muon, self.adamw = make_optimizers(
            nn.ModuleList([network, self.head]),
            params.learning_rate,
            params.learning_rate_rest,
            params.weight_decay,
        )
        steps = data.same.shape[0] * data.same.shape[1]
        check_warmup(params.warmup, steps)
        self.muon_schedule, self.adamw_schedule = (
            torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=optimizer.param_groups[0]["lr"],
                total_steps=steps,
                pct_start=params.warmup,
                cycle_momentum=False,
            )
            for optimizer in (self.muon, self.adamw)
        )
        # Gradients of half-precision numbers would vanish; bf16 and fp32 need no scaling.
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self.gallery = _sample_gallery(len(data.images), params.monitor_gallery, params.seed)
        self.part = self.ranks.part(2 * data.same.shape[2])
        # Of the batches of an epoch that has begun: float32 (figures,) each, and the first's rate.
        self.figures: list[Tensor] = []
        self.learning_rate = 0.0

    def train_epoch(
        self, epoch: int, is_interrupted: Callable[[], object] = lambda: False
    ) -> dict[str, float] | None:
        """Go through an epoch's batches; of one that was put down, through those left.

        Args:
            epoch: its number, from 0.
            is_interrupted: asked before each batch whether to put the epoch down here; of several
                ranks each is asked, now and then, and one that says so is enough for all.

        Returns:
            The learning rate at its start and the means of `FIGURES` over its batches; None if it
            was put down.

        Raises:
            InputError: the loss is no longer finite.
        """
        self.network.train()
        index, places, same, changes = self._draw(epoch)
        done = len(self.figures)
        if not done:
            self.learning_rate = float(self.muon_schedule.get_last_lr()[0])
        with tqdm(
            total=index.numel(),
            initial=done * index.shape[1],
            desc=f"epoch {epoch + 1}",
            unit="img",
            leave=False,
            disable=None if self.ranks.is_first else True,
        ) as bar:
            # Asking all ranks makes a GPU wait for the host: then, too, not before each batch.
            between = BATCHES_BETWEEN_CHECKS[self.device.type] if self.ranks.size > 1 else 1
            for batch in range(done, len(index)):
                if batch % between == 0 and self.ranks.any(bool(is_interrupted()), self.device):
                    return None
                first = batch * index.shape[1]
                rows = slice(first + self.part.start, first + self.part.stop)
                self.figures.append(
                    self._train_batch(index[batch], places[batch], same[batch], changes[rows])
                )
                bar.update(index.shape[1])
                is_last = batch + 1 == len(index)
                if is_last or (batch + 1) % BATCHES_BETWEEN_CHECKS[self.device.type] == 0:
                    self._check_finite(epoch)
        means = torch.stack(self.figures).mean(dim=0).tolist()
        self.figures = []
        return {"learning_rate": self.learning_rate, **dict(zip(FIGURES, means, strict=True))}

    def validate(self) -> dict[str, float]:
        """Measure the loss on the fixed validation pairs, and k-NN accuracy on the split.

        The validation samples are the queries, a fixed part of the training samples the gallery.
        Where training has not all of their classes (`prepare.split_by: class`), the gallery of each
        is all other validation samples, and the nearest alone decides: a class has one sample fewer
        to vote for its own than for others, and would be outvoted where it has few.
        """
        queries = self._embed(self.data.validation_images)
        left, right = self.data.validation_pairs.T
        distance = torch.from_numpy(pair_distances(queries, left, right))
        same = torch.tensor(self.data.validation_same)
        loss = balanced_mean(self._pair_losses(distance, same), same)
        if self.data.validation_labels.max() < self.data.n_classes:
            gallery = self._embed(self.data.images.some(self.gallery))
            gallery_labels = self.data.labels[self.gallery].cpu().numpy()
            rows, _ = nearest(gallery, queries, min(self.params.monitor_k, len(gallery)))
        else:
            gallery_labels = self.data.validation_labels
            rows = nearest_others(queries, np.arange(len(queries)), 1)
        predicted = class_ranking(gallery_labels[rows], top=1)[:, 0]
        return {
            "validation_loss": float(loss),
            "validation_knn": float(np.mean(predicted == self.data.validation_labels)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on: plain values and tensors."""
        parts = {name: part.state_dict() for name, part in self._stateful().items()}
        return parts | {"figures": self.figures, "learning_rate": self.learning_rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a run where `state_dict` left it."""
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.figures = [figures.to(self.device) for figures in state["figures"]]
        self.learning_rate = state["learning_rate"]

    def _stateful(self) -> dict[str, Any]:
        names = ("network", "head", "muon", "adamw", "muon_schedule", "adamw_schedule", "scaler")
        return {name: getattr(self, name) for name in names}

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor, Tensor, Changes]:
        """Put an epoch's batches on the device, and what augmentation does to their images.

        Returns:
            int64 `[batches, 2P]`, positions of the images, all lefts of a batch and then all
            rights; the same where the images lie; bool `[batches, P]`; changes of batches x 2P
            images.
        """
        pairs = torch.from_numpy(self.data.batches[epoch])  # (batches, P, 2)
        index = pairs.mT.reshape(len(pairs), -1)
        # Seeded by the epoch, so that a run taken up again draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.params.seed * 100_003 + epoch)
        changes = Changes.draw(index.numel(), self.params.augment, generator)
        same = torch.tensor(self.data.same[epoch])
        # Not moved back from the device batch by batch, for which a GPU would have to be waited.
        places = index.to(self.data.images.rows.device)
        return index.to(self.device), places, same.to(self.device), changes.to(self.device)

    def make_head(self) -> nn.Module:
        """Return what is trained with the network and dropped afterwards: proxies, or nothing."""
        if not self.params.proxy_weight:
            return nn.Module()
        return Proxies(
            self.data.n_classes,
            self.network.embedding_dim,
            self.network.normalize,
            self.params.seed,
        )

    def take_step(self, images: Tensor, index: Tensor, same: Tensor) -> tuple[Tensor, PairedBatch]:
        """Take one optimiser step on one batch.

        Args:
            images: uint8 `[2P / ranks, 3, H, W]`, this rank's part of them, augmented.
            index: int64 `[2P]`, positions in `data.images`, of the whole batch.
            same: bool `[P]`, likewise.

        Returns:
            The loss before the step, a scalar on the device, and what it was taken over.
        """
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            (embeddings,) = self.wrapped(images)  # (2P / ranks, D)
        batch = self.pairs_of(self.ranks.gather(embeddings), index, same)
        loss = self.loss_of(batch)
        self.network.zero_grad()
        self.head.zero_grad()
        self.scaler.scale(loss * self.ranks.size).backward()
        for parameter in self.head.parameters():
            # Every rank has the gradient of the whole batch, multiplied for the network's sake.
            if parameter.grad is not None and self.ranks.size > 1:
                parameter.grad /= self.ranks.size
        self.muon.take_gradients()
        for optimizer in (self.muon, self.adamw):
            self.scaler.step(optimizer)
        self.scaler.update()
        self.ranks.average_statistics(self.network)
        return loss.detach(), batch

    def pairs_of(self, embeddings: Tensor, index: Tensor, same: Tensor) -> PairedBatch:
        """Form the pairs that `train.mining` asks for.

        Args:
            embeddings: float32 `[2P, D]`.
            index: int64 `[2P]`, positions in `data.images`.
            same: bool `[P]`, of the pairs as drawn.
        """
        labels = self.data.labels[index]
        if self.params.mining == "none":
            distance = distance_of(*embeddings.chunk(2))  # (P,)
            return PairedBatch(embeddings, labels, distance, same, torch.ones_like(same))
        distance = distance_matrix(embeddings, embeddings)  # (2P, 2P)
        is_same = labels[:, None] == labels[None, :]
        is_pair = (index[:, None] != index[None, :]).triu(diagonal=1)
        return PairedBatch(embeddings, labels, distance, is_same, is_pair)

    def loss_of(self, batch: PairedBatch) -> Tensor:
        """Return the contrastive loss of a batch, a scalar.

        With proxies it is the weighted mean of two: over pairs of images, and over pairs of an
        image and a proxy.
        """
        if self.params.mining == "none":
            losses = self._pair_losses(batch.distance, batch.is_same)
            loss = balanced_mean(losses, batch.is_same)
        else:
            loss = self._active_loss(batch.distance, batch.is_same, batch.is_pair)
        weight = self.params.proxy_weight
        if not weight:
            return loss
        distance = self.head(batch.embeddings)  # (2P, classes)
        is_own = functional.one_hot(batch.labels, distance.shape[1]).bool()
        to_proxies = self._active_loss(distance, is_own, torch.ones_like(is_own))
        return (loss + weight * to_proxies) / (1 + weight)

    def _active_loss(self, distance: Tensor, is_same: Tensor, is_pair: Tensor) -> Tensor:
        # Of the many unlike pairs those beyond the margin have nothing left to learn; counted,
        # their zeros would drown the few that have.
        counted = is_pair & (is_same | (distance < self.params.margin))
        return balanced_mean(self._pair_losses(distance, is_same), is_same, counted)

    def _train_batch(self, index: Tensor, places: Tensor, same: Tensor, changes: Changes) -> Tensor:
        """Augment this rank's part of a batch, take a step, return `FIGURES`, left on the device.

        Args:
            index: int64 `[2P]`, of the whole batch.
            places: the same, where the images lie.
            same: bool `[P]`, likewise.
            changes: what augmentation does to this rank's part of the images.
        """
        images = augment(self.data.images[places[self.part]], changes, self.params.augment)
        loss, batch = self.take_step(images, index, same)
        self.muon_schedule.step()
        self.adamw_schedule.step()
        return torch.stack([loss, *self._describe(batch)])

    @torch.no_grad()
    def _describe(self, batch: PairedBatch) -> list[Tensor]:
        """Return all `FIGURES` but the loss."""
        like, unlike = batch.is_same & batch.is_pair, ~batch.is_same & batch.is_pair
        n_like, n_unlike = like.sum().clamp_min(1), unlike.sum().clamp_min(1)
        centred = batch.embeddings - batch.embeddings.mean(0)
        return [
            batch.distance.where(like, 0).sum() / n_like,
            batch.distance.where(unlike, 0).sum() / n_unlike,
            (unlike & (batch.distance < self.params.margin)).sum() / n_unlike,
            centred.square().sum(1).mean().sqrt(),
        ]

    def _pair_losses(self, distance: Tensor, same: Tensor) -> Tensor:
        return contrastive_loss(
            distance, same, self.params.margin, self.params.power, self.params.like_weight
        )

    def _embed(self, images: Images) -> np.ndarray:
        """Embed n images, shared by the ranks: float32 `[n, D]`."""
        cuts = np.linspace(0, len(images), self.ranks.size + 1).astype(int)
        part = images.some(slice(cuts[self.ranks.rank], cuts[self.ranks.rank + 1]))
        batch_size = 2 * self.data.same.shape[2]
        return self.ranks.gather_rows(embed_images(self.network, part, batch_size, self.precision))

    def _check_finite(self, epoch: int) -> None:
        losses = torch.stack(self.figures)[:, 0].cpu()
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            batch = int(broken[0])
            raise InputError(
                f"the loss became {float(losses[batch])} in epoch {epoch + 1}, batch {batch + 1};"
                " the likely reason is `train.learning_rate`,"
                f" {self.params.learning_rate}: try a tenth of it",
                met_by_all=True,
            )


def check_warmup(warmup: float, steps: int) -> None:
    """Refuse a warm-up of exactly one batch, which the one-cycle schedule cannot divide by."""
    if warmup * steps == 1:
        raise InputError(
            f"params.yaml: `train.warmup` {warmup} of {steps} batches in all is a single batch,"
            " in which the learning rate cannot rise; raise it a little"
        )


def _sample_gallery(n_samples: int, size: int, seed: int) -> Tensor:
    """Choose the training samples that validation queries are compared with, int64 ascending."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n_samples, generator=generator)[:size].sort().values
