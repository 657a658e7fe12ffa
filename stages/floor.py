"""Measure what costs no learning: k-NN on raw pixels, and on the untrained network."""

import workspace

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.compute import ComputeParams, start
from siamese.data.dataset import channel_statistics, load_dataset
from siamese.embedding import embed_images
from siamese.evaluation.floor import FloorParams, plain_vote_accuracy
from siamese.files import write_json
from siamese.network import NetworkParams, build_network
from siamese.params import read_sections

PREPARED, METRICS = Path("data/prepared"), Path("metrics")


def main() -> None:
    """Evaluate both floors with the gallery, the queries and the vote of `evaluate`."""
    params = read_sections(floor=FloorParams, network=NetworkParams, compute=ComputeParams)
    device = start(params.compute)
    dataset = load_dataset(PREPARED)
    gallery, queries = dataset.rows("train", "validation"), dataset.rows("test")
    train_images = dataset.images[dataset.rows("train")]
    network = build_network(
        params.network, train_images.shape[1], *channel_statistics(train_images)
    ).to(device)

    def accuracy(vectors: NDArray[np.float32]) -> float:
        labels = dataset.fine()
        found = plain_vote_accuracy(
            vectors[gallery], labels[gallery], vectors[queries], labels[queries], params.floor.k
        )
        return round(found, 4)

    pixels = dataset.images.reshape(len(dataset.images), -1).astype(np.float32)
    untrained = embed_images(network, dataset.images, 500, progress="untrained network")
    floors = {"pixels": accuracy(pixels), "untrained": accuracy(untrained)}
    write_json(METRICS / "floor.json", floors)
    print(f"floor: top-1 at k = {params.floor.k}: {floors}")


if __name__ == "__main__":
    workspace.run(main)
