"""Pictures of each kind that `siamese adopt` tells apart, made up and saved as people save them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (160, 120)


def photograph(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Light that varies slowly, things, and detail, all in colour."""
    rng = np.random.default_rng(number)
    picture = np.zeros((size[1], size[0], 3))
    for cells, weight in ((3, 0.5), (12, 0.3), (60, 0.2)):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += weight * np.asarray(small.resize(size, Image.Resampling.BICUBIC))
    picture = 2 * picture - 128  # from black to white, as photographs go
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def product(number: int) -> Image.Image:
    """A photograph cut out, on white."""
    picture = Image.new("RGB", (200, 200), "white")
    picture.paste(photograph(number, (120, 130)), (40, 35))
    return picture


def drawing(number: int) -> Image.Image:
    """Shapes in flat colours, with black outlines."""
    rng = np.random.default_rng(number)
    picture = Image.new("RGB", SIZE, tuple(rng.integers(180, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y = rng.integers(0, 100, 2).tolist()
        width, height = rng.integers(10, 110, 2).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        draw.ellipse((x, y, x + width, y + height), fill=colour, outline="black", width=2)
    return picture


def writing(number: int) -> Image.Image:
    """Dark ink on paper that is lit from one side."""
    rng = np.random.default_rng(number)
    picture = Image.new("L", SIZE, 235)
    draw = ImageDraw.Draw(picture)
    text = "".join(map(str, rng.integers(0, 10, 6)))
    draw.text((15, 40), text, fill=40, font=ImageFont.load_default(32))
    shade = np.linspace(0, 40, SIZE[0]) + rng.normal(0, 6, SIZE[::-1])
    return Image.fromarray((np.asarray(picture) - shade).clip(0, 255).astype(np.uint8))


def small(number: int) -> Image.Image:
    """A photograph of the size of CIFAR-100's."""
    return photograph(number, (32, 32))


def grey(number: int) -> Image.Image:
    """A photograph without colour."""
    return photograph(number).convert("L")


MAKERS: dict[str, Callable[[int], Image.Image]] = {
    "photographs": photograph,
    "drawings": drawing,
    "writing": writing,
    "small": small,
}


def make_folders(
    folder: Path, make: Callable[[int], Image.Image], counts: tuple[int, ...], suffix: str = ".jpg"
) -> Path:
    """Save pictures in class folders, so many in each."""
    for label, count in enumerate(counts):
        (folder / f"{label}").mkdir(parents=True, exist_ok=True)
        for number in range(count):
            make(1000 * label + number).save(folder / f"{label}" / f"{number}{suffix}")
    return folder
