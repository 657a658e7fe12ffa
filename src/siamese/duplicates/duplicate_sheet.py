"""A sheet of image pairs around the threshold for near-duplicates, for a person to judge it by.

Drawn with Pillow alone, so that the stage need not load Matplotlib.
"""

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from siamese.base.image_size import with_area

COLUMNS, ROWS = 6, 5  # of pairs on each side of the threshold
CELL = 96  # pixels a side that each image of a pair is shown at, or as many of another shape
GAP, CAPTION, HEADLINE = 14, 16, 26


def draw_duplicate_sheet(images: np.ndarray, found: pd.DataFrame, threshold: float) -> Image.Image:
    """Draw the pairs that lie nearest the threshold, nearest to being copies first.

    Args:
        images: uint8 `[N, H, W, 3]`, row = sample.
        found: what `find_near_duplicates` returned.
        threshold: of the ratio.

    Returns:
        Up to thirty near-duplicates, and below them up to thirty other pairs, each with the query
        on the left.
    """
    ordered = found.sort_values("ratio", kind="stable")
    counts = ordered["near_duplicate"]
    above, below = ordered[counts].tail(COLUMNS * ROWS), ordered[~counts].head(COLUMNS * ROWS)
    parts = [
        (f"Near-duplicates: a ratio of {threshold:g} or less ({counts.sum():,})", above),
        (f"Not counted: more than {threshold:g} ({(~counts).sum():,})", below),
    ]
    high, wide = with_area((images.shape[1], images.shape[2]), CELL)
    width = COLUMNS * (2 * wide + GAP) + GAP
    height = sum(HEADLINE + _rows(pairs) * (high + CAPTION) for _, pairs in parts) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for headline, pairs in parts:
        draw.text((GAP, top + 8), headline, fill="black")
        top += HEADLINE
        columns = (pairs[name].tolist() for name in ("sample", "of", "ratio"))
        for position, (sample, of, ratio) in enumerate(zip(*columns, strict=True)):
            row, column = divmod(position, COLUMNS)
            corner = (GAP + column * (2 * wide + GAP), top + row * (high + CAPTION))
            for place, row_of_image in enumerate((sample, of)):
                image = Image.fromarray(np.asarray(images[row_of_image]))
                enlarged = image.resize((wide, high), Image.Resampling.NEAREST)
                sheet.paste(enlarged, (corner[0] + place * wide, corner[1]))
            caption = f"{ratio:.3f}   {sample} | {of}"
            draw.text((corner[0], corner[1] + high + 1), caption, fill="black")
        top += _rows(pairs) * (high + CAPTION)
    return sheet


def _rows(pairs: pd.DataFrame) -> int:
    return -(-len(pairs) // COLUMNS)
