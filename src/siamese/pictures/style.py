"""Colours, readable class names, and PNG files that are equal for equal data."""

import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws without a screen

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#cf222e"
MOST_LETTERS = 30  # of the name of a class


def readable(name: str) -> str:
    """Return the name of a class as Matplotlib is to have it, cut off where it is very long."""
    if len(name) > MOST_LETTERS:
        name = name[: MOST_LETTERS - 1] + "…"
    return name.replace("_", " ").replace("$", r"\$")  # two of them would enclose mathematics


def save_picture(picture: Figure, file: Path) -> None:
    """Write a picture as PNG and close it."""
    with warnings.catch_warnings():
        # Matplotlib's own font, the same everywhere, lacks some scripts: it draws boxes for them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        picture.tight_layout()
        # Without the metadata, another release of Matplotlib may still give the same bytes.
        picture.savefig(file, dpi=110, format="png", metadata={"Software": None})
    plt.close(picture)
