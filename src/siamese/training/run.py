"""A training run from its first epoch to its best: validation, early stopping, interruption.

After each epoch the validation split decides whether it is the best so far, and whether to stop;
the state is saved, so that a killed run goes on. The test split is never looked at. What happens
within an epoch is `trainer.py`'s.
"""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from siamese.base.errors import InputError, Interrupted
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.interrupt import listening
from siamese.training.parallel import Ranks
from siamese.training.resume import ResumeFile
from siamese.training.trainer import Trainer, TrainParams
from siamese.training.training_data import TrainingData


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


def train_network(
    data: TrainingData,
    network: SiameseNetwork,
    params: TrainParams,
    resume: ResumeFile,
    on_epoch: Callable[[EpochRecord, float], None] = lambda record, images_per_second: None,
    ranks: Ranks | None = None,
) -> Trained:
    """Train until the manifest ends or `patience` runs out; keep the weights of the best epoch.

    A run that was killed and is called again with the same arguments goes on after the last epoch
    it had completed, one that was interrupted by SIGINT or SIGTERM after the last batch; on a CPU
    it ends with the same bits as a run that was never stopped.

    Args:
        data: on the device to train on.
        network: untrained, on that device; trained in place.
        params: see `params.yaml`.
        resume: where the state after each epoch is kept, and taken up from.
        on_epoch: called after each epoch with its record and the images trained on per second.
        ranks: the processes that train together; the first alone saves and calls `on_epoch`.

    Raises:
        InputError: the margin is out of reach, the loss is no longer finite, or the GPU's memory
            does not suffice.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    check_margin(params.margin, network.normalize)
    ranks = ranks or Ranks()
    trainer = Trainer(data, network, params, ranks)
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
                print(f"Going on in epoch {epoch + 1}, after its batch {done}", flush=True)
            state = None
            try:
                figures = trainer.train_epoch(epoch, lambda: listener.heard)
                seconds = time.perf_counter() - started
                if figures is None:
                    save()
                    raise Interrupted(
                        listener.heard or signal.SIGTERM,  # another rank's, if not this one's
                        f"stopped in epoch {epoch + 1}, after batch {len(trainer.figures)} of"
                        f" {data.batches.shape[1]}; the same command goes on from there",
                    )
                validation = trainer.validate()
            except torch.OutOfMemoryError as error:
                raise InputError(_out_of_memory(data, error)) from None
            record = ranks.share(EpochRecord(epoch=epoch + 1, **figures, **validation))
            progress.add(record, network, params)
            save()
            if ranks.is_first:
                n_images = data.batches[epoch, done:].size
                on_epoch(record, n_images / seconds)

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


def collapse_warning(record: EpochRecord, margin: float) -> str | None:
    """Say in words that the embedding maps everything to nearly one place, if it does.

    Either it has no spread to speak of beside the margin, or like pairs are no nearer than unlike
    ones.
    """
    if record.spread > 0.1 * margin and record.like_distance < 0.97 * record.unlike_distance:
        return None
    return (
        f"Warning: the embedding has collapsed. After epoch {record.epoch} unlike pairs are"
        f" {record.unlike_distance:.3f} apart and like pairs {record.like_distance:.3f}; its spread"
        f" is {record.spread:.3f}. Try a lower `train.like_weight` or `train.learning_rate`, or"
        " `train.mining: batch`."
    )


def _out_of_memory(data: TrainingData, error: torch.OutOfMemoryError) -> str:
    first_sentence = str(error).partition(". ")[0]
    return (
        f"out of GPU memory with `pairs.batch_size` {data.same.shape[2]}: lower that first,"
        f" or `network.width` ({first_sentence})"
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
