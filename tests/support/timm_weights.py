"""Files of weights for networks of timm, as their makers publish them."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from siamese.base.weights_folder import Origin, Weights

ORIGIN = Origin("https://example.org/weights.safetensors", "0" * 64, "apache-2.0")


def config_of(name: str) -> Any:
    """Return timm's own description of the weights that it has for a network."""
    return timm.get_pretrained_cfg(name)


def made_up_weights(
    file: Path, name: str, size: int = 32, n_classes: int = 5, noise: float = 0.3
) -> Weights:
    """Write random weights of a whole classifier; with noise, normalisation statistics too."""
    fixed: dict[str, Any] = {"img_size": size} if config_of(name).fixed_input_size else {}
    network = timm.create_model(name, num_classes=n_classes, **fixed)
    generator = torch.Generator().manual_seed(5)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand(tensor.shape, generator=generator), alpha=noise)
    save_file({name: one.contiguous() for name, one in network.state_dict().items()}, file)
    return Weights(file, ORIGIN)
