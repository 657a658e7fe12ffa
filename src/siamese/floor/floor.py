"""What costs no learning: k-NN on raw pixels and on the features of an untrained network.

Pixels are those of thumbnails: images larger than a square of `THUMBNAIL` pixels are reduced to as
many, as `prepare` does it, since the distances of large images cost much and say little more. They
are compared by blocks of images, so that only a few blocks are in memory.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from siamese.base.blocks import blocks
from siamese.base.dataset import Dataset, ImageRows, is_forged
from siamese.base.errors import InputError
from siamese.base.image_size import Size, with_area
from siamese.base.params import Section
from siamese.base.progress import progress_bar
from siamese.images.fit import fit_image
from siamese.measures.knn import class_ranking, nearest, nearest_in_parts
from siamese.measures.manifest import are_given, read_manifest
from siamese.measures.verification import auc, pair_distances

THUMBNAIL = 32  # pixels a side, as CIFAR-100's images have; of images that are square
# Pixel values in a block of the gallery, and in one of queries, as float32. Larger blocks read
# images less often; these take 1 GB at the most.
VALUES_AT_ONCE = 2**26
# The same for pairs, whose differences are float64.
PAIR_VALUES_AT_ONCE = 2**22


class FloorParams(Section):
    """The `floor` section of `params.yaml`."""

    k: int = Field(ge=1)


def measure_floors(
    dataset: Dataset,
    embed: Callable[[ImageRows], np.ndarray],
    k: int,
    manifest: Path,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Evaluate raw pixels and the untrained network, with the gallery and queries of `evaluate`.

    Args:
        dataset: with a gallery and queries.
        embed: runs the untrained network: float32 `[n, D]` of n images.
        k: neighbours that vote.
        manifest: the pairs of the split `test`, read only where verification alone is measured.
        device: finds the neighbours; see `siamese.measures.knn.nearest`.

    Returns:
        The share of queries whose k nearest elect their class, by `pixels` and `untrained`; where
        some queries are of novel classes and some are not, also of each kind, under `novel` and
        `seen`. But where the gallery has no class of the queries, under `verification`, the area
        under the ROC of the pairs. Four decimals.

    Raises:
        InputError: k is larger than the gallery, or the manifest is missing or not of this data.
    """
    gallery, queries = dataset.gallery(), dataset.queries()
    labels = dataset.fine()
    if not np.isin(labels[queries], labels[gallery]).any():
        return {"verification": _verification_floors(dataset, embed, manifest)}
    by_pixels = nearest_images(
        dataset.images_of(gallery), dataset.images_of(queries), k, progress=True, device=device
    )
    embeddings = embed(dataset.images_of(np.arange(len(labels))))
    by_embeddings, _ = nearest(
        embeddings[gallery], embeddings[queries], k, progress=True, device=device
    )
    is_right = {
        name: class_ranking(labels[gallery][rows], top=1)[:, 0] == labels[queries]
        for name, rows in (("pixels", by_pixels), ("untrained", by_embeddings))
    }

    def shares(chosen: np.ndarray) -> dict[str, float]:
        return {name: round(float(right[chosen].mean()), 4) for name, right in is_right.items()}

    floors: dict[str, Any] = shares(np.ones(len(queries), dtype=bool))
    is_novel = np.isin(labels[queries], dataset.novel_classes())
    if is_novel.any() and not is_novel.all():
        floors |= {"seen": shares(~is_novel), "novel": shares(is_novel)}
    return floors


def nearest_images(
    gallery: ImageRows,
    queries: ImageRows,
    k: int,
    progress: bool = False,
    device: torch.device | None = None,
) -> np.ndarray:
    """Find what `siamese.measures.knn.nearest` finds, on pixels, with blocks of images in memory.

    Args:
        gallery: G images.
        queries: Q images of the same size.
        k: neighbours wanted, from 1 to G.
        progress: show a bar over the blocks, on a terminal.
        device: see `siamese.measures.knn.nearest`.

    Returns:
        Positions in `gallery`, int64 `[Q, k]`, nearest first.

    Raises:
        InputError: k is out of range.
    """
    if not 1 <= k <= len(gallery):
        raise InputError(
            f"floor.k is {k}, but the gallery has {len(gallery)} samples; expected a number from 1"
            " to that"
        )
    at_once = max(1, VALUES_AT_ONCE // _values(gallery.images))
    asked_parts, parts = (list(blocks(len(images), at_once)) for images in (queries, gallery))
    rows = np.empty((len(queries), k), dtype=np.int64)

    def read_parts(bar: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in parts:
            images = ImageRows(gallery.images, gallery.rows[part])
            yield np.arange(part.start, part.stop), thumbnails(images)  # (g,), (g, D)
            bar.update()

    total = len(asked_parts) * len(parts)
    with progress_bar("pixels" if progress else None, "block", total=total) as bar:
        for asked_part in asked_parts:
            asked = thumbnails(ImageRows(queries.images, queries.rows[asked_part]))  # (q, D)
            rows[asked_part] = nearest_in_parts(read_parts(bar), asked, k, device)[0]
    return rows


def image_distances(images: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance between the pixels of each pair, float64 `[P]`.

    Args:
        images: uint8 `[N, H, W, 3]`, memory-mapped or not: read a part at a time.
        left: rows of `images`, integers `[P]`.
        right: rows of `images`, integers `[P]`.
    """
    distances = np.empty(len(left), dtype=np.float64)
    at_once = max(1, PAIR_VALUES_AT_ONCE // _values(images))
    for part in blocks(len(left), at_once):
        ends = np.concatenate([left[part], right[part]])
        vectors = thumbnails(ImageRows(images, ends))  # (2·p, D)
        first, second = np.arange(len(vectors)).reshape(2, -1)
        distances[part] = pair_distances(vectors, first, second)
    return distances


def thumbnails(images: ImageRows) -> np.ndarray:
    """Return the pixels of images as vectors, larger images reduced to thumbnails.

    Args:
        images: n images, read a part at a time.

    Returns:
        float32 `[n, D]`, D three times as many as the pixels of a thumbnail, or of an image. Pixels
        stay whole numbers, which are the same bits everywhere.
    """
    size = _size(images.images)
    vectors = np.empty((len(images), _values(images.images)), dtype=np.float32)
    done = 0
    for read in images.parts():
        if read.shape[1:3] != size:
            read = np.stack([fit_image(Image.fromarray(one), size) for one in read])
        vectors[done : done + len(read)] = read.reshape(len(read), -1)
        done += len(read)
    return vectors


def _verification_floors(
    dataset: Dataset, embed: Callable[[ImageRows], np.ndarray], manifest: Path
) -> dict[str, float]:
    pairs = read_manifest(manifest, dataset.samples, "test")
    forged = is_forged(dataset.samples)
    is_random = ~forged[pairs["left"]] & ~forged[pairs["right"]]
    # Given pairs are measured as they are; of drawn ones `pairs.forged` may leave no unlike ones.
    if not are_given(pairs) and not pairs["same"][is_random].all():
        pairs = pairs[is_random]
    left, right, same = (pairs[name].to_numpy() for name in ("left", "right", "same"))
    members, which = np.unique(np.stack([left, right]), return_inverse=True)
    embeddings = embed(dataset.images_of(members))
    distances = {
        "pixels": image_distances(dataset.images, left, right),
        "untrained": pair_distances(embeddings, *which.reshape(2, -1)),
    }
    return {name: round(auc(values, same), 4) for name, values in distances.items()}


def _values(images: np.ndarray) -> int:
    """Return how many values the thumbnail of an image has, of `[N, H, W, 3]`."""
    return 3 * math.prod(_size(images))


def _size(images: np.ndarray) -> Size:
    """Return the size of the thumbnails of images, `[N, H, W, 3]`."""
    _, height, width, _ = images.shape
    is_large = height * width > THUMBNAIL**2
    return with_area((height, width), THUMBNAIL) if is_large else (height, width)
