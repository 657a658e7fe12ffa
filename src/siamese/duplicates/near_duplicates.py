"""Near-duplicates: queries that show the same photograph as an image of the gallery.

They flatter every figure: a neighbour that is the query itself, cropped or recompressed, is found
without anything having been learned. Barz and Denzler (*Do We Train on Test Data? Purging CIFAR of
Near-Duplicates*, 2020) found such a neighbour for a tenth of CIFAR-100's test images, with the
features of a trained network and the judgement of people. Here nothing is trained:

1. Each image is averaged down to 16 x 16 pixels, which takes away noise and traces of compression.
2. The mean of each channel is subtracted and the image scaled to length 1: brightness and contrast
   no longer count.
3. It is projected on the strongest principal components of the gallery, each divided by its
   standard deviation (whitening): a bright sky, which most photographs share, counts no more than
   the details that distinguish them.
4. The similarity of a query and a gallery image is their cosine, the greatest over the query, its
   mirror image, and both shifted by one of the 16 pixels up, down, left or right.
5. A simple image (an apple on white, a field under a sky) is similar to many. So the distance
   (1 - similarity) of the nearest is divided by that of the eleventh nearest, as in the ratio test
   of Lowe (*Distinctive Image Features from Scale-Invariant Keypoints*, 2004). The ratio is 0 for a
   copy, and near 1 where the nearest is one among many. Up to ten copies of one photograph in the
   gallery do not hide each other.

A pair is a near-duplicate if its ratio is at most a threshold. A close crop, a rotation or another
background is not recognised.

The images are read a part at a time. Of each, only `COMPONENTS` features are kept.
"""

import functools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from pydantic import Field
from threadpoolctl import threadpool_limits

from siamese.base.blocks import blocks
from siamese.base.dataset import Dataset, ImageRows
from siamese.base.params import Section
from siamese.base.progress import progress_bar

SIDE = 16  # pixels that images are averaged down to
COMPONENTS = 96  # principal components compared
RIVAL = 10  # the nearest is compared with the one that has this many before it
# Weaker components than this share of the strongest variance are rounding, not detail.
WEAKEST = 1e-4
# Similarities that differ by no more are equal: float32 sums are rounded in an order that varies.
ROUNDING = 1e-5
# Averaged at once: this many images, fewer if they have more values.
IMAGES_AT_ONCE = 2000
PIXELS_AT_ONCE = 2**23
# Standardised gallery images, 3 kB each, whose moments are one sum. Smaller blocks would round it
# differently, and so would larger ones where a gallery has more images.
GALLERY_AT_ONCE = 2**16
# Compared with the whole gallery at once: this many queries, fewer if the gallery is large.
QUERIES_AT_ONCE = 250
SIMILARITIES_AT_ONCE = 2**24


class DuplicatesParams(Section):
    """What counts as a near-duplicate."""

    threshold: float = Field(ge=0, le=1)


# One thread: sums are then rounded in one way, whatever the number of cores. And on a busy machine
# two threads, which wait for each other after every product, take longer than one.
@threadpool_limits.wrap(limits=1, user_api="blas")
def find_near_duplicates(dataset: Dataset, threshold: float) -> pd.DataFrame:
    """Find for each query the most similar image of the gallery.

    The search is exact. Memory: `G·96` float32 values for a gallery of G images, and at most 0.3 GB
    for standardised images or similarities, however many there are.

    Args:
        dataset: with queries and a gallery.
        threshold: the ratio up to which a pair counts as the same photograph, in [0, 1].

    Returns:
        One row per query, ascending: `sample` (int64), `of` (int64, the most similar sample, of
        equals the first), `similarity` and `ratio` (float32, four decimals) and `near_duplicate`
        (bool: the ratio is at most the threshold).
    """
    queries, gallery = dataset.queries(), dataset.gallery()
    whitening, features = _whitened(dataset.images_of(gallery))
    rival = min(RIVAL, len(gallery) - 1)
    of = np.zeros(len(queries), dtype=np.int64)
    similarity, rivals = np.zeros((2, len(queries)))
    at_once = min(QUERIES_AT_ONCE, max(1, SIMILARITIES_AT_ONCE // len(gallery)))
    label = "near-duplicates" if len(queries) > QUERIES_AT_ONCE else None
    with progress_bar(label, "image", total=len(queries)) as bar:
        for chunk in blocks(len(queries), at_once):
            small = _averaged(dataset.images_of(queries[chunk]))  # (q, S, S, 3)
            found = _similarities(small, whitening, features)  # (q, G)
            similarity[chunk] = best = found.max(axis=1)
            of[chunk] = gallery[(found >= best[:, None] - ROUNDING).argmax(axis=1)]
            rivals[chunk] = np.partition(found, -1 - rival, axis=1)[:, -1 - rival]
            bar.update(len(found))
    similarity, rivals = similarity.round(4), rivals.round(4)  # float32 carries hardly more
    ratio = np.where(rivals < 1, (1 - similarity) / np.maximum(1 - rivals, 1e-4), 0).round(4)
    return pd.DataFrame(
        {
            "sample": queries,
            "of": of,
            "similarity": similarity.astype(np.float32),
            "ratio": ratio.astype(np.float32),
            "near_duplicate": ratio <= threshold,
        }
    )


def _whitened(gallery: ImageRows) -> tuple[np.ndarray, np.ndarray]:
    """Return what whitens the gallery, float32 `[F, C]`, and its features, float32 `[C, G]`."""
    parts = list(blocks(len(gallery), GALLERY_AT_ONCE))
    values = 3 * np.prod([min(SIDE, pixels) for pixels in gallery.images.shape[1:3]])
    room = np.empty((min(GALLERY_AT_ONCE, len(gallery)), values), dtype=np.float32)
    moments = np.zeros((values, values))
    for part in parts:
        vectors = _standardised_images(gallery, part, room)  # (b, F)
        moments += vectors.T @ vectors
    # Around zero, where each image's own mean already is: the mean image is a detail too.
    variance, components = np.linalg.eigh(moments / len(gallery))  # ascending
    variance, components = variance[::-1][:COMPONENTS], components[:, ::-1][:, :COMPONENTS]
    is_kept = variance > WEAKEST * variance[0]
    whitening = (components[:, is_kept] / np.sqrt(variance[is_kept])).astype(np.float32)
    features = np.empty((len(gallery), whitening.shape[1]), dtype=np.float32)
    for part in reversed(parts):
        if part != parts[-1]:  # which is still there
            vectors = _standardised_images(gallery, part, room)
        features[part] = _unit(vectors @ whitening)
    return whitening, features.T


def _standardised_images(images: ImageRows, block: slice, room: np.ndarray) -> np.ndarray:
    """Read, average and standardise a block of images into `room`; return what it fills there."""
    rows = images.rows[block]
    for part in blocks(len(rows), IMAGES_AT_ONCE):
        room[part] = _standardised(_averaged(ImageRows(images.images, rows[part])))
    return room[: len(rows)]


def _similarities(small: np.ndarray, whitening: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the similarity of each query `[q, S, S, 3]` with the gallery, float32 `[q, G]`."""
    found = ((_unit(_standardised(variant) @ whitening) @ features) for variant in _variants(small))
    return functools.reduce(lambda best, other: np.maximum(best, other, out=best), found)


def _averaged(images: ImageRows) -> np.ndarray:
    """Average n images to `SIDE` pixels a side, smaller ones excepted; float32 `[n, S, S, 3]`."""
    height, width = images.images.shape[1:3]
    rows = _box_weights(height, min(SIDE, height))
    columns = _box_weights(width, min(SIDE, width))
    small = np.empty((len(images), len(rows), len(columns), 3), dtype=np.float32)
    at_once = min(IMAGES_AT_ONCE, max(1, PIXELS_AT_ONCE // (height * width * 3)))
    for part in blocks(len(images), at_once):
        values = images[part].astype(np.float32)
        small[part] = np.einsum("rh,nhwc,kw->nrkc", rows, values, columns, optimize=True)
    return small


def _box_weights(pixels: int, cells: int) -> np.ndarray:
    """Return the share of each of `pixels` in each of `cells`; rows of sum 1, float32."""
    edges = np.linspace(0, pixels, cells + 1)
    lower, upper = edges[:-1, None], edges[1:, None]  # (cells, 1)
    start = np.arange(pixels)[None, :]
    overlap = np.minimum(upper, start + 1) - np.maximum(lower, start)
    return (np.maximum(overlap, 0) * cells / pixels).astype(np.float32)


def _standardised(small: np.ndarray) -> np.ndarray:
    """Take away each channel's mean and bring each image to length 1: float32 `[N, S·S·3]`."""
    centred = small - small.mean(axis=(1, 2), keepdims=True)
    return _unit(centred.reshape(len(small), -1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Bring each row to length 1; those of nearly no length, blank images, to 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0)


def _variants(small: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images `[n, S, S, 3]`, mirrored or not, in place or shifted by one pixel."""
    height, width = small.shape[1:3]
    for images in (small, small[:, :, ::-1]):
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        for y, x in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
            yield padded[:, y : y + height, x : x + width]
