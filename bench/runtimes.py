"""How fast onnxruntime embeds beside PyTorch, on the CPU, in one process.

    python bench/runtimes.py --model data/model

Both take turns, call by call, on the same random images, with all cores that the process may use.
Prints what it ran on and, as Markdown, the median call with each, and how many times as fast
onnxruntime is: the median and the quartiles over the turns.
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from machine import machine

from siamese import load_model
from siamese.export.runtime import with_onnx


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("data/model"))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 500])
    parser.add_argument("--seconds", type=float, default=20, help="for each size of batch, about")
    options = parser.parse_args()
    torch.set_num_threads(joblib.cpu_count())
    model = load_model(options.model)
    contestants = (model, with_onnx(model))
    ran_on = machine() | {"onnxruntime": version("onnxruntime")}
    names = ("cpu", "cores", "python", "torch", "onnxruntime")
    print(", ".join(f"{name} {ran_on[name]}" for name in names))
    print("\n| images at once | PyTorch | onnxruntime | times as fast |\n|---|---|---|---|")
    size = model.network.image_size
    for count in options.batches:
        images = np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)
        seconds = take_turns([one.embed for one in contestants], images, options.seconds)
        print(row(count, seconds), flush=True)


def take_turns(
    embed: list[Callable[[np.ndarray], Any]], images: np.ndarray, seconds: float
) -> np.ndarray:
    """Embed the images by each in turn until the time is up, three times at the least.

    Returns:
        How many seconds each took, float64 `[turns, len(embed)]`.
    """
    for one in embed:
        one(images)  # once for what is made at the first call
    taken: list[list[float]] = []
    began = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - began < seconds:
        taken.append([timed(one, images) for one in embed])
    return np.array(taken)


def timed(embed: Callable[[np.ndarray], Any], images: np.ndarray) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    embed(images)
    return time.perf_counter() - start


def row(count: int, seconds: np.ndarray) -> str:
    """Return a row of the table, from the seconds of PyTorch and onnxruntime, `[turns, 2]`."""
    by_torch, by_onnx = (
        f"{1000 * middle:,.1f} ms ({count / middle:,.0f}/s)"
        for middle in np.median(seconds, axis=0)
    )
    low, middle, high = np.quantile(seconds[:, 0] / seconds[:, 1], [0.25, 0.5, 0.75])
    return f"| {count} | {by_torch} | {by_onnx} | {middle:.2f} ({low:.2f} - {high:.2f}) |"


if __name__ == "__main__":
    main()
