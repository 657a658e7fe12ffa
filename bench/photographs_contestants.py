"""Who takes part in the benchmark on photographs."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photographs_job import Job, Outcome, Params, without_head
from photographs_peers import METRIC_LOSSES, train_cross_entropy, train_metric_loss

from siamese.cli.photographs import HEAD_ALONE
from siamese.measures.manifest import read_manifest
from siamese.pairs.drawing import draw_training
from siamese.training.early_stopping import EpochRecord, train_network
from siamese.training.objective import OBJECTIVES
from siamese.training.resume import ResumeFile
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData


def leave_untouched(job: Job) -> Outcome:
    """Train nothing: the pooled features of the pretrained backbone are the embedding."""
    network = job.new_network()
    without_head(network)
    return Outcome(network)


def train_ours(job: Job) -> Outcome:
    """Train as the stage `train` does, on pairs drawn for as many images."""
    params, dataset = job.params, job.dataset
    file = job.inputs.workspace / "data/pairs/validation.parquet"
    validation = read_manifest(file, dataset.samples, "validation")
    data = TrainingData.of(dataset, draw_training(dataset, params.pairs), validation, job.device)
    network = job.new_network()

    def report(record: EpochRecord, _: object) -> None:
        loss, accuracy = record.figures["loss"], record.figures["validation_knn"]
        print(
            f"epoch {record.epoch} of {params.pairs.epochs}: loss {loss:.4f},"
            f" validation k-NN {100 * accuracy:.1f} %",
            flush=True,
        )

    began = time.perf_counter()
    objective = OBJECTIVES[params.train.loss](params.train, data.n_classes, network)
    trainer = Trainer(data, network, objective, params.train)
    # What was interrupted begins again: its seconds could not be told otherwise.
    with tempfile.TemporaryDirectory() as folder:
        trained = train_network(trainer, ResumeFile(Path(folder), "run"), report)
    seconds = time.perf_counter() - began
    images = len(trained.history) * data.batches[0].size
    return Outcome(network, seconds, images, trained.best_epoch)


@dataclass(frozen=True)
class Contestant:
    """What a contestant does.

    Attributes:
        says: in a few words, for the table.
        train: does it.
        reads: the beginnings of the names of the parameters that its result depends on, but for
            learning rates and seeds: a run with other values of these is another run.
        rates: that are tried if no others are asked for: of the backbone, or of everything that
            Muon steps. Empty where nothing is trained.
        head: the rate of everything else, as a multiple of that.
        losses: that are tried; the best on validation counts.
        changes: parameters by section.
        equal_time: the contestant for whose seconds this one trains, whatever number of images
            that is; empty if it sees as many images as all.
        tuned_as: the contestant whose best rate it takes, instead of one of its own.
    """

    says: str
    train: Callable[[Job], Outcome]
    reads: tuple[str, ...]
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    head: float = 10.0
    losses: tuple[str, ...] = ("",)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    equal_time: str = ""
    tuned_as: str = ""

    def settings(self, params: Params) -> dict[str, Any]:
        """Return the parameters that its result depends on, by name."""
        document = params.model_dump(mode="json")
        flat = {
            f"{section}.{name}": value
            for section, values in document.items()
            for name, value in values.items()
        }
        return {
            name: value
            for name, value in flat.items()
            if name.startswith(self.reads) and name not in NOT_SETTINGS
        }


# What `tune` and `run` choose themselves, and what only `test` and other stages read.
NOT_SETTINGS = (
    *("network.seed", "train.seed", "pairs.seed", "train.learning_rate"),
    *("train.learning_rate_rest", "pairs.validation", "pairs.test"),
)
NETWORK = ("network.architecture", "network.mirror")
OURS = ("network.", "train.", "pairs.")
CROSS_ENTROPY = (
    *NETWORK,
    *("pairs.batch_size", "pairs.batches_per_epoch", "pairs.epochs", "train.augment"),
    *("train.freeze", "train.monitor_gallery", "train.monitor_k", "train.warmup"),
    "train.weight_decay",
)
METRIC_LOSS = (*CROSS_ENTROPY, "network.embedding_dim", "pairs.classes_per_batch")


def sections(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return parameters that are named `section.name` by section, without parts of a group."""
    parted = [(*name.split(".", 1), value) for name, value in values.items()]
    return {
        wanted: {
            key: value for section, key, value in parted if section == wanted and "." not in key
        }
        for wanted in names
    }


# As a network of this project is trained from nothing, but for augmentation and length.
FROM_NOTHING: Mapping[str, Mapping[str, Any]] = {
    "network": {"architecture": "resnet9"},
    "train": {"optimizer": "muon", "freeze": "none", "weight_decay": 0.01, "warmup": 0.3},
    "pairs": {"batch_size": 128, "classes_per_batch": 32},
}
CONTESTANTS = {
    "untouched": Contestant("pretrained network, untouched", leave_untouched, NETWORK, rates=()),
    "frozen": Contestant(
        "ours: backbone frozen, head trained",
        train_ours,
        OURS,
        changes=sections(HEAD_ALONE, ("pairs", "train")),  # as `siamese adopt --fast` sets it
    ),
    "ours": Contestant("ours: fine-tuned", train_ours, OURS),
    "scratch": Contestant(
        "ours: resnet9 from nothing",
        train_ours,
        OURS,
        rates=(0.01, 0.03, 0.1),
        head=0.008 / 0.03,
        changes=FROM_NOTHING,
    ),
    "scratch-equal-time": Contestant(
        "ours: resnet9 from nothing, in the time of fine-tuning",
        train_ours,
        OURS,
        head=0.008 / 0.03,
        changes=FROM_NOTHING,
        equal_time="ours",
        tuned_as="scratch",
    ),
    "pml": Contestant(
        "pytorch-metric-learning", train_metric_loss, METRIC_LOSS, losses=(*METRIC_LOSSES,)
    ),
    "cross-entropy": Contestant(
        "cross-entropy, pooled features", train_cross_entropy, CROSS_ENTROPY
    ),
}
