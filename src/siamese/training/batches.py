"""All that the steps of an epoch read, on the device before the first of them begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from siamese.training.augment import Changes


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch, n of them; one of them, without the first dimension.

    Attributes:
        index: int64 `[n, 2P]`, positions of the images, all lefts of a batch and then all rights.
        places: int64 `[n, 2P / ranks]`, those that this rank embeds, where the images lie.
        same: bool `[n, P]`, of the pairs as drawn.
        changes: what augmentation does to these images, `[n, 2P / ranks]`.
        rates: `[n, optimisers]`, their learning rates.
    """

    index: Tensor
    places: Tensor
    same: Tensor
    changes: Changes
    rates: Tensor

    def __len__(self) -> int:
        """Return n."""
        return len(self.index)

    def __getitem__(self, number: int) -> Self:
        """Return one batch."""
        return self.each(lambda part: part[number])

    def look_up(self, number: Tensor) -> Self:
        """Return one batch by a number on the device, int64 `[1]`, which is not read back."""
        return self.each(lambda part: part.index_select(0, number).squeeze(0))

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same with each tensor changed."""
        index, places, same, rates = map(change, (self.index, self.places, self.same, self.rates))
        return type(self)(index, places, same, self.changes.each(change), rates)

    def copy_(self, other: Self) -> None:
        """Take the content of as many others, in place."""
        for mine, its in zip(self._tensors(), other._tensors(), strict=True):
            mine.copy_(its)

    def _tensors(self) -> list[Tensor]:
        changes = [values for values in vars(self.changes).values() if values is not None]
        return [self.index, self.places, self.same, self.rates, *changes]


def rates_dtype(device: torch.device) -> torch.dtype:
    """Return the type that the fused AdamW of a device takes its learning rate in."""
    return torch.float64 if device.type == "cpu" else torch.float32
