"""Running the network over many images, without changing it."""

import math
from typing import Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from siamese.base.blocks import blocks
from siamese.base.image_size import Size, sides
from siamese.base.params import Section
from siamese.base.progress import progress_bar
from siamese.network.siamese_network import SiameseNetwork

# Images computed at once by default: this many, or fewer if they are large.
MOST_AT_ONCE, PIXELS_AT_ONCE = 500, 500 * 32 * 32


class EmbedParams(Section):
    """The `embed` section of `params.yaml`."""

    batch_size: int = Field(ge=1)


class ImageSequence(Protocol):
    """Images that are there, or read a part at a time when asked for."""

    def __len__(self) -> int:
        """Return N."""
        ...

    def __getitem__(self, part: slice, /) -> np.ndarray | Tensor:
        """Return a part, uint8 `[k, H, W, 3]`."""
        ...


def images_at_once(size: int | Size) -> int:
    """Return how many images of a size, height and width or one number, to compute at once.

    The memory that takes is about the same for all sizes from 32 pixels up.
    """
    return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // math.prod(sides(size))))


@torch.inference_mode()
def embed_images(
    network: SiameseNetwork,
    images: ImageSequence,
    batch_size: int | None = None,
    precision: torch.dtype = torch.float32,
    progress: str | None = None,
) -> np.ndarray:
    """Embed images in evaluation mode, batch by batch.

    Weights and normalisation statistics stay as they are; training mode is given back afterwards.

    Args:
        network: on any device; the images follow it there.
        images: N of them; a memory-mapped array, say, is read a batch at a time.
        batch_size: images computed at once; if not given, what `images_at_once` says.
        precision: what convolutions and matrix products compute in.
        progress: the label of a progress bar, on a terminal; none, if left out.

    Returns:
        float32 `[N, embedding_dim]`, in the order of the images.
    """
    device = network.channel_mean.device
    was_training = network.training
    network.eval()
    embeddings = np.empty((len(images), network.embedding_dim), dtype=np.float32)
    parts = list(blocks(len(images), batch_size or images_at_once(network.image_size)))
    try:
        for part in progress_bar(progress, "batch", parts):
            chunk = images[part]
            if isinstance(chunk, np.ndarray):
                chunk = torch.from_numpy(np.array(chunk))  # a copy: memory maps are read-only
            planes = chunk.to(device).permute(0, 3, 1, 2)  # (B, 3, H, W)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                embeddings[part] = network.encode(planes).cpu().numpy()
    finally:
        network.train(was_training)
    return embeddings
