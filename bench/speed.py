"""How fast training is, measured beside its own limit and beside what a user would pick instead.

    make bench              # the pipeline's data and params.yaml; writes bench/speed.json

At each width of the network asked for, three contestants with the same network, batch size,
precision, memory format and threads:

- trainer: `Trainer.train_epoch` as the `train` stage runs it, everything but validation included;
- limit: on a CPU its step, again and again on one batch; on a GPU what its kernels alone take;
- peer: pytorch-metric-learning's ContrastiveLoss and MPerClassSampler over torchvision's CIFAR100,
  transforms and DataLoader, with AdamW, in a process without this project's settings.

Trainer and limit take turns in one process, that process and the peer's take turns in rounds, so
that whatever else the machine does meets all of them. Speeds are images per second.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from torch.nn import functional
from torchvision import transforms
from torchvision.datasets import CIFAR100

from siamese.base.dataset import channel_statistics, load_dataset
from siamese.base.params import Section, read_sections
from siamese.network.compute import ComputeParams, autocast_dtype, start
from siamese.network.siamese_network import NetworkParams, SiameseNetwork, build_network
from siamese.pairs.params import PairsParams
from siamese.training.objective import OBJECTIVES
from siamese.training.train_params import TrainParams
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData

PREPARED, PAIRS, RESULT = Path("data/prepared"), Path("data/pairs"), Path("bench/speed.json")
TURNS = 2  # of trainer and limit in one process
CONTESTANTS = ("trainer", "limit", "peer")


class Params(Section):
    """The sections of `params.yaml` that are measured with."""

    network: NetworkParams
    train: TrainParams
    compute: ComputeParams
    pairs: PairsParams


def main() -> None:
    """Run the rounds, each contestant in a process of its own, and write what they measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="timed at a time")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32], help="of the network")
    parser.add_argument("--compile", action="store_true", help="the limit with torch.compile too")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=worker_counts(), help="to choose from"
    )
    parser.add_argument("--only", choices=["ours", "peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    params = read_sections(Params)
    if options.only:
        measure = measure_ours if options.only == "ours" else measure_peer
        network = params.network.model_copy(update={"width": options.widths[0]})
        params = params.model_copy(update={"network": network})
        print(json.dumps(measure(params, options)))
        return

    settings = params.model_dump()
    del settings["network"]["width"]
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "batches": options.batches,
        "settings": settings,
        "widths": [measure_width(width, options) for width in options.widths],
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for measured in report["widths"]:
        print(f"\nWidth {measured['width']}\n{table(measured['rounds'])}")


def measure_width(width: int, options: argparse.Namespace) -> dict[str, Any]:
    """Find the peer's best number of workers at one width, then let all take turns."""
    tried = {workers: run("peer", width, options, workers)["peer"] for workers in options.workers}
    best = max(tried, key=lambda workers: tried[workers])
    print(f"Width {width}: the peer is fastest with {best} workers: {tried}", flush=True)
    rounds = []
    for number in range(options.rounds):
        figures = run("ours", width, options, best) | run("peer", width, options, best)
        rounds.append(figures)
        print(f"round {number + 1} of {options.rounds}: {figures}", flush=True)
    workers = {"best": best, "tried": {str(key): tried[key] for key in tried}}
    return {"width": width, "peer_workers": workers, "rounds": rounds}


def run(contestant: str, width: int, options: argparse.Namespace, workers: int) -> dict[str, float]:
    """Measure one contestant in a fresh process."""
    command = [sys.executable, __file__, "--only", contestant, "--batches", str(options.batches)]
    command += ["--widths", str(width), "--workers", str(workers)]
    command += ["--compile"] * options.compile
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def worker_counts() -> list[int]:
    """Return what to try for the peer's DataLoader: none, and powers of two up to all cores."""
    cores = os.cpu_count() or 1
    return sorted({0, cores} | {2**power for power in range(cores.bit_length()) if power < 5})


def table(rounds: list[dict[str, float]]) -> str:
    """Return the figures as Markdown: median, and least to most, over the rounds."""
    lines = ["", "| | images/s, median | least - most | peak memory |", "|---|---|---|---|"]
    for name in (*CONTESTANTS, "limit_compiled"):
        if name in rounds[0]:
            speeds = sorted(figures[name] for figures in rounds)
            memory = rounds[0].get(f"{name}_memory_mb")
            median, least, most = statistics.median(speeds), speeds[0], speeds[-1]
            peak = f"{memory:,.0f} MB" if memory else "as above"
            lines.append(f"| {name} | {median:,.0f} | {least:,.0f} - {most:,.0f} | {peak} |")
    if "trainer_busy" in rounds[0]:
        busy = statistics.median(figures["trainer_busy"] for figures in rounds)
        lines.append(f"\ntrainer: kernels run {100 * busy:.0f} % of the time")
    for other in ("limit", "peer"):
        ratios = sorted(figures["trainer"] / figures[other] for figures in rounds)
        lines.append(
            f"\ntrainer / {other}: {statistics.median(ratios):.3f}"
            f" ({ratios[0]:.3f} - {ratios[-1]:.3f})"
        )
    return "\n".join(lines)


def measure_ours(params: Params, options: argparse.Namespace) -> dict[str, float]:
    """Measure trainer and limit, in turns."""
    device = start(params.compute)
    data = TrainingData.load(PREPARED, PAIRS, device)
    batches = min(options.batches, data.same.shape[1])
    epochs = np.arange(TURNS + 1) % len(data.same)  # one per turn, however many were drawn
    data = replace(data, batches=data.batches[epochs, :batches], same=data.same[epochs, :batches])

    def new_trainer() -> Trainer:
        network = build_network(
            params.network, data.images.size, data.channel_mean, data.channel_std
        )
        objective = OBJECTIVES[params.train.loss](params.train, data.n_classes, network)
        return Trainer(data, network.to(device), objective, params.train)

    trainer, limit = new_trainer(), resident_step(new_trainer())
    contestants: dict[str, Callable[[int], Any]] = {
        "trainer": trainer.train_epoch,
        "limit": lambda _: [limit() for _ in range(batches)],
    }
    if options.compile:
        compiled = resident_step(new_trainer(), compiled=True)
        contestants["limit_compiled"] = lambda _: [compiled() for _ in range(batches)]
    n_images = data.batches[0].size
    speeds = time_in_turns(contestants, n_images, device)
    return speeds | kernels_alone(trainer, n_images)


def resident_step(trainer: Trainer, compiled: bool = False) -> Callable[[], object]:
    """Return a function that takes a step on the trainer's first batch."""
    batches = trainer.draw(0)
    trainer.network.train()
    if compiled:
        trainer.network.compile()
    return lambda: trainer.take_step(batches, 0)


def kernels_alone(trainer: Trainer, n_images: int) -> dict[str, float]:
    """Return how fast and how busy a GPU is: images/s if kernels alone took time, and their share.

    Measured over one epoch; nothing on a CPU.
    """
    if trainer.device.type != "cuda":
        return {}
    torch.cuda.synchronize()
    began = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        trainer.train_epoch(0)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return {"limit": round(n_images / busy, 1), "trainer_busy": round(busy / seconds, 3)}


class Prepared(CIFAR100):
    """torchvision's data set, filled without its archive.

    Not local to a function: where workers are not forked they look it up by its name.
    """

    def __init__(self, images: np.ndarray, labels: list[int], transform: Callable) -> None:
        self.data, self.targets = images, labels
        self.transform, self.target_transform = transform, None


def measure_peer(params: Params, options: argparse.Namespace) -> dict[str, float]:
    """Measure pytorch-metric-learning in torchvision's and PyTorch's usual surroundings."""
    from pytorch_metric_learning.losses import ContrastiveLoss
    from pytorch_metric_learning.samplers import MPerClassSampler

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if params.compute.device != "auto":
        device = torch.device(params.compute.device)
    torch.set_num_threads(params.compute.n_threads())
    dataset = load_dataset(PREPARED)
    rows = dataset.rows("train")

    mean, std = channel_statistics(dataset.images_of(rows))
    transform = transforms.Compose(
        [
            transforms.RandomCrop(
                dataset.images.shape[1], params.train.augment.crop, padding_mode="reflect"
            ),
            transforms.RandomHorizontalFlip(0.5 if params.train.augment.flip else 0.0),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    images = Prepared(dataset.images[rows], dataset.fine()[rows].tolist(), transform)
    batch_size = 2 * params.pairs.batch_size
    per_class = batch_size // params.pairs.classes_per_batch
    workers = options.workers[0]
    loader: torch.utils.data.DataLoader = torch.utils.data.DataLoader(
        images,
        batch_size,
        sampler=MPerClassSampler(images.targets, per_class, batch_size, len(images)),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    network = SiameseNetwork(params.network, dataset.images.shape[1])
    encoder = network.encoder.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), 0.008, fused=True)
    loss_of = ContrastiveLoss(neg_margin=params.train.margin)
    precision = autocast_dtype(params.train.precision, device)
    stream = endless(loader)

    def go(_: int) -> None:
        for _ in range(options.batches):
            batch, labels = next(stream)
            batch = batch.to(device, non_blocking=True, memory_format=torch.channels_last)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                embeddings = encoder(batch)
            embeddings = functional.normalize(embeddings.float(), dim=1)
            loss = loss_of(embeddings, labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return time_in_turns({"peer": go}, options.batches * batch_size, device)


def endless(loader: torch.utils.data.DataLoader) -> Any:
    """Yield the loader's batches again and again."""
    while True:
        yield from loader


def time_in_turns(
    contestants: dict[str, Callable[[int], Any]], n_images: int, device: torch.device
) -> dict[str, float]:
    """Return images per second of each, the mean of its turns, and the peak memory in megabytes.

    The first turn is not counted: it fills caches and, on a GPU, chooses kernels.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(TURNS + 1):
        for name, go in contestants.items():
            synchronize(device)
            began = time.perf_counter()
            go(turn)
            synchronize(device)
            seconds[name].append(time.perf_counter() - began)
    speeds = {name: round(n_images / float(np.mean(each[1:])), 1) for name, each in seconds.items()}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e6
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return speeds | {f"{next(iter(contestants))}_memory_mb": round(peak)}


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
