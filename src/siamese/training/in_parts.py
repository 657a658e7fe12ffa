"""A batch computed part by part, in the memory that one part takes.

The pairs of a batch still span the whole of it. Embeddings are computed without keeping what their
gradients need; once the loss has said what the gradients of the embeddings are, each part is
computed again, with its gradients (Gao et al., *Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup*, 2021). PyTorch's checkpoints do that.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from siamese.network.siamese_network import SiameseNetwork


class InParts(nn.Module):
    """Embeds batches of any size with a network, some images at once.

    Embeddings and gradients are those of the whole batch, but for rounding. Only batch norm that
    trains with the statistics of a batch takes those of each part, and meets each part twice.

    Args:
        network: that trains.
        at_once: `train.images_at_once`: the largest part; `all` embeds every batch whole.
    """

    def __init__(self, network: SiameseNetwork, at_once: int | Literal["all"]) -> None:
        super().__init__()
        self.network, self.at_once = network, at_once

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch, uint8 `[B, 3, H, W]`: float32 `[B, embedding_dim]`."""
        if self.at_once == "all" or len(images) <= self.at_once:
            (embeddings,) = self.network(images)
            return embeddings
        # Parts of nearly one size: batch norm has no use for a last one of a single image.
        parts = images.tensor_split(math.ceil(len(images) / self.at_once))
        return torch.cat([self._computed_twice(part) for part in parts])

    def _computed_twice(self, images: Tensor) -> Tensor:
        embeddings = checkpoint(self.network.encode, images, use_reentrant=False)
        assert isinstance(embeddings, Tensor)
        return embeddings
