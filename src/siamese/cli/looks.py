"""What the images of a data set look like, told from a few of them.

Each image that is opened is taken for one kind, by the first of these that holds:

- `writing`: grey, and nearly all of it near two tones, as ink on paper is.
- `small`: its longer side has fewer than `LARGE` pixels.
- unclear: grey, of many tones. It may be anything, from a photograph to an X-ray.
- `drawings`: beside the background, a few colours cover most of it.
- `photographs`: what is left, colourful and of many shades.

The data set is what most of them are.
"""

import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from siamese.images.reading import iter_images
from siamese.preparation.listing import Listing

Kind = Literal["photographs", "drawings", "writing", "small"]
KINDS: tuple[Kind, ...] = get_args(Kind)

OPENED = 50  # images that are looked at
LARGE = 96  # pixels
LOOKED_AT = 64  # height and width at which tones and colours are counted
# An image is grey if the greatest and the smallest of a pixel's values differ by less on average.
GREY = 0.05 * 255
NEAR, NEAR_TWO_TONES = 32, 0.85  # values of 256, and the share of an image near two of them
# Colours are counted in 16 steps a channel. Of what is not of the commonest, the next eight cover a
# fifth in a photograph and four fifths in a drawing.
STEPS, FEW_COLOURS, FLAT = 16, 8, 0.5


@dataclass(frozen=True)
class Look:
    """What was seen of a data set.

    Attributes:
        kind: what most of the images are; None if that is unclear, or none can be opened.
        share: how many are of that kind, and of how many.
        width: their median width in pixels; 0 if none can be opened.
        height: their median height.
    """

    kind: Kind | None
    share: tuple[int, int]
    width: int
    height: int

    @property
    def longer(self) -> int:
        """The longer side, in pixels."""
        return max(self.width, self.height)


def look_at(listing: Listing) -> Look:
    """Open some of the images of a data set and see what they are."""
    chosen = np.unique(np.linspace(0, len(listing.samples) - 1, OPENED).round().astype(int))
    files = [listing.root / name for name in listing.samples["file"].iloc[chosen]]
    kinds: list[Kind | None] = []
    sides = []
    for file, pixels in zip(files, iter_images(files, LOOKED_AT, "crop"), strict=True):
        # What cannot be read is left to `prepare`, which says what is wrong.
        if isinstance(pixels, np.ndarray) and (size := _size(file)):
            sides.append(size)
            kinds.append(kind_of(pixels, max(size)))
    if not sides:
        return Look(None, (0, 0), 0, 0)
    [(kind, count)] = Counter(kinds).most_common(1)
    width, height = np.median(sides, axis=0).astype(int).tolist()
    return Look(kind, (count, len(kinds)), width, height)


def kind_of(pixels: np.ndarray, longer: int) -> Kind | None:
    """Return what an image is; None if that is unclear.

    Args:
        pixels: uint8 `[H, W, 3]`, the image made small.
        longer: the longer side of the image itself, in pixels.
    """
    values = pixels.reshape(-1, 3).astype(np.int64)
    is_grey = (values.max(axis=1) - values.min(axis=1)).mean() < GREY
    if is_grey and _near_two_tones(values.mean(axis=1)) >= NEAR_TWO_TONES:
        return "writing"
    if longer < LARGE:
        return "small"
    if is_grey:
        return None
    return "drawings" if _in_few_colours(values) >= FLAT else "photographs"


def _near_two_tones(tones: np.ndarray) -> float:
    """Return the share of tones, float `[n]` in 0…255, near one of the two commonest."""
    counts = np.bincount(tones.astype(np.int64), minlength=256)
    near = np.zeros(256, dtype=bool)
    for _ in range(2):
        # Smoothed, so that paper of uneven light is one tone.
        around = np.convolve(np.where(near, 0, counts), np.ones(NEAR + 1), mode="same")
        tone = int(around.argmax())
        near[max(0, tone - NEAR) : tone + NEAR + 1] = True
    return float(counts[near].sum() / counts.sum())


def _in_few_colours(values: np.ndarray) -> float:
    """Return the share of the pixels, int64 `[n, 3]`, not of the background, in a few colours."""
    red, green, blue = (values * STEPS // 256).T
    counts = np.bincount((red * STEPS + green) * STEPS + blue)
    background, *others = np.sort(counts)[::-1].tolist()
    n_others = len(values) - background
    return sum(others[:FEW_COLOURS]) / n_others if n_others else 1.0


def _size(file: Path) -> tuple[int, int] | None:
    """Return width and height of a picture as they are stored; None if it cannot be opened."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file) as image:
            return image.size
    return None
