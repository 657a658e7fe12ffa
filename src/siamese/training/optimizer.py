"""The optimisers: Muon for the convolutions, AdamW for everything else.

Muon (K. Jordan, *Muon: An optimizer for hidden layers in neural networks*, 2024) replaces the
momentum of a weight matrix by the nearest matrix with orthonormal rows, so that a step moves all
directions of it equally far.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvolutionMuon(torch.optim.Muon):
    """PyTorch's Muon, which takes matrices alone, over the weights of convolutions.

    A weight `[out, in, h, w]` is stepped as the matrix `[out, h * w * in]` that shares its memory.

    Args:
        weights: of convolutions, float `[out, in, h, w]`, channels last in memory.
        learning_rate: of each step.
        weight_decay: decoupled, as AdamW's.
    """

    def __init__(
        self, weights: Sequence[Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        self.weights = weights
        matrices = [_matrix(weight.detach()) for weight in weights]
        if any(
            matrix.data_ptr() != weight.data_ptr()
            for matrix, weight in zip(matrices, weights, strict=True)
        ):
            raise ValueError("the weights must be channels last in memory")
        super().__init__(matrices, lr=learning_rate, weight_decay=weight_decay)

    def take_gradients(self) -> None:
        """Hand the weights' gradients to the matrices; to be called between backward and step."""
        for matrix, weight in zip(self.param_groups[0]["params"], self.weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)


def make_optimizers(
    network: nn.Module, learning_rate: float, learning_rate_rest: float, weight_decay: float
) -> tuple[ConvolutionMuon, torch.optim.AdamW]:
    """Share a network's parameters between the two.

    Args:
        network: and all that is trained with it; convolutions channels last in memory.
        learning_rate: of the convolutions.
        learning_rate_rest: of linear and norm layers.
        weight_decay: of both.
    """
    weights = [weight for weight in network.parameters() if weight.ndim == 4]
    rest = [weight for weight in network.parameters() if weight.ndim != 4]
    return (
        ConvolutionMuon(weights, learning_rate, weight_decay),
        torch.optim.AdamW(rest, learning_rate_rest, weight_decay=weight_decay, fused=True),
    )


def _matrix(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1).flatten(start_dim=1)  # (out, h * w * in)
