"""Making the gallery from what the pipeline computed: `data/gallery` can always be made again.

It is no stage of the pipeline: Lance's files are not the same bytes twice. Rows that were enrolled
are taken over; if another model has been trained since, they are embedded anew from their images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from siamese.base.blocks import blocks
from siamese.base.dataset import FILES, Dataset, load_dataset
from siamese.base.errors import InputError
from siamese.base.files import sha256
from siamese.embeddings.embedding_file import Embeddings, load_embeddings
from siamese.gallery.defaults import EMBEDDINGS, MODEL, NOVELTY_SHARE, PREPARED
from siamese.gallery.fingerprint import folder_fingerprint
from siamese.gallery.gallery import decode_png, encode_png
from siamese.gallery.index import INDEX_FROM, build_index, index_of
from siamese.gallery.novelty import novelty_distance, novelty_distance_among
from siamese.gallery.search import Searcher
from siamese.gallery.table import GalleryTable, Rows, writing
from siamese.images.fit import fit_image

if TYPE_CHECKING:  # torch takes a second or two
    from siamese.model.folder import Model

# Rows that are written at once.
AT_ONCE = 2000
# Samples whose embedding is computed again, to see whether this model made the embeddings; and by
# how much of its length one may differ, on another device say.
CHECKED, TOLERANCE = 16, 0.01


@dataclass(frozen=True)
class Built:
    """What a build has done.

    Attributes:
        changed: False if the gallery had been built from the very same files.
        pipeline: rows from the pipeline.
        enrolled: rows taken over from the old gallery.
        embedded_anew: whether these were embedded anew, by another model than before.
        novelty_distance: see `siamese.gallery.novelty`.
    """

    changed: bool
    pipeline: int
    enrolled: int
    embedded_anew: bool
    novelty_distance: float


def build(
    address: Path | str,
    model_folder: Path = MODEL,
    embeddings_file: Path = EMBEDDINGS,
    prepared: Path = PREPARED,
    novelty_share: float = NOVELTY_SHARE,
) -> Built:
    """Put the pipeline's embeddings into a gallery, in place of those that are there.

    Readers go on with the old gallery until the new one is complete, in one commit. A build that is
    killed leaves the old one whole. A build from the same files changes nothing.

    Args:
        address: a folder, or any address that LanceDB takes.
        model_folder: the model that made the embeddings.
        embeddings_file: Parquet, as the stage `embed` writes it.
        prepared: the data set's folder, for images, class names and splits.
        novelty_share: of the validation samples; an image farther from everything than they are
            from the training samples is unlike anything.

    Raises:
        InputError: a file is missing or damaged, or they do not belong together.
    """
    identity = {
        "model": folder_fingerprint(model_folder),
        "embeddings": _sha256(embeddings_file, "embed"),
        "prepared": " ".join(_sha256(prepared / name, "prepare") for name in FILES),
        "novelty_share": repr(novelty_share),
    }
    with writing(address):
        old = GalleryTable.find(address)
        if old is not None and identity.items() <= old.metadata.items():
            enrolled = old.table.count_rows("source = 'enrolled'")
            distance = float(old.metadata["novelty_distance"])
            _index(old)  # which an earlier build may not have come to
            return Built(False, len(old) - enrolled, enrolled, False, distance)

        from siamese.model.folder import load_model

        model = load_model(model_folder)
        embeddings, dataset = load_embeddings(embeddings_file), load_dataset(prepared)
        _check(embeddings, embeddings_file, dataset, prepared, model)
        distance = _novelty_distance(embeddings, dataset, novelty_share)
        enrolled = 0 if old is None else old.table.count_rows("source = 'enrolled'")
        anew = old is not None and old.metadata.get("model") != identity["model"]
        total = len(embeddings.samples) + enrolled
        with tqdm(total=total, desc="gallery", unit="row", disable=None) as bar:
            table = GalleryTable.replace(
                address,
                model.params.embedding_dim,
                _rows(embeddings, dataset, old, model if anew else None, bar),
                {**identity, "novelty_distance": repr(distance)},
            )
        _index(table)
        table.tidy()
    return Built(True, len(embeddings.samples), enrolled, anew and enrolled > 0, distance)


def _index(table: GalleryTable) -> None:
    """Index a large gallery, if that has not been done."""
    if len(table) >= INDEX_FROM and index_of(table) is None:
        build_index(Searcher(table))


def _rows(
    embeddings: Embeddings,
    dataset: Dataset,
    old: GalleryTable | None,
    model: "Model | None",
    bar: tqdm,
) -> Iterator[Rows]:
    """Yield the pipeline's rows, then the enrolled ones, embedded anew if a model is given."""
    for rows in _pipeline_rows(embeddings, dataset):
        yield rows
        bar.update(len(rows))
    if old is None:
        return
    for rows in old.rows("source = 'enrolled'"):
        yield rows if model is None else _embedded_anew(rows, model)
        bar.update(len(rows))


def _pipeline_rows(embeddings: Embeddings, dataset: Dataset) -> Iterator[Rows]:
    fine_names = np.array(dataset.classes.fine, dtype=object)
    coarse_names = np.array(dataset.classes.coarse, dtype=object)
    files = dataset.samples["file"].to_numpy()
    for part in blocks(len(embeddings.samples), AT_ONCE):
        samples = embeddings.samples[part]
        n = len(samples)
        superclasses = (
            [None] * n if embeddings.coarse is None else coarse_names[embeddings.coarse[part]]
        )
        yield Rows(
            numbers=samples,
            vectors=embeddings.vectors[part],
            labels=list(fine_names[embeddings.fine[part]]),
            superclasses=list(superclasses),
            files=list(files[samples]),
            images=[encode_png(image) for image in dataset.images[samples]],
            source=["pipeline"] * n,
        )


def _embedded_anew(rows: Rows, model: "Model") -> Rows:
    """Embed rows from their stored images, brought to the size of the new network's input."""
    from PIL import Image

    size = model.network.image_size
    pixels = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    for row, content in enumerate(rows.images):
        assert content is not None, "every enrolled row has its image"
        pixels[row] = fit_image(Image.fromarray(decode_png(content)), size, model.fit)
    # The picture that was enrolled stays, whatever size a later network wants it in.
    return Rows(
        numbers=rows.numbers,
        vectors=model.embed(pixels),
        labels=rows.labels,
        superclasses=rows.superclasses,
        files=rows.files,
        images=rows.images,
        source=rows.source,
    )


def _novelty_distance(embeddings: Embeddings, dataset: Dataset, share: float) -> float:
    splits = dataset.samples["split"].to_numpy()[embeddings.samples]
    known, held_out = (np.flatnonzero(splits == name) for name in ("train", "validation"))
    if not np.isin(embeddings.fine[held_out], embeddings.fine[known]).all():
        return novelty_distance_among(embeddings.vectors, held_out, share)
    return novelty_distance(embeddings.vectors[known], embeddings.vectors[held_out], share)


def _check(
    embeddings: Embeddings, file: Path, dataset: Dataset, prepared: Path, model: "Model"
) -> None:
    """Refuse embeddings of other data, or of another model."""
    samples = embeddings.samples
    advice = "run `dvc repro embed`, which makes them belong together"
    if not len(samples):
        raise InputError(f"{file}: no embeddings are in it; {advice}")
    if samples.max() >= len(dataset.images) or (dataset.fine()[samples] != embeddings.fine).any():
        raise InputError(f"{file}: embeddings of other samples than those in {prepared}; {advice}")
    for names in (dataset.classes.fine, dataset.classes.coarse):
        if len(set(names)) < len(names):
            raise InputError(f"{prepared / 'classes.json'}: two classes have the same name")
    chosen = np.unique(np.linspace(0, len(samples) - 1, CHECKED).round().astype(int))
    size = model.network.image_size
    if (
        dataset.images.shape[1] == size
        and embeddings.vectors.shape[1] == model.params.embedding_dim
    ):
        again = model.embed(dataset.images[samples[chosen]])
        gaps = np.linalg.norm(again - embeddings.vectors[chosen], axis=1)
        lengths = np.linalg.norm(embeddings.vectors[chosen], axis=1)
        if (gaps <= TOLERANCE * lengths).all():
            return
    raise InputError(f"{file}: another model than this one made these embeddings; {advice}")


def _sha256(file: Path, stage: str) -> str:
    try:
        return sha256(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; `dvc repro {stage}` makes it") from None
