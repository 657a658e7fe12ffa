"""One training run at work: its network, optimisers and schedule, epoch by epoch.

An epoch walks through the batches that the `pairs` stage drew: look up the images, augment them,
embed them in one pass, ask the objective for the loss of the batch, step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.measures.knn import class_ranking, nearest, nearest_others
from siamese.network.compute import autocast_dtype
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.augment import Changes, augment
from siamese.training.batches import Batches, rates_dtype
from siamese.training.captured_step import CapturedStep
from siamese.training.objective import Figures, Objective, PairedBatch
from siamese.training.optimizer import make_optimizers, one_cycle
from siamese.training.parallel import Ranks
from siamese.training.train_params import TrainParams
from siamese.training.training_data import Images, TrainingData

# Reading a figure makes a GPU wait for the host: there the loss is looked at this often.
BATCHES_BETWEEN_CHECKS = {"cpu": 1, "cuda": 50}


class Trainer:
    """Trains a network in place, epoch by epoch; can be interrupted and resumed.

    Args:
        data: on the device to train on.
        network: untrained, on that device.
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
        self.precision = autocast_dtype(params.precision, self.device)
        self.wrapped = self.ranks.wrap(network)
        self.objective = objective.to(self.device)
        trained = nn.ModuleList([network, objective])
        self.parameters = [*trained.parameters()]
        self.muon, self.adamw = make_optimizers(trained, params.weight_decay)
        steps = data.same.shape[0] * data.same.shape[1]
        check_warmup(params.warmup, steps)
        rates = [
            one_cycle(highest, steps, params.warmup)
            for highest in (params.learning_rate, params.learning_rate_rest)
        ]
        self.rates = torch.tensor(rates, dtype=torch.float64).T.reshape(*data.same.shape[:2], 2)
        # Gradients of half-precision numbers would vanish; bf16 and fp32 need no scaling.
        self.scaler = (
            torch.amp.GradScaler(self.device.type) if self.precision == torch.float16 else None
        )
        self.gallery = _sample_gallery(len(data.images), params.monitor_gallery, params.seed)
        self.part = self.ranks.part(2 * data.same.shape[2])
        # Of the batches of an epoch that has begun: the names, and float32 (figures,) of each.
        self.names: tuple[str, ...] = ()
        self.figures: list[Tensor] = []
        self.take_step: Callable[[Batches, int], Figures] = lambda batches, number: self.step(
            batches[number]
        )
        # Other ranks, the scaler and changes of photographs need the host in a step, and so do
        # images that lie there.
        needs_host = (
            self.ranks.size > 1 or self.scaler is not None or params.augment.changes_photographs
        )
        if data.images.pixels.is_cuda and not needs_host:
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
        self.network.train()
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
        """Measure the loss on the fixed validation pairs, and k-NN accuracy on the split.

        The validation samples are the queries, a fixed part of the training samples the gallery.
        Where training has not all of their classes (`prepare.split_by: class`), the gallery of each
        is all other validation samples, and the nearest alone decides: a class has one sample fewer
        to vote for its own than for others, and would be outvoted where it has few.
        """
        queries = self._embed(self.data.validation_images)
        with torch.no_grad():
            loss = self.objective.validation_loss(
                torch.from_numpy(queries).to(self.device),
                self.data.validation_batch(self.device),
                self.data.same.shape[2],
            )
        if self.data.validation_labels.max() < self.data.n_classes:
            gallery = self._embed(self.data.images.some(self.gallery))
            gallery_labels = self.data.labels[self.gallery].cpu().numpy()
            k = min(self.params.monitor_k, len(gallery))
            rows, _ = nearest(gallery, queries, k, device=self.device)
        else:
            gallery_labels = self.data.validation_labels
            rows = nearest_others(queries, np.arange(len(queries)), 1)
        predicted = class_ranking(gallery_labels[rows], top=1)[:, 0]
        return {
            "validation_loss": loss,
            "validation_knn": float(np.mean(predicted == self.data.validation_labels)),
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
        names = ("network", "objective", "muon", "adamw", "scaler")
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    def draw(self, epoch: int) -> Batches:
        """Put what the steps of an epoch read on the device, so that none waits for the host."""
        pairs = torch.from_numpy(self.data.batches[epoch])  # (n, P, 2)
        index = pairs.mT.reshape(len(pairs), -1)  # (n, 2P)
        # Seeded by the epoch, so that a resumed run draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.params.seed * 100_003 + epoch)
        changes = Changes.draw(index.numel(), self.params.augment, generator)
        return Batches(
            index=index.to(self.device),
            places=index[:, self.part].to(self.data.images.rows.device),
            same=torch.tensor(self.data.same[epoch], device=self.device),
            changes=changes.each(lambda values: values.unflatten(0, index.shape)[:, self.part]).to(
                self.device
            ),
            rates=self.rates[epoch].to(self.device, rates_dtype(self.device)),
        )

    def step(self, batch: Batches) -> Figures:
        """Take one optimiser step on one batch, without waiting for the device.

        Images, augmentation, network, objective, gradients, both optimisers. It decides by shapes
        and parameters alone, so that it can be recorded once and replayed.

        Args:
            batch: one, on the device.

        Returns:
            The loss before the step, and the objective's figures, on the device.
        """
        images = augment(self.data.images[batch.places], batch.changes, self.params.augment)
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            (embeddings,) = self.wrapped(images)  # (2P / ranks, D)
        known = PairedBatch(self.data.labels[batch.index], batch.index, batch.same)
        loss, figures = self.objective(self.ranks.gather(embeddings), known)
        for parameter in self.parameters:
            parameter.grad = None
        self._find_gradients(loss)
        for optimizer, rate in zip((self.muon, self.adamw), batch.rates, strict=True):
            if self.scaler:
                self.scaler.step(optimizer, rate)
            else:
                optimizer.step(rate)
        if self.scaler:
            self.scaler.update()
        self.ranks.average_statistics(self.network)
        return {"loss": loss.detach(), **figures}

    def _find_gradients(self, loss: Tensor) -> None:
        """Give the parameters the gradients of the whole batch's loss."""
        (self.scaler.scale(loss) if self.scaler else loss).mul(self.ranks.size).backward()
        if self.ranks.size > 1:
            for parameter in self.objective.parameters():
                # Every rank has that of the whole batch, multiplied for the network's sake.
                if parameter.grad is not None:
                    parameter.grad /= self.ranks.size

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
