"""Colours, readable class names, cells, and PNG files that are equal for equal data."""

import math
import re
import warnings
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # draws without a screen

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#cf222e"
MOST_LETTERS = 30  # of the name of a class
_NO_GLYPH = r"Glyph (\d+) .*missing from font"


def readable(name: str) -> str:
    """Return the name of a class as Matplotlib is to have it, cut off where it is very long."""
    if len(name) > MOST_LETTERS:
        # Of a path of folders, the last says most.
        name = "…" + name[1 - MOST_LETTERS :] if "/" in name else name[: MOST_LETTERS - 1] + "…"
    return name.replace("_", " ").replace("$", r"\$")  # two of them would enclose mathematics


def cell(images: np.ndarray) -> tuple[float, float]:
    """Return width and height of a cell for one of some images, beside those of a square image's.

    Args:
        images: `[..., H, W, 3]`; the cell is as large as the square's.
    """
    height, width = images.shape[-3:-1]
    return math.sqrt(width / height), math.sqrt(height / width)


def save_picture(picture: Figure, file: Path) -> None:
    """Write a picture as PNG and close it; a note is printed on letters that are boxes in it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _NO_GLYPH, UserWarning)
        picture.tight_layout()
        # Without the metadata, another release of Matplotlib may still give the same bytes.
        picture.savefig(file, dpi=110, format="png", metadata={"Software": None})
    plt.close(picture)
    missing = set()
    for warning in caught:
        if found := re.match(_NO_GLYPH, str(warning.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if missing:
        _note_boxes("".join(sorted(missing)))


@cache
def _note_boxes(letters: str) -> None:
    # Once for the same letters: several pictures show the same names.
    some = letters if len(letters) <= MOST_LETTERS else f"{letters[:MOST_LETTERS]}…"
    print(f"note: the font of the pictures, the same on every machine, has boxes for {some}")
