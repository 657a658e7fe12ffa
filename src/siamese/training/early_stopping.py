"""A training run from its first epoch to its best: validation, early stopping, interruption.

After each epoch the validation split decides whether it is the best so far, and whether to stop;
the state is saved, so that a killed run can be resumed. The test split is never looked at. What
happens within an epoch is in `trainer.py`.
"""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from siamese.base.errors import InputError, Interrupted
from siamese.training.interrupt import listening
from siamese.training.resume import ResumeFile
from siamese.training.train_params import TrainParams
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch was like: a row of `metrics/training.csv`.

    Attributes:
        epoch: from 1.
        figures: the other columns: `learning_rate` at its start; `loss` and the objective's figures
            (see `objective.describe`), means over the batches; `validation_loss`, `validation_knn`,
            `validation_eer`.
    """

    epoch: int
    figures: dict[str, float]

    def row(self) -> dict[str, float]:
        """Return all columns."""
        return {"epoch": self.epoch, **self.figures}


class Pace(NamedTuple):
    """How fast training went in an epoch, and how long it may take from there.

    Attributes:
        images_per_second: trained on, validation left out.
        seconds_left: to the last epoch of the manifest; patience may run out earlier.
    """

    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Trained:
    """The outcome of training; the network has got back the weights of its best epoch."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped_early: bool


def train_network(
    trainer: Trainer,
    resume: ResumeFile,
    on_epoch: Callable[[EpochRecord, Pace], None] = lambda record, pace: None,
) -> Trained:
    """Train until the manifest ends or `patience` runs out; keep the weights of the best epoch.

    A run that was killed and is started again with the same arguments continues after the last
    epoch it had completed, one that was interrupted by SIGINT or SIGTERM after the last batch; on a
    CPU it ends with the same bits as a run that was never stopped.

    Args:
        trainer: at its beginning; its network is trained in place.
        resume: where the state after each epoch is kept, and read again.
        on_epoch: called after each epoch with its record and how fast it went. Of several ranks
            the first alone calls it, and saves.

    Raises:
        InputError: the loss is no longer finite, or the GPU's memory does not suffice.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    data, params, ranks = trainer.data, trainer.params, trainer.ranks
    progress = _Progress()
    if state := ranks.share(resume.load(torch.device("cpu")) if ranks.is_first else None):
        trainer.load_state_dict(state["trainer"])
        progress = _Progress(**state["progress"])

    def save() -> None:
        if ranks.is_first:
            resume.save({"trainer": trainer.state_dict(), "progress": vars(progress)})

    epochs = len(data.batches)
    with listening() as listener:
        while len(progress.history) < epochs and progress.epochs_since_best < params.patience:
            epoch = len(progress.history)
            started, done = time.perf_counter(), len(trainer.figures)
            if state and ranks.is_first:
                print(f"Resuming in epoch {epoch + 1}, after its batch {done}", flush=True)
            state = None
            try:
                figures = trainer.train_epoch(epoch, lambda: listener.heard)
                trained_in = time.perf_counter() - started
                if figures is None:
                    save()
                    raise Interrupted(
                        listener.heard or signal.SIGTERM,  # another rank's, if not this one's
                        f"stopped in epoch {epoch + 1}, after batch {len(trainer.figures)} of"
                        f" {data.batches.shape[1]}; the same command continues from there",
                    )
                validation = trainer.validate()
                validated_in = time.perf_counter() - started - trained_in
            except torch.OutOfMemoryError as error:
                raise InputError(_out_of_memory(data, params.images_at_once, error)) from None
            record = ranks.share(EpochRecord(epoch + 1, {**figures, **validation}))
            progress.add(record, trainer.trained, params)
            save()
            if ranks.is_first:
                speed = data.batches[epoch, done:].size / trained_in
                one_more = data.batches[epoch].size / speed + validated_in
                on_epoch(record, Pace(speed, (epochs - record.epoch) * one_more))

    trainer.trained.load_state_dict(progress.best_weights)
    return Trained(
        history=tuple(EpochRecord(**record) for record in progress.history),
        best_epoch=progress.best_epoch,
        stopped_early=len(progress.history) < epochs,
    )


def _out_of_memory(data: TrainingData, at_once: int | str, error: torch.OutOfMemoryError) -> str:
    first_sentence = str(error).partition(". ")[0]
    return (
        f"out of GPU memory with `pairs.batch_size` {data.same.shape[2]}, twice as many images, and"
        f" `train.images_at_once` {at_once}: lower `train.images_at_once` first, which leaves the"
        f" batches as they are; then `network.width` or `pairs.batch_size` ({first_sentence})"
    )


@dataclass
class _Progress:
    """How far a run has come; all of it plain values and tensors, so that it can be saved."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    epochs_since_best: int = 0

    def add(self, record: EpochRecord, trained: nn.Module, params: TrainParams) -> None:
        self.history.append(asdict(record))
        score = record.figures[f"validation_{params.monitor}"]
        if params.monitor != "knn":  # the others are better the lower they are
            score = -score
        # The first epoch always counts, so that there are weights to return to.
        if not self.best_weights or score > self.best_score + params.min_delta:
            self.best_epoch, self.best_score = record.epoch, score
            self.best_weights = {
                name: tensor.detach().clone() for name, tensor in trained.state_dict().items()
            }
            self.epochs_since_best = 0
        else:
            self.epochs_since_best += 1
