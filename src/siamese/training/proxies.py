"""Proxies: one learned point a class, that images are paired with in training and never in use.

After Movshovitz-Attias et al., *No Fuss Distance Metric Learning using Proxies*, ICCV 2017, here
with the contrastive loss. A batch holds images of some classes; the proxies stand for all of them,
so that at every step an image meets every class.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from siamese.training.loss import distance_matrix


class Proxies(nn.Module):
    """One point a class, in the space of the embeddings.

    Args:
        n_classes: labels 0 to n_classes-1.
        embedding_dim: of the embeddings.
        normalize: keep the points at length 1, as the embeddings are.
        seed: of the points training begins with, which have length 1 and any direction.
    """

    def __init__(self, n_classes: int, embedding_dim: int, normalize: bool, seed: int) -> None:
        super().__init__()
        self.normalize = normalize
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(n_classes, embedding_dim, generator=generator)
        self.points = nn.Parameter(functional.normalize(points, dim=1))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the distance of each embedding to each point.

        Args:
            embeddings: float32 `[B, embedding_dim]`.

        Returns:
            float32 `[B, n_classes]`, column = label.
        """
        points = functional.normalize(self.points, dim=1) if self.normalize else self.points
        return distance_matrix(embeddings, points)
