"""Getting pretrained weights, whichever place they come from."""

from pathlib import Path

from siamese.base.weights_folder import NONE, Origin, Weights
from siamese.sources.fetch import fetch
from siamese.weights.weights_params import WeightsParams


def get_weights(params: WeightsParams, downloads: Path, copy: str | None = None) -> Weights | None:
    """Return the weights that the parameters name; they are fetched if they are not there yet.

    Args:
        params: the section `weights`.
        downloads: where what was fetched is kept, so that the next run need not fetch it again.
        copy: another copy of the file to use instead, a path or a URL.

    Returns:
        The weights; None if training starts from random ones.

    Raises:
        InputError: they cannot be fetched, or are not what the parameters say.
    """
    if params.source == NONE:
        return None
    target = downloads / f"weights-{params.sha256[:16]}.safetensors"
    file = fetch([copy or params.source], target, params.bytes, params.sha256)
    return Weights(file, Origin(params.source, params.sha256, params.license))
