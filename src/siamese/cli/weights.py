"""The command `siamese weights`: which pretrained weights training starts from."""

from pathlib import Path
from typing import Any


def choose_weights(
    architecture: str, copy: Path | None = None, source: str | None = None
) -> dict[str, Any]:
    """Return the parameters of a network of timm that starts from pretrained weights.

    Args:
        architecture: `timm/NAME`; NAME may have a tag, `resnet50.a1_in1k`.
        copy: a copy of the weights on this machine, for one without a network; without, what
            SIAMESE_WEIGHTS names, if it is set.
        source: where the weights are, as in `weights.source`; without, where timm says.

    Returns:
        `network.architecture` and the section `weights`, by dotted name.

    Raises:
        InputError: timm does not know the network, the weights cannot be found, or they are not
            safetensors.
    """
    raise NotImplementedError
