"""Embeddings of photographs: this project beside what people use instead, on the same pixels.

    make bench-photographs WORKSPACE=path       # a workspace where `dvc repro pairs` has run

`tune` tries learning rates on validation; `run` trains with several seeds at the best of them and
measures on test; `table` prints that as Markdown. Each run is a line of a file of JSON lines as
soon as it ends: the same command, started again, goes on with what is missing there.

All contestants see as many images, of the same prepared pixels, in float32 on as many threads. All
keep the epoch whose k-NN on validation is best, and are measured by the same neighbours and votes:
embeddings of length 1, the mean of an image's and its mirror's where `network.mirror` says so; k is
what is best on validation; the gallery is training and validation, the queries are test. Seconds
are those of training with all that belongs to it, validation after each epoch included.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from photographs_contestants import CONTESTANTS, Contestant
from photographs_job import Inputs, Job, Outcome, Params
from photographs_measures import test_figures, validation_top1
from photographs_table import markdown

from siamese.base.errors import InputError, Interrupted
from siamese.base.progress import progress_bar
from siamese.cli.fitting import fitting
from siamese.network.compute import start

RESULT = Path(__file__).parent / "photographs.jsonl"
STOPPED = "photographs: stopped; the same command begins this run again, and goes on from there"
Record = dict[str, Any]


def main() -> None:
    """Read what is asked for and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    parsers = {
        "tune": commands.add_parser("tune", help="try learning rates on validation"),
        "run": commands.add_parser("run", help="train at the best rates, measure on test"),
        "table": commands.add_parser("table", help="print the results"),
    }
    for name, do in {"tune": tune, "run": run, "table": table}.items():
        parsers[name].set_defaults(do=do)
        parsers[name].add_argument("--results", type=Path, default=RESULT, help="JSON lines")
    for name, seeds in {"tune": [0], "run": [1, 2, 3]}.items():
        add = parsers[name].add_argument
        add("--workspace", type=Path, default=Path())
        add("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
        add("--seeds", nargs="+", type=int, default=seeds)
        add("--images", type=int, help="seen in training; as params.yaml says, if not given")
        add("--workers", type=int, default=0, help="of the peers' DataLoader")
    rates = "of the backbone; the head's is ten times as high"
    parsers["tune"].add_argument("--rates", nargs="+", type=float, help=rates)
    parsers["run"].add_argument("--tuned", type=int, help="images that `tune` saw; as --images")
    options = parser.parse_args()
    try:
        options.do(options)
    except InputError as error:
        sys.exit(f"photographs: {error}")
    except Interrupted as interruption:
        print(STOPPED, file=sys.stderr, flush=True)
        interruption.end_process()
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(130)


def tune(options: argparse.Namespace) -> None:
    """Train every contestant once at each rate, and measure it on validation."""
    inputs = Inputs.read(options.workspace)
    cases = [
        Case(inputs, name, options.images, "validation", loss, rate, seed)
        for seed in options.seeds
        for name in options.contestants
        if not CONTESTANTS[name].equal_time
        for loss in CONTESTANTS[name].losses
        for rate in CONTESTANTS[name].rates and (options.rates or CONTESTANTS[name].rates)
    ]
    work_off(iter(cases), len(cases), options)
    for name in dict.fromkeys(case.key["contestant"] for case in cases):
        say_best(inputs, name, options)


def say_best(inputs: Inputs, name: str, options: argparse.Namespace) -> None:
    """Print a contestant's best rate, and whether one beyond those tried might be better."""
    loss, rate = best_of(inputs, name, options.results, options.images)
    print(f"{name}: best with rate {rate:g}{f' and {loss}' if loss else ''}")
    runs = tuning_runs(inputs, name, options.results, options.images)
    tried = {record["rate"] for record in runs}
    if len(tried) > 1 and rate in (min(tried), max(tried)):
        end = "lowest" if rate == min(tried) else "highest"
        print(f"note: that is the {end} rate that was tried; another, by --rates, may be better")


def run(options: argparse.Namespace) -> None:
    """Train every contestant with several seeds at its best rate, and measure it on test."""
    inputs = Inputs.read(options.workspace)
    names = options.contestants
    for name in names:
        if CONTESTANTS[name].rates:
            # To say what is missing before hours of work.
            best_of(inputs, name, options.results, options.tuned or options.images)
    # What is not trained is the same with every seed.
    wanted = [
        (name, seed)
        for seed in options.seeds
        for name in names
        if CONTESTANTS[name].rates or seed == options.seeds[0]
    ]
    work_off((case_of(inputs, *each, options) for each in wanted), len(wanted), options)


class Case:
    """One run that is wanted.

    Args:
        inputs: what is trained on.
        name: of the contestant.
        images: seen in training; if None, as many as params.yaml says.
        split: what is measured on.
        loss: which of the contestant's.
        rate: the learning rate of the backbone; None where nothing is trained.
        seed: of everything.
    """

    def __init__(
        self,
        inputs: Inputs,
        name: str,
        images: int | None,
        split: str,
        loss: str = "",
        rate: float | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs, self.contestant, self.split, self.loss = inputs, CONTESTANTS[name], split, loss
        settled = settle(inputs, self.contestant, images)
        self.key: Record = {
            "contestant": name,
            "split": split,
            "loss": loss,
            "rate": rate,
            "seed": seed,
            "data": inputs.facts,
            "settings": self.contestant.settings(settled),
        }
        of_seed: dict[str, dict[str, Any]] = {part: {"seed": seed} for part in ("network", "pairs")}
        of_seed["train"] = {"seed": seed}
        if rate is not None:
            rest = rate * self.contestant.head
            of_seed["train"] |= {"learning_rate": rate, "learning_rate_rest": rest}
        self.params = settled.changed(of_seed)

    def is_same_as(self, record: Record, but_for: Sequence[str] = ()) -> bool:
        """Tell whether a record is of this run, or of one that differs in these parts alone."""
        return all(record[part] == self.key[part] for part in self.key if part not in but_for)


def settle(inputs: Inputs, contestant: Contestant, images: int | None) -> Params:
    """Return the parameters of a contestant, rate and seed apart."""
    given = inputs.params.pairs
    images = images or given.epochs * given.batches_per_epoch * 2 * given.batch_size
    changed = inputs.params.changed(contestant.changes)
    pairs = changed.pairs
    largest = {
        f"pairs.{name}": getattr(pairs, name) for name in ("batch_size", "classes_per_batch")
    }
    fitted = fitting(inputs.dataset.samples, largest)
    batch_size, classes = (fitted[name] for name in largest)
    batches = max(1, round(images / (pairs.epochs * 2 * batch_size)))
    return changed.changed(
        {
            "pairs": {
                "batch_size": batch_size,
                "classes_per_batch": classes,
                "batches_per_epoch": batches,
            },
            # All see as many images.
            "train": {"precision": "fp32", "patience": pairs.epochs, "processes": 1},
        }
    )


def case_of(inputs: Inputs, name: str, seed: int, options: argparse.Namespace) -> Case:
    """Return the run of a contestant at its best rate."""
    contestant = CONTESTANTS[name]
    loss, rate = "", None
    if contestant.rates:
        loss, rate = best_of(inputs, name, options.results, options.tuned or options.images)
    if not contestant.equal_time:
        return Case(inputs, name, options.images, "test", loss, rate, seed)
    others = contestant.equal_time, contestant.tuned_as
    first = []
    for other in others:
        case = case_of(inputs, other, seed, options)
        first += find(case, options.results, but_for=("seed",))[:1]
    if len(first) < 2:
        raise InputError(f"{name} trains as long as {others[0]}: first run {' and '.join(others)}")
    slow, fast = first
    images = round(fast["images_seen"] * slow["seconds"] / fast["seconds"])
    return Case(inputs, name, images, "test", loss, rate, seed)


def best_of(inputs: Inputs, name: str, results: Path, images: int | None) -> tuple[str, float]:
    """Return the loss and the rate that were best on validation; of several seeds, on average."""
    found: dict[tuple[str, float], list[float]] = {}
    for record in tuning_runs(inputs, name, results, images):
        tried = record["loss"], record["rate"]
        found.setdefault(tried, []).append(max(record["validation"].values()))
    if not found:
        raise InputError(
            f"{results}: no learning rate of {name} was tried on this data with these parameters"
            f" and as many images; run `tune --contestants {CONTESTANTS[name].tuned_as or name}`"
        )
    return max(found, key=lambda tried: statistics.mean(found[tried]))


def tuning_runs(inputs: Inputs, name: str, results: Path, images: int | None) -> list[Record]:
    """Return the records of all rates and losses that were tried for a contestant."""
    case = Case(inputs, CONTESTANTS[name].tuned_as or name, images, "validation")
    return find(case, results, but_for=("loss", "rate", "seed"))


def find(case: Case, results: Path, but_for: Sequence[str] = ()) -> list[Record]:
    """Return the records of a run, or of runs that differ in these parts of its key."""
    return [record for record in read(results) if case.is_same_as(record, but_for)]


def read(results: Path) -> list[Record]:
    """Return all records; none if nothing has been run."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def work_off(cases: Iterator[Case], count: int, options: argparse.Namespace) -> None:
    """Run the cases that have no record yet, and record each as it ends."""
    device = None
    for case in progress_bar("runs", "run", cases, total=count):
        key = case.key
        rate = "" if key["rate"] is None else f", rate {key['rate']:g}, seed {key['seed']}"
        title = f"{' '.join(filter(None, (key['contestant'], key['loss'])))}{rate}"
        if find(case, options.results):
            print(f"{title}: done before", flush=True)
            continue
        print(f"{title}:", flush=True)
        device = device or start(case.params.compute)
        record = key | measure(case, device, options.workers) | {"machine": machine()}
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        print(f"{title}: {record['validation']} {record.get('test', '')}", flush=True)


def measure(case: Case, device: torch.device, workers: int) -> Record:
    """Train, embed, and measure on validation; on test, if that is asked for."""
    inputs, dataset, evaluate = case.inputs, case.inputs.dataset, case.params.evaluate
    job = Job(inputs, case.params, case.loss, device, workers)
    outcome = case.contestant.train(job)
    # Rows of a split that is not asked for stay without a number: nothing can look at them.
    rows = np.arange(len(dataset.images))
    if case.split == "validation":
        rows = dataset.rows("train", "validation")
    vectors = np.full((len(dataset.images), outcome.network.embedding_dim), np.nan, np.float32)
    vectors[rows] = job.embed(outcome.network, rows, progress=True)

    accuracy = validation_top1(vectors.__getitem__, dataset, dataset.rows("train"), evaluate)
    record: Record = {
        "images_seen": outcome.images,
        "seconds": round(outcome.seconds, 1),
        "threads": torch.get_num_threads(),
        "best_epoch": outcome.best_epoch,
        "validation": {f"k{k}": round(share, 4) for k, share in accuracy.items()},
    }
    if case.split == "test":
        k = max(accuracy, key=lambda k: accuracy[k])
        figures = test_figures(vectors.__getitem__, dataset, evaluate, k)
        figures |= classified(job, outcome)
        record["test"] = {"k": k} | {name: round(share, 4) for name, share in figures.items()}
    return record


def classified(job: Job, outcome: Outcome) -> dict[str, float]:
    """Return how often the last layer of a classifier is right on test, by its `logits`.

    The queries are those of classes that it knows. Its logits are the mean of an image's and its
    mirror's, as embeddings are: the layer is linear, and gets the mean of their features.
    """
    if outcome.classifier is None:
        return {}
    fine = job.dataset.fine()
    classes = np.unique(fine[job.dataset.rows("train")])
    queries = job.dataset.queries()
    queries = queries[np.isin(fine[queries], classes)]
    if not len(queries):
        return {}
    outcome.network.normalize = False
    features = torch.from_numpy(job.embed(outcome.network, queries))
    with torch.inference_mode():
        elected = outcome.classifier.cpu()(features).argmax(dim=1).numpy()
    return {"logits": float(np.mean(classes[elected] == fine[queries]))}


def table(options: argparse.Namespace) -> None:
    """Print what has been measured."""
    records = read(options.results)
    if not records:
        raise InputError(f"{options.results}: nothing has been measured; run `tune`, then `run`")
    says = {name: contestant.says for name, contestant in CONTESTANTS.items()}
    print(markdown(records, says))


if __name__ == "__main__":
    main()
