"""What the losses are worth: the same network, the same small budget of images, a queue of runs.

    make study                      # one seed of all on validation; three of the finalists on test

`run` trains one contestant, embeds and measures; it is the stage of study.yaml. `queue` puts runs
of it into DVC's queue, works the queue off and collects what was measured into study.json; `table`
prints that as Markdown.

The queue belongs to a clone of this repository, in .study: no stage of the study shows up in the
project's own `dvc status`, experiments and metrics.
"""

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import yaml
from contestants import CONTESTANTS
from machine import machine
from pydantic import Field
from sklearn.metrics import roc_auc_score
from study_pictures import draw_forces, draw_knobs
from torch import Tensor

from siamese.base.dataset import Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.base.files import write_json
from siamese.base.params import Section, read_document, read_sections
from siamese.cli.dvc_runs import run_dvc
from siamese.measures.knn import class_ranking, nearest
from siamese.measures.manifest import read_manifest
from siamese.measures.verification import pair_distances
from siamese.network.compute import ComputeParams, autocast_dtype, start
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import NetworkParams, build_network
from siamese.pairs.drawing import draw_training
from siamese.pairs.params import PairsParams
from siamese.repository.git import git, own_git
from siamese.training.objective import Contrastive, Figures, Objective, PairedBatch, Pairs
from siamese.training.train_params import TrainParams
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData

BENCH, PREPARED, PAIRS = Path("bench"), Path("data/prepared"), Path("data/pairs")
RESULT, CLONE = BENCH / "study.json", Path(".study")
READ_STAGES = ("download", "prepare", "pairs")
NEIGHBOURS = 20
BATCHES_BETWEEN_LOOKS = 8


class Params(Section):
    """The sections of `params.yaml` that a contestant changes."""

    network: NetworkParams
    train: TrainParams
    pairs: PairsParams


class StudyParams(Section):
    """The whole of bench/params.yaml, where each value is explained."""

    contestant: str
    seed: int = Field(ge=0, lt=2**32)
    split: Literal["validation", "test"]
    epochs: int = Field(ge=1)
    images: int = Field(ge=1)
    width: int = Field(ge=1)
    threads: int = Field(ge=1)


def main() -> None:
    """Read what is asked for and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    commands.add_parser("run", help="one contestant").set_defaults(do=lambda _: run())
    queueing = commands.add_parser("queue", help="many, as a queue of DVC experiments")
    queueing.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    queueing.add_argument("--seeds", nargs="+", type=int, default=[0])
    queueing.add_argument("--split", choices=["validation", "test"], default="validation")
    # More are faster, but of DVC's workers all except the first were seen to wait on for ever.
    queueing.add_argument("--jobs", type=int, default=1, help="runs at a time")
    queueing.add_argument("--set", nargs="*", default=[], help="of bench/params.yaml: name=value")
    queueing.set_defaults(do=queue)
    commands.add_parser("table", help="print and draw the results").set_defaults(
        do=lambda _: table()
    )
    options = parser.parse_args()
    options.do(options)


def run() -> None:
    """Train the contestant of bench/params.yaml and write its figures."""
    study = StudyParams(**read_document(BENCH / "params.yaml"))
    contestant = CONTESTANTS[study.contestant]
    params = read_sections(Params)
    changes = {"epochs": study.epochs, "seed": study.seed, **contestant.pairs}
    pairs = params.pairs.model_copy(update=changes)
    batches = max(1, round(study.images / (2 * pairs.batch_size)))
    pairs = pairs.model_copy(update={"batches_per_epoch": batches})
    network = params.network.model_copy(update={"width": study.width, "seed": study.seed})
    train = params.train.model_copy(update={"seed": study.seed, **contestant.train})
    device = start(ComputeParams(device="auto", threads=study.threads, deterministic=True))

    dataset = load_dataset(PREPARED)
    validation = read_manifest(PAIRS / "validation.parquet", dataset.samples, "validation")
    data = TrainingData.of(dataset, draw_training(dataset, pairs), validation, device)
    siamese = build_network(network, data.images.size, data.channel_mean, data.channel_std)
    contestant.change_network(siamese)
    siamese.to(device)
    watched = Watched(contestant.objective(train, data.n_classes, siamese))
    trainer = Trainer(data, siamese, watched, train)
    course = []
    for epoch in range(study.epochs):
        figures = trainer.train_epoch(epoch)
        assert figures is not None
        course.append({"epoch": epoch + 1, **figures, **watched.mean_forces()})
        print(f"epoch {epoch + 1} of {study.epochs}: loss {figures['loss']:.4f}", flush=True)

    siamese.normalize = params.network.normalize  # cross-entropy trains without
    precision = autocast_dtype(train.precision, device)

    def embed(rows: np.ndarray) -> np.ndarray:
        return embed_images(siamese, dataset.images_of(rows), 500, precision)

    accuracy = measure(embed, dataset, study.split)
    distances = pair_distances(embed(dataset.rows("validation")), *data.validation_pairs.T)
    auc = roc_auc_score(data.validation_same, -distances)
    write_json(BENCH / "contestant.json", {**accuracy, "validation_auc": round(float(auc), 4)})
    pd.DataFrame(course).to_csv(BENCH / "course.csv", index=False, float_format="%.6g")


def measure(
    embed: Callable[[np.ndarray], np.ndarray], dataset: Dataset, split: str
) -> dict[str, float]:
    """Return k-NN top-1 of a split, with all samples that are not held out as the gallery."""
    gallery, queries = {
        "validation": (dataset.rows("train"), dataset.rows("validation")),
        "test": (dataset.rows("train", "validation"), dataset.rows("test")),
    }[split]
    rows, _ = nearest(embed(gallery), embed(queries), NEIGHBOURS)
    labels = dataset.fine()
    right = {
        f"{split}_top1_k{k}": class_ranking(labels[gallery][rows[:, :k]], top=1)[:, 0]
        == labels[queries]
        for k in (1, NEIGHBOURS)
    }
    return {name: round(float(np.mean(each)), 4) for name, each in right.items()}


class Watched(Objective):
    """An objective, and how hard like and unlike pairs of images move the embeddings.

    Every few batches it measures the length of the loss's gradient by the embeddings, of the like
    pairs' term alone and of the unlike pairs' alone, where the loss has such terms.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.forces: list[tuple[float, float]] = []
        self.batches = 0

    def forward(self, embeddings: Tensor, batch: PairedBatch) -> tuple[Tensor, Figures]:
        """Return what the objective returns."""
        if isinstance(self.objective, Contrastive) and self.batches % BATCHES_BETWEEN_LOOKS == 0:
            pull, push = (force(self.objective, embeddings, batch, kind) for kind in (True, False))
            self.forces.append((pull, push))
        self.batches += 1
        return self.objective(embeddings, batch)

    def mean_forces(self) -> dict[str, float]:
        """Return the means since the last call, `pull` of like and `push` of unlike pairs."""
        pull, push = np.mean(self.forces, axis=0) if self.forces else (math.nan, math.nan)
        self.forces, self.batches = [], 0
        return {"pull": pull, "push": push}


def force(objective: Contrastive, embeddings: Tensor, batch: PairedBatch, kind: bool) -> float:
    """Return the length of the gradient of one kind of pairs, by the embeddings."""
    pairs = objective.form_pairs(embeddings, batch)
    of_kind = Pairs(pairs.distance, pairs.same, pairs.counted & (pairs.same == kind))
    loss = objective.mean_loss(of_kind, active_only=objective.params.mining == "batch")
    (gradient,) = torch.autograd.grad(loss / (1 + objective.params.proxy_weight), embeddings)
    return float(gradient.norm())


def queue(options: argparse.Namespace) -> None:
    """Run contestants and seeds as DVC experiments and add what they measured to study.json."""
    prepare_clone()
    for name in options.contestants:
        for seed in options.seeds:
            changes = [f"contestant={name}", f"seed={seed}", f"split={options.split}", *options.set]
            settings = [f"--set-param=bench/params.yaml:{change}" for change in changes]
            title = f"{options.split}-{name}-{seed}"
            dvc("exp", "run", "--queue", "-n", title, *settings, "bench/dvc.yaml:contestant")
    dvc("exp", "run", "--run-all", "-j", str(options.jobs))
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": []}
    runs = {run_key(run): run for run in [*known["runs"], *collect()]}
    write_json(RESULT, {"machine": machine(), "runs": sorted(runs.values(), key=run_key)})
    table()


def prepare_clone() -> None:
    """Clone what is committed here, with the study's stage in it, sharing DVC's cache.

    Of the project's own stages the clone keeps those that make what the study reads. DVC saves an
    experiment with all outputs that `dvc.lock` lists, and the others need not be in the cache.
    """
    shutil.rmtree(CLONE, ignore_errors=True)
    git(Path(), "clone", "--quiet", "--template=", ".", str(CLONE))
    shutil.copyfile(CLONE / "bench/study.yaml", CLONE / "bench/dvc.yaml")
    for file in (CLONE / "dvc.yaml", CLONE / "dvc.lock"):
        content = read_document(file)
        content["stages"] = {name: content["stages"][name] for name in READ_STAGES}
        content.pop("plots", None)
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    own_git(CLONE, "config", "user.name", "study")  # for DVC
    own_git(CLONE, "config", "user.email", "study@localhost")
    own_git(CLONE, "add", "-A")
    own_git(CLONE, "commit", "--quiet", "-m", "the stage of the study")
    dvc("config", "--local", "cache.dir", str(Path(".dvc/cache").resolve()))
    dvc("checkout", "--quiet", "data/raw", "data/prepared", "data/pairs")


def collect() -> list[dict[str, Any]]:
    """Return what each finished experiment measured."""
    from dvc.repo import Repo

    with Repo(str(CLONE)) as repo:
        listed = repo.experiments.ls()
    found = []
    for name, revision in [pair for pairs in listed.values() for pair in pairs]:
        split, *words, seed = name.split("-")
        run = {"contestant": "-".join(words), "seed": int(seed), "split": split}
        figures = json.loads(git(CLONE, "show", f"{revision}:bench/contestant.json"))
        course = git(CLONE, "show", f"{revision}:bench/course.csv").splitlines()
        found.append({**run, **figures, "course": course})
    return found


def run_key(run: dict[str, Any]) -> tuple[str, int, int]:
    """Return what tells runs apart and puts them in order."""
    return run["split"], [*CONTESTANTS].index(run["contestant"]), run["seed"]


def table() -> None:
    """Print study.json as Markdown; draw its pictures, where all that they show has been run."""
    runs = json.loads(RESULT.read_text())["runs"]
    print(markdown(runs))
    if {run["contestant"] for run in runs if run["split"] == "validation"} == {*CONTESTANTS}:
        draw_knobs(runs, Path("docs/knobs.png"))
        draw_forces(runs, Path("docs/forces.png"))


def markdown(runs: Sequence[dict[str, Any]]) -> str:
    """Return one row per contestant: validation of one seed; mean and spread of several on test."""
    lines = [
        "| | validation, k = 20 | k = 1 | area under the ROC | test, k = 20: mean (least - most) |",
        "|---|---|---|---|---|",
    ]
    for name, contestant in CONTESTANTS.items():
        cells = ["", "", "", ""]
        tested = []
        for run in runs:
            if run["contestant"] == name and run["split"] == "test":
                tested.append(100 * run["test_top1_k20"])
            elif run["contestant"] == name:
                cells[0] = f"{100 * run['validation_top1_k20']:.1f} %"
                cells[1] = f"{100 * run['validation_top1_k1']:.1f} %"
                cells[2] = f"{run['validation_auc']:.3f}"
        if tested:
            spread = f"{min(tested):.1f} - {max(tested):.1f}"
            cells[3] = f"{statistics.mean(tested):.1f} % ({spread})"
        lines.append(f"| {contestant.says} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dvc(*arguments: str) -> None:
    """Run DVC in the clone, the stage with this Python."""
    if run_dvc(CLONE, *arguments):
        raise InputError(f"`dvc {arguments[0]}` failed in {CLONE}/, see above")


if __name__ == "__main__":
    main()
