"""How large images are: height and width, in pixels.

Where a size is written down, one number stands for both sides: `32` in `params.yaml`, in a model
folder, in Python; `[64, 192]` where height and width differ.
"""

import math

Size = tuple[int, int]  # height, width


def sides(size: int | Size) -> Size:
    """Return height and width; of one number, a square's."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def written(size: int | Size) -> int | list[int]:
    """Return a size as it is written down: one number where it is a square's."""
    height, width = sides(size)
    return height if height == width else [height, width]


def in_words(size: int | Size) -> str:
    """Return a size for people, height first."""
    height, width = sides(size)
    return f"{height} x {width}"


def with_area(size: Size, side: int) -> Size:
    """Return the size of these proportions that covers as much as a square of `side` pixels."""
    scale = side / math.sqrt(size[0] * size[1])
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def with_shorter(size: Size, side: int) -> Size:
    """Return the size of these proportions whose shorter side has `side` pixels."""
    shorter = min(size)
    return round(size[0] * side / shorter), round(size[1] * side / shorter)
