"""What the library timm knows of its own weights of a network."""

from dataclasses import dataclass

from siamese.base.errors import InputError
from siamese.network.timm_networks import PREFIX, is_timm, timm_config
from siamese.weights.sources import HUGGING_FACE


@dataclass(frozen=True)
class TimmWeights:
    """Weights that timm names for a network.

    Attributes:
        source: where they are, as in `weights.source`; empty if timm names no safetensors.
        license: empty if timm does not know it.
        image_size: height and width of the images that they were trained on, in pixels.
    """

    source: str
    license: str
    image_size: int


def timm_weights(architecture: str) -> TimmWeights:
    """Return what timm says of a network's weights.

    Args:
        architecture: `timm/NAME`; NAME may have a tag, `resnet50.a1_in1k`.

    Raises:
        InputError: it is no network of timm, or timm is not installed.
    """
    if not is_timm(architecture):
        raise InputError(
            f"{architecture}: pretrained weights are for networks of timm alone, such as"
            f" {PREFIX}resnet50"
        )
    config = timm_config(architecture)
    return TimmWeights(
        source=f"{HUGGING_FACE}{config.hf_hub_id}" if config.hf_hub_id else "",
        license="" if config.license in (None, "unknown") else config.license,
        image_size=config.input_size[-1],
    )
