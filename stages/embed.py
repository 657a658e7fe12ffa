"""Embed the gallery (all that may be compared with), the queries and the forgeries (test)."""

import workspace

from pathlib import Path

from siamese.base.dataset import load_dataset
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.embeddings.embedding_file import Embeddings, save_embeddings
from siamese.model.folder import load_model
from siamese.network.compute import ComputeParams, start
from siamese.network.embedding import EmbedParams, embed_images

PREPARED, MODEL, EMBEDDINGS = Path("data/prepared"), Path("data/model"), Path("data/embeddings")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    embed: EmbedParams
    compute: ComputeParams


def main() -> None:
    """Embed in float32 whatever precision was trained in."""
    params = read_sections(Params)
    device = start(params.compute)
    dataset = load_dataset(PREPARED)
    model = load_model(MODEL, device)
    parts = {"gallery": dataset.gallery(), "queries": dataset.queries()}
    if len(forged := dataset.forged("test")):
        parts["forged"] = forged
    with new_folder(EMBEDDINGS) as folder:
        for name, rows in parts.items():
            vectors = embed_images(
                model.network, dataset.images_of(rows), params.embed.batch_size, progress=name
            )
            embeddings = Embeddings.of(dataset.samples, rows, vectors)
            save_embeddings(embeddings, folder / f"{name}.parquet")
            print(f"embed: {name}, {vectors.shape[0]:,} embeddings of {vectors.shape[1]} numbers")


if __name__ == "__main__":
    workspace.run(main)
