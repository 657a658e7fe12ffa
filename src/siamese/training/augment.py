"""Random flips, crops and cut-outs of whole batches on the device that holds the images.

Drawing and applying are two steps. What happens to the images of an epoch is drawn at once, a few
numbers per image, and moved to the device before its first batch; so a batch never waits for the
host, and where several processes share one, each applies its part of the same draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from siamese.base.params import Section


class AugmentParams(Section):
    """The `train.augment` part of `params.yaml`."""

    flip: bool
    crop: int = Field(ge=0, le=64)
    cutout: int = Field(ge=0, le=256)
    resized_crop: float = Field(gt=0, le=1)
    jitter: float = Field(ge=0, le=1)
    policy: Literal["none", "trivial", "rand"]
    erase: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Changes:
    """What is to happen to each of n images; the first dimensions may be several.

    Attributes:
        mirrored: bool `[n]`, left to right.
        shift: int64 `[n, 2]`, by how many pixels the window moves down and right.
        hole: float32 `[n, 2]`, the centre of the cut-out square, as shares of height and width.
    """

    mirrored: Tensor
    shift: Tensor
    hole: Tensor

    @classmethod
    def draw(cls, count: int, params: AugmentParams, generator: torch.Generator) -> Self:
        """Draw for `count` images, on the CPU, so that every device applies the same numbers."""
        mirrored = torch.rand(count, generator=generator) < 0.5
        shift = torch.randint(-params.crop, params.crop + 1, (count, 2), generator=generator)
        hole = torch.rand(count, 2, generator=generator)
        return cls(mirrored & params.flip, shift, hole)

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same with each tensor changed: moved, or cut to some of the images."""
        return type(self)(*map(change, vars(self).values()))


def augment(images: Tensor, changes: Changes, params: AugmentParams) -> Tensor:
    """Change each image of a batch in its own way.

    Args:
        images: uint8 `[B, H, W, 3]`.
        changes: B of them, drawn with `params`, on the same device.
        params: `flip` mirrors half of the images left to right; `crop` shifts by up to this many
            pixels each way, into a border that mirrors the image; `cutout` greys a square of this
            side, centred anywhere (DeVries and Taylor, *Improved Regularization of CNNs with
            Cutout*, 2017).

    Returns:
        uint8 `[B, 3, H, W]`, channels last in memory.
    """
    count, height, width, _ = images.shape
    index = torch.arange(count, device=images.device)
    rows = torch.arange(height, device=images.device)[None, :]  # (1, H)
    columns = torch.arange(width, device=images.device)[None, :]  # (1, W)
    columns = torch.where(changes.mirrored[:, None], width - 1 - columns, columns)  # (B, W)
    rows = _mirror(rows + changes.shift[:, :1], height)  # (B, H)
    columns = _mirror(columns + changes.shift[:, 1:], width)
    batch = images[index[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    if params.cutout:
        cut_rows = _inside(changes.hole[:, :1], height, params.cutout)  # (B, H)
        cut_columns = _inside(changes.hole[:, 1:], width, params.cutout)  # (B, W)
        hole = cut_rows[:, :, None] & cut_columns[:, None, :]  # (B, H, W)
        batch = batch.masked_fill(hole[..., None], 128)
    return batch.permute(0, 3, 1, 2)  # (B, 3, H, W)


def _mirror(positions: Tensor, size: int) -> Tensor:
    """Fold positions beyond an edge back into 0…size-1: -1 becomes 1, size becomes size-2."""
    folded = (size - 1) - ((size - 1) - positions.abs()).abs()
    return folded.clamp_min(0)  # a shift beyond a whole image repeats its edge


def _inside(centres: Tensor, size: int, side: int) -> Tensor:
    """Return bool `[B, size]`: which positions lie in a stretch of `side` around each centre."""
    first = (centres * size).long() - side // 2  # (B, 1)
    positions = torch.arange(size, device=centres.device)[None, :]
    return (positions >= first) & (positions < first + side)
