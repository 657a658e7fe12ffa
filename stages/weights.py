"""Bring the weights that training starts from into the workspace as data/weights."""

import workspace

import os
from pathlib import Path

from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.base.weights_folder import save_weights
from siamese.weights.get_weights import get_weights
from siamese.weights.sources import is_path
from siamese.weights.weights_params import WeightsParams

WEIGHTS, DOWNLOADS = Path("data/weights"), Path("data/downloads")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    weights: WeightsParams


def main() -> None:
    """Write the weights, or that there are none."""
    params = read_sections(Params)
    copy = os.environ.get("SIAMESE_WEIGHTS")
    if copy and is_path(copy):
        copy = str(workspace.STARTED_IN / Path(copy).expanduser())
    weights = get_weights(params.weights, DOWNLOADS, copy)
    with new_folder(WEIGHTS) as folder:
        save_weights(weights, folder)
    print(f"weights: {weights.origin.source if weights else 'none, training starts from random'}")


if __name__ == "__main__":
    workspace.run(main)
