"""What the library timm knows of its own weights of a network."""

import difflib
from dataclasses import dataclass
from importlib.util import find_spec

from siamese.base.errors import InputError
from siamese.network.timm_networks import PREFIX, is_timm
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
    if find_spec("timm") is None:
        raise InputError(
            f"{architecture}: the library timm is not installed: pip install 'siamese[timm]'"
        )
    import timm

    name = architecture.removeprefix(PREFIX)
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # a tag that this network does not have
        config = None
    if config is None:
        known = timm.list_models() + timm.list_models(pretrained=True)
        close = ", ".join(f"`{PREFIX}{one}`" for one in difflib.get_close_matches(name, known, 3))
        raise InputError(
            f"{architecture}: timm knows no network of this name"
            f"{f'; did you mean one of {close}?' if close else ''} `timm.list_models()` lists all"
        )
    return TimmWeights(
        source=f"{HUGGING_FACE}{config.hf_hub_id}" if config.hf_hub_id else "",
        license="" if config.license in (None, "unknown") else config.license,
        image_size=config.input_size[-1],
    )
