"""How fast a folder of images is prepared, with one thread and with all cores, and watched by DVC.

`make bench-prepare` makes up a folder of JPEG files in `.bench/`, prepares it, and asks DVC in a
repository of its own what has changed in it, which is nothing. It also reads batches of random
images, as training does, from what was prepared and from the JPEG files themselves. Each figure is
the median of the rounds, one thread and all cores in turns. Writes `bench/prepare.json`.

For photographs: `python bench/prepare.py --side 640 --size 224 --output .bench/photographs.json`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine
from PIL import Image
from tqdm import tqdm

from siamese.base.dataset import load_dataset
from siamese.cli.schema import check_params
from siamese.duplicates.near_duplicates import find_near_duplicates
from siamese.images.reading import iter_images
from siamese.preparation.folder import list_images
from siamese.preparation.labelled_images import folder_images
from siamese.preparation.prepare import prepare

FOLDER, OUTPUT = Path(".bench/photos"), Path("bench/prepare.json")
CLASSES = 100
BATCH, BATCHES = 64, 20  # images in each, and batches that are read in a round


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=300, help="of the JPEG files, in pixels")
    parser.add_argument("--size", type=int, default=64, help="to bring them to, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    folder = make_folder(FOLDER, options.images, options.side)
    files = sorted(folder.rglob("*.jpg"))
    seconds: dict[str, list[float]] = {"one thread": [], "all cores": [], "prepare": []}
    near_duplicates = []
    from_files, from_prepared = [], []
    for _ in range(options.rounds):
        for name, workers in (("one thread", 1), ("all cores", None)):
            started = time.perf_counter()
            for image in iter_images(files, options.size, workers=workers):
                assert isinstance(image, np.ndarray)
            seconds[name].append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory(dir=".bench") as target:
            params = check_params()
            started = time.perf_counter()
            data = params.data.model_copy(update={"name": "folder", "path": str(folder)})
            images = folder_images(list_images(data, Path()))
            prepare(images, Path(target), params.prepare, image_size=options.size)
            seconds["prepare"].append(time.perf_counter() - started)
            started = time.perf_counter()
            find_near_duplicates(load_dataset(Path(target)), params.duplicates.threshold)
            near_duplicates.append(time.perf_counter() - started)
            prepared = load_dataset(Path(target)).images
            from_files.append(images_per_second(files, options.size))
            from_prepared.append(images_per_second(prepared, options.size))
            n_bytes = prepared.nbytes
    found = {
        "machine": machine(),
        "images": options.images,
        "side": options.side,
        "size": options.size,
        "rounds": options.rounds,
        "read_one_thread_s": round(median(seconds["one thread"]), 1),
        "read_all_cores_s": round(median(seconds["all cores"]), 1),
        "prepare_s": round(median(seconds["prepare"]), 1),
        "near_duplicates_s": round(median(near_duplicates), 1),
        "files_mb": round(sum(file.stat().st_size for file in files) / 10**6),
        "prepared_mb": round(n_bytes / 10**6),
        "batches_from_files_images_per_s": round(median(from_files)),
        "batches_from_prepared_images_per_s": round(median(from_prepared)),
        **watch(folder, options.rounds),
    }
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def images_per_second(images: list[Path] | np.ndarray, size: int) -> float:
    """Return how fast batches of random images are read: files decoded, or prepared ones copied."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(BATCHES):
        chosen = rng.permutation(len(images))[:BATCH]
        if isinstance(images, np.ndarray):
            images[chosen]
        else:
            for image in iter_images([images[row] for row in chosen], size):
                assert isinstance(image, np.ndarray)
    return BATCH * BATCHES / (time.perf_counter() - started)


def make_folder(folder: Path, count: int, side: int) -> Path:
    """Make up JPEG files that, as photographs, vary slowly and in detail, unless they are there."""
    marker = folder / "made.json"
    made = {"count": count, "side": side}
    if marker.exists() and json.loads(marker.read_text()) == made:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    for number in tqdm(range(count), desc="making images", unit="image"):
        picture = np.zeros((side, side, 3))
        for cells, weight in ((3, 0.5), (12, 0.3), (60, 0.2)):
            small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            picture += weight * np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
        file = folder / f"class-{number % CLASSES:03}" / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(file, quality=90)
    marker.write_text(json.dumps(made))
    return folder


def watch(folder: Path, rounds: int) -> dict[str, float]:
    """Time `dvc status` of a stage that depends on the folder, and of one that does not."""
    with tempfile.TemporaryDirectory() as name:
        repository = Path(name)
        dvc = [sys.executable, "-m", "dvc"]
        environment = os.environ | {"DVC_NO_ANALYTICS": "1"}

        def run(*arguments: str) -> float:
            started = time.perf_counter()
            subprocess.run(
                [*dvc, *arguments], cwd=repository, env=environment, check=True, capture_output=True
            )
            return time.perf_counter() - started

        run("init", "--no-scm", "-q")
        (repository / "one.txt").write_text("one file\n")
        stage = "  {}:\n    cmd: echo done > {}\n    deps: [{}]\n    outs: [{}]\n"
        (repository / "dvc.yaml").write_text(
            "stages:\n"
            + stage.format("folder", "a", folder.resolve(), "a")
            + stage.format("file", "b", "one.txt", "b")
        )
        first = run("repro")
        unchanged = median(run("status", "folder") for _ in range(rounds))
        without = median(run("status", "file") for _ in range(rounds))
    return {
        "dvc_first_look_s": round(first, 1),
        "dvc_unchanged_s": round(unchanged - without, 2),
    }


if __name__ == "__main__":
    main()
