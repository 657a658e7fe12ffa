"""Random changes of whole batches on the device that holds the images.

Drawing and applying are two steps. What happens to the images of an epoch is drawn at once, a few
numbers per image, and moved to the device before its first batch; so a batch never waits for the
host, and where several processes share one, each applies its part of the same draw. Of the changes
of photographs a seed per image is drawn, which stays on the host: it is there that they need it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from siamese.training.augment_params import AugmentParams
from siamese.training.photographs import GREY, change_photographs
from siamese.training.writing import change_writing, draw_bends


@dataclass(frozen=True)
class Changes:
    """What is to happen to each of n images; the first dimensions may be several.

    Attributes:
        mirrored: bool `[n]`, left to right.
        shift: int64 `[n, 2]`, by how many pixels the window moves down and right.
        hole: float32 `[n, 2]`, the centre of the cut-out square, as shares of height and width.
        bent: float32 `[n, 3]`, of the changes of writing; None if there are none.
        seed: int64 `[n]`, on the CPU, of the changes of photographs; None if there are none.
    """

    mirrored: Tensor
    shift: Tensor
    hole: Tensor
    bent: Tensor | None
    seed: Tensor | None

    @classmethod
    def draw(cls, count: int, params: AugmentParams, generator: torch.Generator) -> Self:
        """Draw for `count` images, on the CPU, so that every device applies the same numbers."""
        mirrored = torch.rand(count, generator=generator) < 0.5
        shift = torch.randint(-params.crop, params.crop + 1, (count, 2), generator=generator)
        hole = torch.rand(count, 2, generator=generator)
        bent = seed = None
        if params.changes_writing:
            bent = draw_bends(count, generator)
        if params.changes_photographs:
            seed = torch.randint(2**63 - 1, (count,), generator=generator)
        return cls(mirrored & params.flip, shift, hole, bent, seed)

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same with each tensor changed: cut to some of the images, say."""
        bent, seed = (None if one is None else change(one) for one in (self.bent, self.seed))
        return type(self)(change(self.mirrored), change(self.shift), change(self.hole), bent, seed)

    def to(self, device: torch.device) -> Self:
        """Return the same on the device that holds the images."""
        return replace(self.each(lambda values: values.to(device)), seed=self.seed)


def augment(images: Tensor, changes: Changes, params: AugmentParams) -> Tensor:
    """Change each image of a batch in its own way.

    Args:
        images: uint8 `[B, H, W, 3]`.
        changes: B of them, drawn with `params`, on the same device.
        params: `flip` mirrors half of the images left to right; `crop` shifts by up to this many
            pixels each way, into a border that mirrors the image; `cutout` greys a square of this
            side, centred anywhere (DeVries and Taylor, *Improved Regularization of CNNs with
            Cutout*, 2017), after the changes that `change_writing` and `change_photographs`
            explain.

    Returns:
        uint8 `[B, 3, H, W]`, or of another size by `resized_to`; channels last in memory.
    """
    count, height, width, _ = images.shape
    index = torch.arange(count, device=images.device)
    rows = torch.arange(height, device=images.device)[None, :]  # (1, H)
    columns = torch.arange(width, device=images.device)[None, :]  # (1, W)
    columns = torch.where(changes.mirrored[:, None], width - 1 - columns, columns)  # (B, W)
    rows = _mirror(rows + changes.shift[:, :1], height)  # (B, H)
    columns = _mirror(columns + changes.shift[:, 1:], width)
    # Pixels by their number among all of the batch: three times as fast as by three indices.
    pixels = (index[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    batch = images.reshape(-1, 3).index_select(0, pixels.view(-1)).view(images.shape)
    if changes.bent is not None:
        batch = change_writing(batch, changes.bent, params)
    if changes.seed is not None:
        batch = change_photographs(batch, changes.seed, params)
    if params.cutout:
        cut_rows = _inside(changes.hole[:, :1], batch.shape[1], params.cutout)  # (B, H)
        cut_columns = _inside(changes.hole[:, 1:], batch.shape[2], params.cutout)  # (B, W)
        hole = cut_rows[:, :, None] & cut_columns[:, None, :]  # (B, H, W)
        batch = batch.masked_fill(hole[..., None], GREY)
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
