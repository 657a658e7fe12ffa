"""The optimisers and their learning rates: Muon and AdamW, or AdamW twice.

With `train.optimizer: muon` Muon trains the convolutions, and AdamW everything else. With `adamw`,
as is usual where pretrained weights are fine-tuned, one AdamW trains the network and another, at a
rate of its own, what begins at random: the head of a network of timm, and the objective's weights.

Muon (K. Jordan, *Muon: An optimizer for hidden layers in neural networks*, 2024) replaces the
momentum of a weight matrix by the nearest matrix with orthonormal rows, so that a step moves all
directions of it equally far.

All take the learning rate as a tensor with every step, and decide nothing on the host: a step can
be recorded once and replayed with another rate.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from siamese.network.timm_networks import HeadedBackbone

MOMENTUM = 0.95
# Of Newton and Schulz's iteration, as in Jordan's and PyTorch's Muon.
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5


class ConvolutionMuon(torch.optim.Optimizer):
    """Muon over the weights of convolutions.

    A weight `[out, in, h, w]` is stepped as the matrix `[out, h * w * in]` that shares its memory.
    A step equals that of `torch.optim.Muon`, which takes matrices alone and a rate on the host.

    Args:
        weights: of convolutions, float `[out, in, h, w]`, channels last in memory.
        weight_decay: decoupled, as AdamW's.
    """

    def __init__(self, weights: Sequence[Tensor], weight_decay: float) -> None:
        if any(_matrix(weight).data_ptr() != weight.data_ptr() for weight in weights):
            raise ValueError("the weights must be channels last in memory")
        super().__init__(weights, {"weight_decay": weight_decay})
        for weight in weights:
            self.state[weight]["momentum"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, rate: Tensor) -> None:  # type: ignore[override]
        """Step along the gradients.

        Args:
            rate: the learning rate, a scalar on the weights' device.
        """
        (group,) = self.param_groups
        kept = (1 - rate * group["weight_decay"]).float()
        for weight in group["params"]:
            if weight.grad is None:
                continue
            matrix, gradient = _matrix(weight), _matrix(weight.grad)
            momentum = _matrix(self.state[weight]["momentum"])
            momentum.lerp_(gradient, 1 - MOMENTUM)
            update = orthogonalised(gradient.lerp(momentum, MOMENTUM)).float()
            # A tall matrix gets longer steps, so that its outputs change as much.
            adjusted = (rate * math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))).float()
            matrix.mul_(kept).addcmul_(update, adjusted, value=-1)


class AdamW(torch.optim.AdamW):
    """PyTorch's AdamW, whose `step` takes the learning rate.

    Args:
        weights: floats of any shape.
        weight_decay: decoupled.
        of_all: whether vectors decay too: biases and the weights of normalisation.
    """

    def __init__(self, weights: Sequence[Tensor], weight_decay: float, of_all: bool = True) -> None:
        decaying = [weight for weight in weights if of_all or weight.ndim > 1]
        others = [weight for weight in weights if not of_all and weight.ndim <= 1]
        groups = [
            {"params": part, "weight_decay": decay}
            for part, decay in ((decaying, weight_decay), (others, 0.0))
            if part
        ]
        super().__init__(groups, fused=True)
        # PyTorch's gradient scaler then hands over gradients that are unscaled already.
        self._step_supports_amp_scaling = False
        for weight in weights:
            self.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }

    @torch.no_grad()
    def step(self, rate: Tensor) -> None:  # type: ignore[override]
        """Step along the gradients.

        Args:
            rate: the learning rate, a scalar on the weights' device: float64 on a CPU, float32 on
                CUDA, as the fused kernels ask for.
        """
        for group in self.param_groups:
            self._step_group(group, rate)

    def _step_group(self, group: dict[str, Any], rate: Tensor) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        states = [self.state[weight] for weight in weights]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        # The kernel itself: `torch.optim` around it would keep `torch.compile` out.
        torch._fused_adamw_(
            weights,
            [weight.grad for weight in weights],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=rate,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


# Those of `train.optimizer`.
Optimizer = ConvolutionMuon | AdamW


def make_optimizers(
    kind: Literal["muon", "adamw"], network: nn.Module, objective: nn.Module, weight_decay: float
) -> dict[str, Optimizer]:
    """Share all weights that are trained, those that require a gradient, between two optimisers.

    Args:
        kind: `train.optimizer`.
        network: its convolutions are channels last in memory.
        objective: its weights are trained with the network's.
        weight_decay: of both.

    Returns:
        The optimisers by the parameters of `train` that are their learning rates; without one that
        has nothing to train.
    """
    weights = (*network.parameters(), *objective.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    if kind == "muon":
        first = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    else:
        heads = [layer.head for layer in network.modules() if isinstance(layer, HeadedBackbone)]
        new = {id(weight) for head in heads for weight in head.parameters()}
        first = [weight for weight in network.parameters() if id(weight) not in new]
    chosen = {*map(id, first)}
    main = [weight for weight in trained if id(weight) in chosen]
    rest = [weight for weight in trained if id(weight) not in chosen]
    optimizers: dict[str, Optimizer] = {}
    if main and kind == "muon":
        optimizers["learning_rate"] = ConvolutionMuon(main, weight_decay)
    elif main:
        optimizers["learning_rate"] = AdamW(main, weight_decay, of_all=False)
    if rest:
        optimizers["learning_rate_rest"] = AdamW(rest, weight_decay, of_all=kind == "muon")
    return optimizers


def one_cycle(highest: float, steps: int, warmup: float) -> list[float]:
    """Return the learning rate of each step: it rises along half a cosine, and falls along one.

    From a 25th of the highest, down to a 250,000th, as PyTorch's OneCycleLR (after Smith and Topin,
    *Super-Convergence*, 2018).

    Args:
        highest: reached at the end of the warm-up.
        steps: two or more.
        warmup: share of all steps in which it rises; not exactly one step.
    """
    first, last = highest / 25, highest / 25 / 1e4
    top, end = float(warmup * steps) - 1, steps - 1

    def between(start: float, stop: float, share: float) -> float:
        return stop + (start - stop) / 2.0 * (math.cos(math.pi * share) + 1)

    return [
        between(first, highest, step / top)
        if step <= top
        else between(highest, last, (step - top) / (end - top))
        for step in range(steps)
    ]


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return nearly the nearest matrix with orthonormal rows (or columns, if those are fewer).

    Five iterations after Newton and Schulz in bfloat16: singular values end between 0.5 and 1.5 or
    so, which trains as well as 1.

    Args:
        matrix: float `[M, N]`.

    Returns:
        bfloat16 `[M, N]`.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = (matrix.T if is_tall else matrix).bfloat16()
    wide = wide / wide.norm().clamp(min=1e-7)  # no singular value above 1
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if is_tall else wide


def _matrix(weight: Tensor) -> Tensor:
    return weight.detach().permute(0, 2, 3, 1).flatten(start_dim=1)  # (out, h * w * in)
