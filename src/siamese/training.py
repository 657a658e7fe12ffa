"""Training the siamese network: the one file to read from top to bottom.

Every batch was drawn by the `pairs` stage. An epoch walks through its batches: look up the images,
augment them, embed them in one pass, take the contrastive loss over their pairs, step. After each
epoch the validation split decides whether it is the best so far, and whether to stop. The test
split is never looked at.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from siamese.augment import AugmentParams, augment
from siamese.compute import Precision, autocast_dtype
from siamese.dataset import Dataset
from siamese.embedding import embed_images
from siamese.errors import InputError
from siamese.knn import class_ranking, nearest
from siamese.loss import balanced_mean, contrastive_loss, distance_matrix, distance_of
from siamese.network import SiameseNetwork
from siamese.params import Section
from siamese.resume import ResumeFile
from siamese.verification import pair_distances


class TrainParams(Section):
    """The `train` section of `params.yaml`, where each value is explained."""

    margin: float = Field(gt=0)
    power: Literal[1, 2]
    like_weight: float = Field(gt=0)
    mining: Literal["none", "batch"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: float = Field(gt=0, lt=1)
    precision: Precision
    augment: AugmentParams
    monitor: Literal["knn", "loss"]
    monitor_k: int = Field(ge=1)
    monitor_gallery: int = Field(ge=1)
    patience: int = Field(ge=1)
    min_delta: float = Field(ge=0)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch was like: a row of `metrics/training.csv`.

    Distances, the share of active unlike pairs (nearer than the margin, so still pushed apart) and
    the spread of the embedding (root mean square distance from its centre: 0 when it has collapsed
    into a point) are means over the batches trained on.
    """

    epoch: int
    learning_rate: float
    loss: float
    like_distance: float
    unlike_distance: float
    active_unlike: float
    spread: float
    validation_loss: float
    validation_knn: float


@dataclass(frozen=True)
class Trained:
    """The outcome of training; the network has got back the weights of its best epoch."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped_early: bool


@dataclass(frozen=True)
class TrainingData:
    """What training reads: the training and validation splits and their pairs, nothing of test.

    Attributes:
        images: uint8 `[n, H, W, 3]`, the training samples, on the device.
        labels: int64 `[n]`, their fine labels, on the device.
        batches: int64 `[epochs, batches, pairs, 2]`, positions in `images`, in manifest order.
        same: bool `[epochs, batches, pairs]`.
        validation_images: uint8 `[v, H, W, 3]`, the validation samples, on the device.
        validation_labels: int64 `[v]`.
        validation_pairs: int64 `[p, 2]`, positions in `validation_images`.
        validation_same: bool `[p]`.
    """

    images: Tensor
    labels: Tensor
    batches: np.ndarray
    same: np.ndarray
    validation_images: Tensor
    validation_labels: np.ndarray
    validation_pairs: np.ndarray
    validation_same: np.ndarray

    @classmethod
    def load(
        cls,
        dataset: Dataset,
        train_pairs: pd.DataFrame,
        validation_pairs: pd.DataFrame,
        device: torch.device,
    ) -> Self:
        """Put the two splits on the device and translate sample numbers into positions there.

        Args:
            dataset: the prepared data set.
            train_pairs: `epoch`, `batch`, `left`, `right`, `same`, in batch order.
            validation_pairs: `left`, `right`, `same`.
            device: where the images are kept, as uint8.
        """
        train, validation = dataset.rows("train"), dataset.rows("validation")
        position = np.full(len(dataset.images), -1)
        position[train] = np.arange(len(train))
        position[validation] = np.arange(len(validation))
        epochs = int(train_pairs["epoch"].max()) + 1
        batches = int(train_pairs["batch"].max()) + 1
        ends = position[train_pairs[["left", "right"]].to_numpy()]
        labels = dataset.fine()
        return cls(
            images=torch.from_numpy(dataset.images[train]).to(device),
            labels=torch.from_numpy(labels[train]).to(device),
            batches=ends.reshape(epochs, batches, -1, 2),
            same=train_pairs["same"].to_numpy().reshape(epochs, batches, -1),
            validation_images=torch.from_numpy(dataset.images[validation]).to(device),
            validation_labels=labels[validation],
            validation_pairs=position[validation_pairs[["left", "right"]].to_numpy()],
            validation_same=validation_pairs["same"].to_numpy(),
        )


def train_network(
    data: TrainingData,
    network: SiameseNetwork,
    params: TrainParams,
    resume: ResumeFile,
    on_epoch: Callable[[EpochRecord, float], None] = lambda record, images_per_second: None,
) -> Trained:
    """Train until the manifest ends or `patience` runs out; keep the weights of the best epoch.

    A run that was killed and is called again with the same arguments goes on after the last epoch
    it had completed, and on a CPU ends with the same bits as a run that was never killed.

    Args:
        data: on the device to train on.
        network: untrained, on that device; trained in place.
        params: see `params.yaml`.
        resume: where the state after each epoch is kept, and taken up from.
        on_epoch: called after each epoch with its record and the images trained on per second.

    Raises:
        InputError: the margin is out of reach, or the loss is no longer finite.
    """
    check_margin(params.margin, network.normalize)
    run = _Run(data, network, params)
    progress = _Progress()
    if state := resume.load(data.images.device):
        run.load_state_dict(state["run"])
        progress = _Progress(**state["progress"])
        print(f"Going on after epoch {len(progress.history)} of a run that was interrupted")

    epochs = len(data.batches)
    while len(progress.history) < epochs and progress.epochs_since_best < params.patience:
        epoch = len(progress.history)
        started = time.perf_counter()
        figures = run.train_epoch(epoch)
        seconds = time.perf_counter() - started
        check_finite(figures["loss"], epoch, params.learning_rate)
        record = EpochRecord(epoch=epoch + 1, **figures, **run.validate())
        progress.add(record, network, params)
        on_epoch(record, data.batches[epoch].size / seconds)
        resume.save({"run": run.state_dict(), "progress": vars(progress)})

    network.load_state_dict(progress.best_weights)
    return Trained(
        history=tuple(EpochRecord(**record) for record in progress.history),
        best_epoch=progress.best_epoch,
        stopped_early=len(progress.history) < epochs,
    )


def check_margin(margin: float, normalize: bool) -> None:
    """Refuse a margin that unit-length embeddings, at most 2 apart, can never reach."""
    if normalize and margin >= 2:
        raise InputError(
            f"params.yaml: `train.margin` is {margin}, but with `network.normalize: true`"
            " embeddings have length 1 and are at most 2 apart; choose a margin below 2"
        )


def check_finite(loss: float, epoch: int, learning_rate: float) -> None:
    """Stop a run whose loss has become NaN or infinite."""
    if not math.isfinite(loss):
        raise InputError(
            f"the loss became {loss} in epoch {epoch + 1}; the likely reason is"
            f" `train.learning_rate`, {learning_rate}: try a tenth of it"
        )


def collapse_warning(record: EpochRecord) -> str | None:
    """Say in words that the embedding maps everything to nearly one place, if it does.

    Either it has no spread, or like pairs are no nearer than unlike ones.
    """
    if record.spread > 0.1 and record.like_distance < 0.97 * record.unlike_distance:
        return None
    return (
        f"Warning: the embedding has collapsed. After epoch {record.epoch} unlike pairs are"
        f" {record.unlike_distance:.3f} apart and like pairs {record.like_distance:.3f}; its spread"
        f" is {record.spread:.3f}. Try a lower `train.like_weight` or `train.learning_rate`, or"
        " `train.mining: batch`."
    )


@dataclass
class _Progress:
    """How far a run has come; all of it plain values and tensors, so that it can be saved."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    epochs_since_best: int = 0

    def add(self, record: EpochRecord, network: SiameseNetwork, params: TrainParams) -> None:
        self.history.append(asdict(record))
        score = record.validation_knn if params.monitor == "knn" else -record.validation_loss
        # The first epoch always counts, so that there are weights to go back to.
        if not self.best_weights or score > self.best_score + params.min_delta:
            self.best_epoch, self.best_score = record.epoch, score
            self.best_weights = {
                name: tensor.detach().clone() for name, tensor in network.state_dict().items()
            }
            self.epochs_since_best = 0
        else:
            self.epochs_since_best += 1


class _Run:
    """Network, optimiser, schedule and loss scaling of one run, and what is done with them."""

    def __init__(self, data: TrainingData, network: SiameseNetwork, params: TrainParams) -> None:
        self.data, self.network, self.params = data, network, params
        self.device = data.images.device
        self.precision = autocast_dtype(params.precision, self.device)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=params.learning_rate,
            total_steps=data.same.shape[0] * data.same.shape[1],
            pct_start=params.warmup,
            cycle_momentum=False,
        )
        # Gradients of half-precision numbers would vanish; bf16 and fp32 need no scaling.
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self.gallery = _sample_gallery(len(data.images), params.monitor_gallery, params.seed)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Go once through the epoch's batches; return the figures of `EpochRecord`."""
        self.network.train()
        learning_rate = self.scheduler.get_last_lr()[0]
        # Seeded by the epoch, so that a run taken up again draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.params.seed * 100_003 + epoch)
        sums: dict[str, Tensor] = {}
        batches, n_images = self.data.batches[epoch], self.data.batches[epoch].size
        with tqdm(
            total=n_images, desc=f"epoch {epoch + 1}", unit="img", leave=False, disable=None
        ) as bar:
            for pairs, same in zip(batches, self.data.same[epoch], strict=True):
                for name, value in self._step(pairs, same, generator).items():
                    sums[name] = sums.get(name, 0) + value
                bar.update(pairs.size)
        means = {name: float(total) / len(batches) for name, total in sums.items()}
        return {"learning_rate": float(learning_rate), **means}

    def _step(
        self, pairs: np.ndarray, same: np.ndarray, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Take one optimiser step on one batch: int64 `[P, 2]` positions, bool `[P]`."""
        index = torch.from_numpy(pairs.T.reshape(-1)).to(self.device)  # (2P,): lefts, then rights
        images = augment(self.data.images[index], self.params.augment, generator)
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            embeddings = self.network.encode(images)  # (2P, D)
        if self.params.mining == "batch":
            labels = self.data.labels[index]
            distance = distance_matrix(embeddings)  # (2P, 2P)
            is_same = labels[:, None] == labels[None, :]
            # Each pair once, and no image with itself.
            is_pair = (index[:, None] != index[None, :]).triu(diagonal=1)
            # Of the many unlike pairs those beyond the margin have nothing left to learn; counted,
            # their zeros would drown the few that have.
            counted = is_pair & (is_same | (distance < self.params.margin))
        else:
            left, right = embeddings.chunk(2)
            distance = distance_of(left, right)  # (P,)
            is_same = torch.tensor(same, device=self.device)
            is_pair = counted = torch.ones_like(is_same)
        loss = balanced_mean(self._pair_losses(distance, is_same), is_same, counted)

        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()

        # Left on the device: reading a figure here would make every step wait for it.
        with torch.no_grad():
            like, unlike = is_same & is_pair, ~is_same & is_pair
            n_like, n_unlike = like.sum().clamp_min(1), unlike.sum().clamp_min(1)
            return {
                "loss": loss.detach(),
                "like_distance": distance.where(like, 0).sum() / n_like,
                "unlike_distance": distance.where(unlike, 0).sum() / n_unlike,
                "active_unlike": (unlike & (distance < self.params.margin)).sum() / n_unlike,
                "spread": (embeddings - embeddings.mean(0)).square().sum(1).mean().sqrt(),
            }

    def validate(self) -> dict[str, float]:
        """Measure the loss on the fixed validation pairs, and k-NN accuracy on the split.

        The validation samples are the queries, a fixed part of the training samples the gallery.
        """
        batch_size = 2 * self.data.same.shape[2]
        embedded = [
            embed_images(self.network, images, batch_size, self.precision)
            for images in (self.data.validation_images, self.data.images[self.gallery])
        ]
        queries, gallery = embedded
        left, right = self.data.validation_pairs.T
        distance = torch.from_numpy(pair_distances(queries, left, right))
        same = torch.tensor(self.data.validation_same)
        loss = balanced_mean(self._pair_losses(distance, same), same)
        gallery_labels = self.data.labels[self.gallery].cpu().numpy()
        k = min(self.params.monitor_k, len(gallery))
        rows, _ = nearest(gallery, queries, k)
        predicted = class_ranking(gallery_labels[rows], top=1)[:, 0]
        return {
            "validation_loss": float(loss),
            "validation_knn": float(np.mean(predicted == self.data.validation_labels)),
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._stateful().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])

    def _stateful(self) -> dict[str, Any]:
        names = ("network", "optimizer", "scheduler", "scaler")
        return {name: getattr(self, name) for name in names}

    def _pair_losses(self, distance: Tensor, same: Tensor) -> Tensor:
        return contrastive_loss(
            distance, same, self.params.margin, self.params.power, self.params.like_weight
        )


def _sample_gallery(n_samples: int, size: int, seed: int) -> Tensor:
    """Choose the training samples that validation queries are compared with, int64 ascending."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n_samples, generator=generator)[:size].sort().values
