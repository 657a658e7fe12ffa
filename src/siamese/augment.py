"""Random flips, crops and cut-outs of whole batches on the device that holds the images."""

import torch
from pydantic import Field
from torch import Tensor

from siamese.params import Section


class AugmentParams(Section):
    """The `train.augment` part of `params.yaml`."""

    flip: bool
    crop: int = Field(ge=0, le=64)
    cutout: int = Field(ge=0, le=256)


def augment(images: Tensor, params: AugmentParams, generator: torch.Generator) -> Tensor:
    """Change each image of a batch in its own random way.

    Args:
        images: uint8 `[B, H, W, 3]`.
        params: `flip` mirrors half of the images left to right; `crop` shifts by up to so many
            pixels each way, into a border that mirrors the image; `cutout` greys a square of this
            side, centred anywhere (DeVries and Taylor, *Improved Regularization of CNNs with
            Cutout*, 2017).
        generator: on the CPU whatever the device, so that every device draws the same numbers.

    Returns:
        uint8 `[B, 3, H, W]`, channels last in memory.
    """
    count, height, width, _ = images.shape
    device = images.device
    rows = torch.arange(height).expand(count, -1)  # (B, H)
    columns = torch.arange(width).expand(count, -1)  # (B, W)
    if params.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if params.crop:
        shifts = torch.randint(2 * params.crop + 1, (2, count, 1), generator=generator)
        rows = _mirror(rows + shifts[0] - params.crop, height)
        columns = _mirror(columns + shifts[1] - params.crop, width)
    batch = torch.arange(count, device=device)[:, None, None]
    changed = images[batch, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    if params.cutout:
        centres = torch.rand(2, count, 1, generator=generator)
        cut_rows = _inside(centres[0], height, params.cutout)  # (B, H)
        cut_columns = _inside(centres[1], width, params.cutout)  # (B, W)
        hole = (cut_rows[:, :, None] & cut_columns[:, None, :]).to(device)  # (B, H, W)
        changed = changed.masked_fill(hole[..., None], 128)
    return changed.permute(0, 3, 1, 2)  # (B, 3, H, W)


def _mirror(positions: Tensor, size: int) -> Tensor:
    """Fold positions beyond an edge back into 0…size-1: -1 becomes 1, size becomes size-2."""
    folded = (size - 1) - ((size - 1) - positions.abs()).abs()
    return folded.clamp_min(0)  # a shift beyond a whole image repeats its edge


def _inside(centres: Tensor, size: int, side: int) -> Tensor:
    """Return bool `[B, size]`: which positions lie in a stretch of `side` around each centre."""
    first = (centres * size).long() - side // 2  # (B, 1)
    positions = torch.arange(size)[None, :]
    return (positions >= first) & (positions < first + side)
