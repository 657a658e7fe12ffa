"""Writing, brought to one form: black on white, whatever paper, pen and scanner it is from.

1. *Paper* is the middle tone of a picture's border. *Ink* lies on the side of it, darker or
   lighter, where the tones go farther away: so white on a blackboard is ink too.
2. Otsu's threshold (*A Threshold Selection Method from Gray-Level Histograms*, 1979) parts the two.
   What is nearer to the paper than half of that threshold becomes white, the strongest ink black.
   What lies between keeps its proportion: edges stay smooth, and pressure visible.
3. The picture is cut to the ink and a small margin, made as large as fits, and centred on white.
   Dust that is next to nothing beside the ink does not count.

A page without ink comes out white. The light should be even: a shadow darker than half of the
threshold is taken for ink.
"""

import numpy as np
from PIL import Image

from siamese.base.image_size import Size

BORDER = 20  # the border is this part of the shorter side, on each side
# Share of a page that dust and faulty pixels may take: less is no ink, on either side.
RARE = 0.0005
FAINT = 32  # tones of 256; a page whose tones differ by less is empty
# Share of the ink, in each direction, that the box around it may leave out.
LEFT_OUT = 0.005
MARGIN = 0.05  # around that box, as a share of its longer side


def ink_alone(image: Image.Image, size: Size) -> np.ndarray:
    """Return the writing on a picture, black on white, centred and as large as fits.

    Args:
        image: of mode RGB.
        size: height and width wanted, in pixels.

    Returns:
        uint8 `[H, W, 3]`, all channels alike.
    """
    grey = image.convert("L")
    blackness = _blackness(grey)
    # Black on white only at the end: what a crop has beyond the picture is 0.
    sheet = Image.new("L", size[::-1])
    if blackness.any():
        ink = grey.point(blackness.tolist())
        ink = ink.crop(_box(np.asarray(ink)))
        scale = min(sheet.width / ink.width, sheet.height / ink.height)
        width, height = (max(1, round(scale * side)) for side in ink.size)
        ink = ink.resize((width, height), Image.Resampling.BICUBIC)
        sheet.paste(ink, ((sheet.width - width) // 2, (sheet.height - height) // 2))
    return np.repeat(255 - np.asarray(sheet)[..., None], 3, axis=2)


def _blackness(grey: Image.Image) -> np.ndarray:
    """Return how black each tone becomes, uint8 `[256]`: 0 if it is paper, or if all of it is."""
    counts, tones = np.array(grey.histogram()), np.arange(256)
    paper = _tone_of_border(grey)
    shares = np.cumsum(counts) / counts.sum()
    darkest, lightest = np.searchsorted(shares, (RARE, 1 - RARE))
    is_dark = paper - darkest >= lightest - paper
    depth = np.maximum(paper - tones if is_dark else tones - paper, 0)  # of a tone beside the paper
    deepest = depth[darkest if is_dark else lightest]
    if deepest < FAINT:
        return np.zeros(256, dtype=np.uint8)
    depth = np.minimum(depth, deepest)
    lightest_ink = _threshold(np.bincount(depth, counts)) / 2
    share = np.clip((depth - lightest_ink) / (deepest - lightest_ink), 0, 1)
    return np.rint(255 * share).astype(np.uint8)


def _tone_of_border(grey: Image.Image) -> int:
    tones = np.asarray(grey)
    wide = max(1, min(tones.shape) // BORDER)
    parts = tones[:wide], tones[-wide:], tones[:, :wide], tones[:, -wide:]
    return int(np.median(np.concatenate([part.reshape(-1) for part in parts])))


def _threshold(counts: np.ndarray) -> float:
    """Return Otsu's threshold between two classes of values, given how often each value occurs."""
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    sums = np.cumsum(counts * np.arange(len(counts)))
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    best = (below * above * (means[1] - means[0]) ** 2).argmax()
    # Any value between the two classes parts them alike: the one halfway is the farthest from both.
    return (means[0][best] + means[1][best]) / 2


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the ink and its margin, which may lie beyond the image.

    Args:
        ink: how black each pixel is, uint8 `[H, W]`.
    """
    ends: list[int] = []
    for axis in (0, 1):  # of columns, of rows
        shares = np.cumsum(ink.sum(axis=axis)) / ink.sum()
        ends += np.searchsorted(shares, (LEFT_OUT, 1 - LEFT_OUT)).tolist()
    left, right, top, bottom = ends
    margin = round(MARGIN * max(right + 1 - left, bottom + 1 - top))
    return left - margin, top - margin, right + 1 + margin, bottom + 1 + margin
