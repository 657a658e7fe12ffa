"""Trains the tiny network of tiny_training.py for some batches; run by torchrun, or alone.

    torchrun ... train_in_parallel.py RUNS FILE    # rank 0 writes what came out of each

RUNS are pairs in JSON: changes of the parameters (`architecture` too), and a mode. The mode is
`learns`, or `stands`: then the learning rate is next to zero, so that rounding in one step does not
change the next one's gradient, and the statistics of batch norm are fixed, for on a CPU each
process would take its own.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from siamese.training.parallel import Ranks

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]


def frozen(layer: nn.BatchNorm2d) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what the layer computes in evaluation, whatever mode it is in."""

    def forward(features: torch.Tensor) -> torch.Tensor:
        mean, variance = layer.running_mean, layer.running_var
        return functional.batch_norm(features, mean, variance, layer.weight, layer.bias)

    return forward


def outcome(changes: dict[str, Any], learns: bool, ranks: "Ranks") -> dict[str, Any]:
    """Train once; return the weights, gradients and figures."""
    from tests.support.tiny_training import NO_CHANGES, load, new_network, new_trainer, params

    network = new_network(architecture=changes.pop("architecture", "resnet9"))
    augment = {**NO_CHANGES, "flip": True, "crop": 1, "cutout": 2, "resized_crop": 0.5}
    changes |= {"augment": augment}
    if not learns:
        changes |= {"learning_rate": 1e-12, "learning_rate_rest": 1e-12}
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.forward = frozen(layer)  # type: ignore[assignment, method-assign]
    trainer = new_trainer(load(2), network, params(**changes), ranks)
    gradients: list[torch.Tensor] = []
    next(iter(trainer.optimizers.values())).register_step_pre_hook(
        lambda *_: gradients.append(gradient_of(network, trainer.objective))
    )
    figures = [trainer.train_epoch(epoch) for epoch in range(2)]
    state = {**network.state_dict(), **trainer.objective.state_dict()}
    copies = ranks.gather_rows(torch.cat([v.flatten() for v in state.values()])[None].numpy())
    return {
        "state": torch.from_numpy(copies),  # (processes, all weights and statistics)
        "gradients": torch.stack(gradients),  # (batches, all weights)
        "figures": figures,
        **trainer.validate(),
    }


def main() -> None:
    from siamese.training.parallel import joined, this_rank

    runs, target = json.loads(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    ranks = this_rank(int(os.environ.get("WORLD_SIZE", "1")))
    with joined(ranks, torch.device("cpu")):
        outcomes = [outcome(changes, mode == "learns", ranks) for changes, mode in runs]
        if ranks.is_first:
            torch.save(outcomes, target)


def gradient_of(*modules: nn.Module) -> torch.Tensor:
    """Return the gradients of all parameters as one vector."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


if __name__ == "__main__":
    main()
