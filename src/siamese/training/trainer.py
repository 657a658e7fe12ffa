"""One training run at work: its network, optimisers and schedule, epoch by epoch.

An epoch walks through the batches that the `pairs` stage drew: look up the images, augment them,
embed them in one pass, ask the objective for the loss of the batch, step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.measures.knn import class_ranking, nearest, nearest_others
from siamese.measures.verification import equal_error_rate, pair_distances
from siamese.network.compute import autocast_dtype
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.augment import Changes, augment
from siamese.training.batches import Batches, rates_dtype
from siamese.training.captured_step import CapturedStep
from siamese.training.frozen_backbone import FrozenFeatures, HeadOnly, Split
from siamese.training.in_parts import InParts
from siamese.training.objective import Figures, Objective, PairedBatch
from siamese.training.optimizer import make_optimizers, one_cycle
from siamese.training.parallel import Ranks
from siamese.training.train_params import TrainParams
from siamese.training.training_data import TrainingData

# Reading a figure makes a GPU wait for the host: there the loss is looked at this often.
BATCHES_BETWEEN_CHECKS = {"cpu": 1, "cuda": 50}


class Trainer:
    """Trains a network in place, epoch by epoch; can be interrupted and resumed.

    Args:
        data: on the device to train on.
        network: untrained, or with pretrained weights, on that device.
        objective: what is minimised; its weights, if it has any, are trained too.
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
        objective: Objective,
        params: TrainParams,
        ranks: Ranks | None = None,
    ) -> None:
        self.data, self.network, self.params = data, network, params
        self.ranks = ranks or Ranks()
        self.device = data.labels.device
        # What is frozen is never on the way back, which is what is slow for some in bf16.
        on_way_back = network if params.freeze != "backbone" else None
        self.precision = autocast_dtype(params.precision, self.device, on_way_back)
        self.objective = objective.to(self.device)
        # What training changes of the network: what is saved, and what is put back in the end.
        self.trained: nn.Module = network
        self.frozen: FrozenFeatures | None = None
        embedder: nn.Module = InParts(network, params.images_at_once)
        if params.freeze == "backbone":
            network.requires_grad_(False)
            self.trained = network.head.requires_grad_()
            self.frozen = FrozenFeatures(network, data, params, self.precision, self.ranks)
            embedder = HeadOnly(network)
        self.wrapped = self.ranks.wrap(embedder)
        self.parameters = [*self.trained.parameters(), *objective.parameters()]
        self.optimizers = make_optimizers(params.optimizer, network, objective, params.weight_decay)
        steps = data.same.shape[0] * data.same.shape[1]
        check_warmup(params.warmup, steps)
        rates = [one_cycle(getattr(params, name), steps, params.warmup) for name in self.optimizers]
        self.rates = torch.tensor(rates, dtype=torch.float64).T.reshape(*data.same.shape[:2], -1)
        # Gradients of half-precision numbers would vanish; bf16 and fp32 need no scaling.
        self.scaler = (
            torch.amp.GradScaler(self.device.type) if self.precision == torch.float16 else None
        )
        self.gallery = _sample_gallery(data.n_genuine, params.monitor_gallery, params.seed)
        self.part = self.ranks.part(2 * data.same.shape[2])
        # Of the batches of an epoch that has begun: the names, and float32 (figures,) of each.
        self.names: tuple[str, ...] = ()
        self.figures: list[Tensor] = []
        self.take_step: Callable[[Batches, int], Figures] = lambda batches, number: self.step(
            batches[number]
        )
        if self._needs_no_host():
            self.take_step = CapturedStep(self.step)

    def train_epoch(
        self, epoch: int, is_interrupted: Callable[[], object] = lambda: False
    ) -> dict[str, float] | None:
        """Go through an epoch's batches; of an interrupted one, through those that are left.

        Args:
            epoch: its number, from 0.
            is_interrupted: asked before each batch whether to stop here; of several ranks each is
                asked, now and then, and one that says so is enough for all.

        Returns:
            The learning rate at its start, and the means over its batches of the loss and of the
            objective's figures; None if it was interrupted.

        Raises:
            InputError: the loss is no longer finite.
        """
        self._begin_training()
        batches = self.draw(epoch)
        done, n_images = len(self.figures), batches.index.shape[1]
        with progress_bar(
            f"epoch {epoch + 1}" if self.ranks.is_first else None,
            "img",
            total=batches.index.numel(),
            initial=done * n_images,
            leave=False,
        ) as bar:
            # Asking all ranks makes a GPU wait for the host: then, too, not before each batch.
            between = BATCHES_BETWEEN_CHECKS[self.device.type] if self.ranks.size > 1 else 1
            for batch in range(done, len(batches)):
                if batch % between == 0 and self.ranks.any(bool(is_interrupted()), self.device):
                    return None
                # Seeded by the batch, so that what networks drop at random is dropped again.
                number = self.params.seed * 100_003 + epoch * len(batches) + batch
                torch.manual_seed(number * self.ranks.size + self.ranks.rank)
                figures = self.take_step(batches, batch)
                self.names = tuple(figures)
                self.figures.append(torch.stack([*figures.values()]))
                bar.update(n_images)
                is_last = batch + 1 == len(batches)
                if is_last or (batch + 1) % BATCHES_BETWEEN_CHECKS[self.device.type] == 0:
                    self._check_finite(epoch)
        means = torch.stack(self.figures).mean(dim=0).tolist()
        self.figures = []
        learning_rate = float(self.rates[epoch, 0, 0])
        return {"learning_rate": learning_rate, **dict(zip(self.names, means, strict=True))}

    def validate(self) -> dict[str, float]:
        """Measure loss and equal error rate on the fixed validation pairs, and k-NN on the split.

        The validation samples are the queries, a fixed part of the training samples the gallery.
        Where training has not all of their classes (`prepare.split_by: class`), the gallery of each
        is all other validation samples, and the nearest alone decides: a class has one sample fewer
        to vote for its own than for others, and would be outvoted where it has few.
        """
        embeddings = self._embed("validation", slice(None))
        with torch.no_grad():
            loss = self.objective.validation_loss(
                torch.from_numpy(embeddings).to(self.device),
                self.data.validation_batch(self.device),
                self.data.same.shape[2],
            )
        distances = pair_distances(embeddings, *self.data.validation_pairs.T)
        labels = self.data.validation_labels
        queries, labels = embeddings[labels >= 0], labels[labels >= 0]  # a forgery has no class
        if labels.max() < self.data.n_classes:
            gallery = self._embed("train", self.gallery)
            gallery_labels = self.data.labels[self.gallery].cpu().numpy()
            k = min(self.params.monitor_k, len(gallery))
            rows, _ = nearest(gallery, queries, k, device=self.device)
        else:
            gallery_labels = labels
            rows = nearest_others(queries, np.arange(len(queries)), 1)
        predicted = class_ranking(gallery_labels[rows], top=1)[:, 0]
        return {
            "validation_loss": loss,
            "validation_knn": float(np.mean(predicted == labels)),
            "validation_eer": equal_error_rate(distances, self.data.validation_same),
        }

    def ran_on(self) -> dict[str, str]:
        """Return what decides the bits of the result beside data, parameters and code.

        No host and no clock: it is written beside the figures.
        """
        # Other numbers of threads may add up in another order.
        threads = {"threads": str(torch.get_num_threads())} if self.device.type == "cpu" else {}
        return {
            "device": self.device.type,
            **threads,
            "precision": str(self.precision).removeprefix("torch."),
            # Without the build: one for CUDA computes on a CPU what a build for CPUs does.
            "torch": torch.__version__.partition("+")[0],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue: plain values and tensors."""
        parts = {name: part.state_dict() for name, part in self._stateful().items()}
        return parts | {"figures": self.figures}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue a run where `state_dict` left it; before the first step alone."""
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.figures = [figures.to(self.device) for figures in state["figures"]]

    def _stateful(self) -> dict[str, Any]:
        parts = {"network": self.trained, "objective": self.objective, **self.optimizers}
        return parts | ({"scaler": self.scaler} if self.scaler else {})

    def draw(self, epoch: int) -> Batches:
        """Put what the steps of an epoch read on the device, so that none waits for the host."""
        pairs = torch.from_numpy(self.data.batches[epoch])  # (n, P, 2)
        index = pairs.mT.reshape(len(pairs), -1)  # (n, 2P)
        # Seeded by the epoch, so that a resumed run draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.params.seed * 100_003 + epoch)
        changes = Changes.draw(index.numel(), self.params.augment, generator)
        places, lie_on = index, self.data.images.rows.device
        if self.frozen:
            places, lie_on = self.frozen.draw(index, generator), self.device
        return Batches(
            index=index.to(self.device),
            places=places[:, self.part].to(lie_on),
            same=torch.tensor(self.data.same[epoch], device=self.device),
            changes=changes.each(lambda values: values.unflatten(0, index.shape)[:, self.part]).to(
                self.device
            ),
            rates=self.rates[epoch].to(self.device, rates_dtype(self.device)),
        )

    def step(self, batch: Batches) -> Figures:
        """Take one optimiser step on one batch, without waiting for the device.

        Images, augmentation, network, objective, gradients, optimisers. It decides by shapes and
        parameters alone, so that it can be recorded once and replayed.

        Args:
            batch: one, on the device.

        Returns:
            The loss before the step, and the objective's figures, on the device.
        """
        inputs = self._inputs(batch)
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            embeddings = self.wrapped(inputs)  # (2P / ranks, D)
        known = PairedBatch(self.data.labels[batch.index], batch.index, batch.same)
        loss, figures = self.objective(self.ranks.gather(embeddings), known)
        for parameter in self.parameters:
            parameter.grad = None
        self._find_gradients(loss)
        for optimizer, rate in zip(self.optimizers.values(), batch.rates, strict=True):
            if self.scaler:
                self.scaler.step(optimizer, rate)
            else:
                optimizer.step(rate)
        if self.scaler:
            self.scaler.update()
        if self.params.freeze == "none":
            self.ranks.average_statistics(self.network)
        return {"loss": loss.detach(), **figures}

    def _begin_training(self) -> None:
        """Bring the network into training mode, frozen statistics left out."""
        self.network.train()
        if self.params.freeze != "none":
            for layer in self.network.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()

    def _inputs(self, batch: Batches) -> Tensor:
        """Return what this rank's part of a batch is embedded from: images, or frozen features."""
        if self.frozen:
            return self.frozen.look_up(batch.places)
        return augment(self.data.images[batch.places], batch.changes, self.params.augment)

    def _find_gradients(self, loss: Tensor) -> None:
        """Give the parameters the gradients of the whole batch's loss."""
        (self.scaler.scale(loss) if self.scaler else loss).mul(self.ranks.size).backward()
        if self.ranks.size > 1:
            for parameter in self.objective.parameters():
                # Every rank has that of the whole batch, multiplied for the network's sake.
                if parameter.grad is not None:
                    parameter.grad /= self.ranks.size

    def _embed(self, split: Split, rows: Tensor | slice) -> np.ndarray:
        """Embed n images of a split, shared by the ranks: float32 `[n, D]`."""
        if self.frozen:
            return self.frozen.embed(split, rows)
        data = self.data
        images = (data.images if split == "train" else data.validation_images).some(rows)
        part = images.some(self.ranks.share_of(len(images)))
        at_once, batch_size = self.params.images_at_once, 2 * data.same.shape[2]
        if at_once != "all":
            batch_size = min(batch_size, at_once)
        return self.ranks.gather_rows(embed_images(self.network, part, batch_size, self.precision))

    def _needs_no_host(self) -> bool:
        """Tell whether a step can be recorded.

        Other ranks, the scaler, changes of photographs and computing in parts need the host in a
        step, and so do images that lie there.
        """
        if self.ranks.size > 1 or self.scaler or self.params.augment.changes_photographs:
            return False
        if self.frozen:
            return self.device.type == "cuda"
        return self.data.images.pixels.is_cuda and self.params.images_at_once == "all"

    def _check_finite(self, epoch: int) -> None:
        losses = torch.stack(self.figures)[:, 0].cpu()
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            batch = int(broken[0])
            rates = [f"`train.{name}`, {getattr(self.params, name)}" for name in self.optimizers]
            raise InputError(
                f"the loss became {float(losses[batch])} in epoch {epoch + 1}, batch {batch + 1};"
                f" the likely reason is {' or '.join(rates)}: try a tenth of it",
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
