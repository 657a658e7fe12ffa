"""What another scanner, or another pen, does to the verification of claims.

References stay as they are; what is presented is changed first, as a scanner, a fax or a camera
might. The thresholds are those of the model, from its own kind of images. So this tells what
happens when images arrive from elsewhere, as far as that can be made up. Real scanners differ in
more ways. Writes Markdown to the terminal.

    make bench-scanners WORKSPACE=path    # where `dvc repro` has run, on folders with forgeries
"""

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from siamese.base.dataset import load_dataset
from siamese.base.errors import InputError
from siamese.base.params import read_document
from siamese.images.fit import fit_image
from siamese.measures.claims import Rule, claim_distance, spread_of
from siamese.measures.verification import equal_error_rate, error_rates
from siamese.model.folder import Model, load_model

DRAWS = 10  # of references, for each class
STRANGERS = 20  # for each draw


def half(image: Image.Image) -> Image.Image:
    """Half the resolution."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


def two_tones(image: Image.Image) -> Image.Image:
    """Black and white alone, as a fax has it."""
    return image.point([0 if tone < 160 else 255 for tone in range(256)])


def compressed(image: Image.Image) -> Image.Image:
    """JPEG of quality 20."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=20)
    return Image.open(file).convert("L")


def photographed(image: Image.Image) -> Image.Image:
    """Uneven light and noise."""
    tones = np.asarray(image, dtype=np.float64)
    light = np.linspace(1, 0.75, image.width)
    noise = np.random.default_rng(0).normal(0, 6, tones.shape)
    return Image.fromarray(np.clip(tones * light + noise, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nothing": lambda image: image,
    "white on black": lambda image: image.point([255 - tone for tone in range(256)]),
    "half the resolution": half,
    "black and white alone": two_tones,
    "JPEG, quality 20": compressed,
    "out of focus (1 pixel)": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "a thicker pen (1 pixel)": lambda image: image.filter(ImageFilter.MinFilter(3)),
    "turned by 5 degrees": lambda image: image.rotate(
        5, Image.Resampling.BICUBIC, expand=True, fillcolor=255
    ),
    "photographed": photographed,
}


def main() -> None:
    """Measure every change, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--references", type=int, default=5)
    options = parser.parse_args()

    dataset = load_dataset(options.workspace / "data/prepared")
    model = load_model(options.workspace / "data/model")
    folder = options.workspace / read_document(options.workspace / "params.yaml")["data"]["path"]
    genuine, forged = dataset.queries(), dataset.forged("test")
    if not len(forged) or not model.calibration.claims:
        raise InputError(f"{options.workspace}: no forgeries, or no thresholds for claims")
    rows = np.concatenate([genuine, forged])
    files = [folder / file for file in dataset.samples["file"].iloc[rows]]
    labels = dataset.fine()[rows]
    is_forged = np.arange(len(rows)) >= len(genuine)

    place = model.calibration.claims.place(options.references)
    rule, threshold = model.calibration.claims.rule, model.calibration.claims.threshold[place]
    print(f"claims against {options.references} references, {len(np.unique(labels))} classes\n")
    print("| what is presented | EER of forgeries | FRR | FAR of forgeries | of strangers |")
    print("|---|---|---|---|---|")
    references = embed(model, files, CHANGES["nothing"])
    for name, change in CHANGES.items():
        shown = embed(model, files, change)
        true, forgeries, strangers = try_claims(
            references, shown, labels, is_forged, options.references, rule
        )
        distances = np.concatenate([true, forgeries])
        same = np.arange(len(distances)) < len(true)
        far, frr = error_rates(distances, same, threshold)
        figures = equal_error_rate(distances, same), frr, far, (strangers <= threshold).mean()
        print(f"| {name} |", " | ".join(f"{100 * one:.1f} %" for one in figures), "|", flush=True)


def embed(
    model: Model, files: Sequence[Path], change: Callable[[Image.Image], Image.Image]
) -> np.ndarray:
    """Embed what a change makes of picture files; float32 `[n, D]`."""
    images = []
    for file in tqdm(files, leave=False):
        with Image.open(file) as image:
            changed = change(image.convert("L"))
        images.append(fit_image(changed, model.network.image_size, model.fit))
    return model.embed(np.stack(images))


def try_claims(
    references: np.ndarray,
    shown: np.ndarray,
    labels: np.ndarray,
    is_forged: np.ndarray,
    number: int,
    rule: Rule,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw references of each class, and let the other images claim to be of it.

    Args:
        references: embeddings of all images as they are, float32 `[n, D]`.
        shown: of the same images as they are presented, float32 `[n, D]`.
        labels: the class of each, or the one that a forgery pretends to be of, int64 `[n]`.
        is_forged: bool `[n]`.
        number: of references.
        rule: how the distances to them become one.

    Returns:
        Distances of true claims, of forgeries and of strangers, float64 each.
    """
    rng = np.random.default_rng(0)
    found: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        own = np.flatnonzero((labels == label) & ~is_forged)
        forgeries = np.flatnonzero((labels == label) & is_forged)
        others = np.flatnonzero((labels != label) & ~is_forged)
        for _ in range(DRAWS):
            order = rng.permutation(own)
            enrolled = references[order[:number]]
            strangers = rng.choice(others, min(STRANGERS, len(others)), replace=False)
            spread = spread_of(enrolled)
            for distances, rows in zip(found, (order[number:], forgeries, strangers), strict=True):
                gaps = np.linalg.norm(shown[rows, None] - enrolled[None], axis=-1)
                distances.append(claim_distance(gaps, spread, rule))
    true, forged, strange = map(np.concatenate, found)
    return true, forged, strange


if __name__ == "__main__":
    main()
