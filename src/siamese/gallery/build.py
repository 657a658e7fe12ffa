"""Building the gallery from the pipeline's outputs: `data/gallery` can always be made again.

This is no stage of the pipeline, because Lance writes different bytes each time. A build keeps the
rows that were enrolled; if the model has changed since, it embeds their images again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from siamese.base.blocks import blocks
from siamese.base.dataset import FILES, Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.base.files import reading, sha256
from siamese.base.progress import progress_bar
from siamese.embeddings.embedding_file import Embeddings, load_embeddings
from siamese.gallery.address import writing
from siamese.gallery.defaults import EMBEDDINGS, MODEL, NOVELTY_SHARE, PREPARED
from siamese.gallery.model_hash import model_folder_hash
from siamese.gallery.novelty import novelty_distance
from siamese.gallery.png import decode_png, encode_png, resized
from siamese.gallery.rows import Rows
from siamese.gallery.table import IS_ENROLLED, GalleryTable
from siamese.gallery.vector_index import index_if_large

if TYPE_CHECKING:  # torch takes a second or two
    from tqdm import tqdm

    from siamese.model.folder import Model

# Rows that are written at once.
AT_ONCE = 2000
# This many samples are embedded again, to check that this model made the embeddings. Each may
# differ by this share of its length, because another device rounds differently.
CHECKED, TOLERANCE = 16, 0.01


@dataclass(frozen=True)
class Built:
    """What a build did.

    Attributes:
        changed: False if the gallery had been built from the same files already.
        pipeline: rows from the pipeline.
        enrolled: rows kept from the old gallery.
        embedded_again: whether these were embedded again, because the model has changed.
        novelty_distance: see `siamese.gallery.novelty`.
    """

    changed: bool
    pipeline: int
    enrolled: int
    embedded_again: bool
    novelty_distance: float


def build(
    address: Path | str,
    model_folder: Path = MODEL,
    embeddings_file: Path = EMBEDDINGS,
    prepared: Path = PREPARED,
    novelty_share: float = NOVELTY_SHARE,
) -> Built:
    """Replace a gallery's rows from the pipeline by the present embeddings.

    One commit replaces the old gallery; until then readers see it, and a build that is killed
    leaves it whole. A build from the same files changes nothing.

    Args:
        address: a folder, or any address that LanceDB takes.
        model_folder: the model that made the embeddings.
        embeddings_file: Parquet, as the stage `embed` writes it.
        prepared: the data set's folder, for images, class names and splits.
        novelty_share: share of the validation samples that count as known; see
            `siamese.gallery.novelty`.

    Raises:
        InputError: a file is missing or damaged, they do not belong together, or nothing can be
            written to the gallery.
    """
    identity = {
        "model": model_folder_hash(model_folder),
        "embeddings": _sha256(embeddings_file, "embed"),
        "prepared": " ".join(_sha256(prepared / name, "prepare") for name in FILES),
        "novelty_share": repr(novelty_share),
    }
    with writing(address):
        old = GalleryTable.find(address)
        if old is not None and identity.items() <= old.metadata.items():
            enrolled = old.count(IS_ENROLLED)
            distance = float(old.metadata["novelty_distance"])
            index_if_large(old)  # an earlier build may have been killed before this
            return Built(False, len(old) - enrolled, enrolled, False, distance)

        from siamese.model.folder import load_model

        model = load_model(model_folder)
        embeddings, dataset = load_embeddings(embeddings_file), load_dataset(prepared)
        _check(embeddings, embeddings_file, dataset, prepared, model)
        splits = dataset.samples["split"].to_numpy()[embeddings.samples]
        distance = novelty_distance(embeddings, splits, novelty_share)
        enrolled = 0 if old is None else old.count(IS_ENROLLED)
        is_other_model = old is not None and old.metadata.get("model") != identity["model"]
        total = len(embeddings.samples) + enrolled
        with progress_bar("gallery", "row", total=total) as bar:
            table = GalleryTable.replace(
                address,
                model.params.embedding_dim,
                _rows(embeddings, dataset, old, model if is_other_model else None, bar),
                {**identity, "novelty_distance": repr(distance)},
            )
        index_if_large(table)
        table.tidy()
    embedded_again = is_other_model and enrolled > 0
    return Built(True, len(embeddings.samples), enrolled, embedded_again, distance)


def _rows(
    embeddings: Embeddings,
    dataset: Dataset,
    old: GalleryTable | None,
    model: "Model | None",
    bar: "tqdm",
) -> Iterator[Rows]:
    """Yield the pipeline's rows, then the enrolled ones, embedded again if a model is given."""
    for rows in _pipeline_rows(embeddings, dataset):
        yield rows
        bar.update(len(rows))
    if old is None:
        return
    for rows in old.rows(IS_ENROLLED):
        yield rows if model is None else _embedded_again(rows, model)
        bar.update(len(rows))


def _pipeline_rows(embeddings: Embeddings, dataset: Dataset) -> Iterator[Rows]:
    fine_names = np.array(dataset.classes.fine, dtype=object)
    coarse_names = np.array(dataset.classes.coarse, dtype=object)
    files = dataset.samples["file"].to_numpy()
    for part in blocks(len(embeddings.samples), AT_ONCE):
        samples = embeddings.samples[part]
        superclasses = [None] * len(samples)
        if embeddings.coarse is not None:
            superclasses = list(coarse_names[embeddings.coarse[part]])
        yield Rows(
            numbers=samples,
            vectors=embeddings.vectors[part],
            labels=list(fine_names[embeddings.fine[part]]),
            superclasses=superclasses,
            files=list(files[samples]),
            images=[encode_png(image) for image in dataset.images[samples]],
            source=["pipeline"] * len(samples),
        )


def _embedded_again(rows: Rows, model: "Model") -> Rows:
    """Embed the stored images of rows, resized for the new network."""
    size = model.network.image_size
    pixels = np.empty((len(rows), *size, 3), dtype=np.uint8)
    for row, content in enumerate(rows.images):
        assert content is not None, "every enrolled row has an image"
        pixels[row] = resized(decode_png(content), size, model.fit)
    # The stored picture stays as it was enrolled, whatever size later networks want.
    return replace(rows, vectors=model.embed(pixels))


def _check(
    embeddings: Embeddings, file: Path, dataset: Dataset, prepared: Path, model: "Model"
) -> None:
    """Refuse embeddings of other samples, or made by another model."""
    samples = embeddings.samples
    advice = "run `dvc repro embed`, which brings both up to date"
    if not len(samples):
        raise InputError(f"{file}: holds no embeddings; {advice}")
    if samples.max() >= len(dataset.images) or (dataset.fine()[samples] != embeddings.fine).any():
        raise InputError(f"{file}: embeddings of other samples than those in {prepared}; {advice}")
    for names in (dataset.classes.fine, dataset.classes.coarse):
        if len(set(names)) < len(names):
            raise InputError(f"{prepared / 'classes.json'}: two classes have the same name")
    chosen = np.unique(np.linspace(0, len(samples) - 1, CHECKED).round().astype(int))
    if (
        dataset.images.shape[1:3] == model.network.image_size
        and embeddings.vectors.shape[1] == model.params.embedding_dim
    ):
        again = model.embed(dataset.images[samples[chosen]])
        gaps = np.linalg.norm(again - embeddings.vectors[chosen], axis=1)
        lengths = np.linalg.norm(embeddings.vectors[chosen], axis=1)
        if (gaps <= TOLERANCE * lengths).all():
            return
    raise InputError(f"{file}: another model made these embeddings; {advice}")


def _sha256(file: Path, stage: str) -> str:
    with reading(file, stage):
        return sha256(file)
