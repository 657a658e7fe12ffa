"""Measure what costs no learning: k-NN on raw pixels, and on the untrained network."""

import workspace

from functools import partial
from pathlib import Path

from siamese.base.dataset import channel_statistics, load_dataset
from siamese.base.files import write_json
from siamese.base.params import Section, read_sections
from siamese.base.weights_folder import read_weights
from siamese.floor.floor import FloorParams, measure_floors
from siamese.network.compute import ComputeParams, start
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import NetworkParams, build_network

PREPARED, TEST_PAIRS, METRICS = (
    Path(name) for name in ("data/prepared", "data/pairs/test.parquet", "metrics")
)
WEIGHTS = Path("data/weights")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    floor: FloorParams
    network: NetworkParams
    compute: ComputeParams


def main() -> None:
    """Run the stage."""
    params = read_sections(Params)
    device = start(params.compute)
    dataset = load_dataset(PREPARED)
    statistics = channel_statistics(dataset.images_of(dataset.rows("train")))
    weights = read_weights(WEIGHTS)
    _, height, width, _ = dataset.images.shape
    network = build_network(params.network, (height, width), *statistics, weights)
    if weights:
        network.drop_head()  # it is random, and would only spoil what the weights know
    network = network.to(device)
    embed = partial(embed_images, network, progress="untrained network")
    floors = measure_floors(dataset, embed, params.floor.k, TEST_PAIRS, device)
    write_json(METRICS / "floor.json", floors)
    print(f"floor: k = {params.floor.k}: {floors}")


if __name__ == "__main__":
    workspace.run(main)
