"""A picture of what a search found: the image asked about and its nearest rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamese.base.errors import InputError
from siamese.base.files import new_file
from siamese.gallery.answers import Neighbour
from siamese.pictures.style import cell, plt, readable, save_picture

COLUMNS = 5


def draw_search(
    query: np.ndarray, images: np.ndarray, neighbours: Sequence[Neighbour], file: Path
) -> None:
    """Draw an image and what was found, nearest first, with labels and distances.

    Args:
        query: uint8 `[H, W, 3]`, as the network sees it.
        images: of the neighbours, uint8 `[k, H, W, 3]`.
        neighbours: `k` rows.
        file: PNG to write.

    Raises:
        InputError: the file cannot be written.
    """
    n_rows = -(-len(neighbours) // COLUMNS)
    wide, high = cell(query)
    figsize = 1.35 * (COLUMNS + 1) * wide, (1.75 + 0.8 * (high - 1)) * n_rows
    figure, grid = plt.subplots(n_rows, COLUMNS + 1, figsize=figsize, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    grid[0, 0].imshow(query, interpolation="nearest")
    grid[0, 0].set_title("asked about", fontsize=8, fontweight="bold")
    for position, (image, neighbour) in enumerate(zip(images, neighbours, strict=True)):
        axes = grid[position // COLUMNS, 1 + position % COLUMNS]
        axes.imshow(image, interpolation="nearest")
        axes.set_title(f"{readable(neighbour.label)}\n{neighbour.distance:.3f}", fontsize=8)
    try:
        with new_file(file) as partial:
            save_picture(figure, partial)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error})") from None
