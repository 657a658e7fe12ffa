"""How fast a trained model answers: as whole commands, and as a model that stays loaded.

    python bench/answering.py --workspace . --image photo.png

Needs a finished pipeline and `siamese gallery build` there. Prints JSON: medians, least and most.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path())
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    image = options.image.absolute()
    os.chdir(options.workspace)
    siamese = ["-m", "siamese.cli.main"]
    processes = {
        "python": ["-c", ""],
        "import torch": ["-c", "import torch"],
        "siamese --help": [*siamese, "--help"],
        "siamese classify": [*siamese, "classify", str(image)],
        "siamese verify": [*siamese, "verify", str(image), str(image)],
        "siamese gallery info": [*siamese, "gallery", "info"],
    }
    # Interleaved, so that a busy moment of the machine falls on all of them.
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(options.rounds):
        for name, command in processes.items():
            seconds[name].append(timed(partial(run, command)))
    report = {name: summary(values) for name, values in seconds.items()}
    report |= loaded(image, options.rounds)
    print(json.dumps(report, indent=2))


def run(command: Sequence[str]) -> None:
    """Run Python with this checkout's package."""
    subprocess.run(
        [sys.executable, *command],
        check=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
    )


def loaded(image: Path, rounds: int) -> dict[str, Any]:
    """Measure a process that has loaded model and gallery."""
    sys.path.insert(0, str(SOURCE))
    import torch

    from siamese import Gallery, load_model
    from siamese.network.embedding import embed_images

    model = load_model("data/model")
    gallery = Gallery.open("data/gallery", model)
    size = model.network.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (1000, *size, 3), dtype=np.uint8)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).split(500)

    @torch.inference_mode()
    def plain() -> None:
        for part in planes:
            model.network.encode(part)

    actions: dict[str, Callable[[], Any]] = {
        "embed 1 image": lambda: model.embed(pixels[:1]),
        "classify 1 file": lambda: gallery.classify([image]),
        "plain inference, 1,000 images": plain,
        "embed 1,000 images": lambda: embed_images(model.network, pixels, 500),
        "classify 1,000 images": lambda: gallery.classify(pixels),
    }
    for action in actions.values():
        action()  # once for what is made at the first call
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(timed(action))
    return {f"loaded: {name}": summary(values) for name, values in seconds.items()}


def timed(action: Callable[[], Any]) -> float:
    """Return how many seconds an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, least and most, in milliseconds."""
    return {
        name: round(1000 * value, 1)
        for name, value in (
            ("median_ms", statistics.median(seconds)),
            ("least_ms", min(seconds)),
            ("most_ms", max(seconds)),
        )
    }


if __name__ == "__main__":
    main()
