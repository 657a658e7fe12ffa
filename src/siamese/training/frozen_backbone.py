"""Training the head alone: `train.freeze: backbone`.

The backbone never changes, so what it makes of an image is computed once. An epoch then costs next
to nothing: its steps look up features, and a linear layer embeds them.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.network.embedding import images_at_once
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.parallel import Ranks
from siamese.training.train_params import TrainParams
from siamese.training.training_data import Images, TrainingData

Split = Literal["train", "validation"]


def check_freeze(freeze: str, has_weights: bool) -> None:
    """Refuse to freeze anything of a network that starts from random weights."""
    if freeze != "none" and not has_weights:
        raise InputError(
            f"params.yaml: `train.freeze` is {freeze!r}, but training starts from random weights"
            " (`weights.source`), of which nothing is worth keeping; set it to 'none', or give a"
            " network of timm its weights: `siamese weights timm/NAME`"
        )


class HeadOnly(nn.Module):
    """Embeds features with the head of a network, the only part of it that is trained."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Embed features, float32 `[B, F]`: float32 `[B, embedding_dim]`."""
        return self.network.embed_features(features)


class FrozenFeatures:
    """The features of all images that training reads, and of their mirror images.

    Views that are changed in other ways gained nothing on test photographs, for as much work again
    each.

    Args:
        network: of timm.
        data: on its device.
        params: see `params.yaml`.
        precision: what convolutions and matrix products compute in.
        ranks: they share the work; each gets all features.

    Attributes:
        of: float32 `[n, views, F]` on the device, for each split. The first view is the image
            itself, the second its mirror image, if either training or validation needs it.
    """

    def __init__(
        self,
        network: SiameseNetwork,
        data: TrainingData,
        params: TrainParams,
        precision: torch.dtype,
        ranks: Ranks,
    ) -> None:
        self.network, self.ranks, self.precision = network, ranks, precision
        self.device = data.labels.device
        self.n_drawn = 2 if params.augment.flip else 1
        self.n_views = 2 if params.augment.flip or network.mirror else 1
        self.of: dict[Split, Tensor] = {
            "train": self._compute(data.images, "training images"),
            "validation": self._compute(data.validation_images, "validation images"),
        }

    def draw(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a view of each of the images of an epoch.

        Args:
            index: int64, any shape, positions of training images.
            generator: on the CPU.

        Returns:
            int64 of the same shape: places for `look_up`.
        """
        views = torch.randint(self.n_drawn, index.shape, generator=generator)
        return index * self.n_views + views

    def look_up(self, places: Tensor) -> Tensor:
        """Return features of training images, float32 `[B, F]`."""
        return self.of["train"].flatten(0, 1)[places]

    @torch.no_grad()
    def embed(self, split: Split, rows: Tensor | slice) -> np.ndarray:
        """Embed images by position, as the network in evaluation does: float32 `[k, D]`."""
        features = self.of[split]
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            embeddings = self.network.embed_features(features[rows, 0])
            if self.network.mirror:
                mirrored = self.network.embed_features(features[rows, 1])
                embeddings = self.network.mean_of(embeddings, mirrored)
        return embeddings.cpu().numpy()

    @torch.no_grad()
    def _compute(self, images: Images, kind: str) -> Tensor:
        self.network.eval()
        part = images.some(self.ranks.share_of(len(images)))
        label = f"features of {kind}" if self.ranks.is_first else None
        computed = []
        for rows in progress_bar(
            label, "batch", [*blocks(len(part), images_at_once(images.size))], leave=False
        ):
            planes = part[rows].permute(0, 3, 1, 2)  # (B, 3, H, W)
            views = [planes, planes.flip(3)][: self.n_views]
            with torch.autocast(
                self.device.type, self.precision, enabled=self.precision != torch.float32
            ):
                features = torch.stack([self.network.features(view) for view in views], dim=1)
            computed.append(features.cpu().numpy())  # (B, views, F)
        rows_of_all = self.ranks.gather_rows(np.concatenate(computed))
        return torch.from_numpy(rows_of_all).to(self.device)
