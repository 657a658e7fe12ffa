"""Trains the tiny network of test_training.py for some batches; run by torchrun, or alone.

    torchrun ... tests/train_in_parallel.py MINING FILE    # rank 0 writes weights and figures

The statistics of batch norm stay as they are: on a CPU each process would take its own.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]


def frozen(layer: nn.BatchNorm2d) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what the layer computes in evaluation, whatever mode it is in."""

    def forward(features: torch.Tensor) -> torch.Tensor:
        mean, variance = layer.running_mean, layer.running_var
        return functional.batch_norm(features, mean, variance, layer.weight, layer.bias)

    return forward


def main() -> None:
    from siamese.parallel import joined, this_rank
    from siamese.trainer import Trainer
    from tests.test_training import load, new_network, params

    mining, target = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    ranks = this_rank(int(os.environ.get("WORLD_SIZE", "1")))
    with joined(ranks, torch.device("cpu")):
        network = new_network()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.forward = frozen(layer)  # type: ignore[assignment, method-assign]
        changed = params(mining=mining, augment={"flip": True, "crop": 1, "cutout": 2})
        trainer = Trainer(load(2), network, changed, ranks)
        figures = [trainer.train_epoch(epoch) for epoch in range(2)]
        validation = trainer.validate()
        weights = torch.cat([weight.detach().flatten() for weight in network.parameters()])
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        copies = ranks.gather_rows(weights[None].numpy())
        if ranks.is_first:
            state = {
                "weights": torch.from_numpy(copies),  # (processes, all of them)
                "gradient": torch.cat([gradient.flatten() for gradient in gradients]),
                "figures": figures,
                **validation,
            }
            torch.save(state, target)


if __name__ == "__main__":
    main()
