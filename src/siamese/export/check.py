"""How far an exported model's embeddings are from PyTorch's."""

from typing import TYPE_CHECKING

import numpy as np

from siamese.base.errors import InputError
from siamese.base.image_size import Size
from siamese.export.graph import INPUT
from siamese.network.embedding import embed_images, images_at_once
from siamese.network.siamese_network import SiameseNetwork

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# The largest difference allowed between values of vectors of length 1; float32 rounds at 6e-8.
LIMIT = 1e-5
# The first batches compared; the others are one more batch.
BATCHES = (1, 2, 7)
# Images of one kind to compare, at most.
MOST = 64


def images_to_check(size: Size) -> int:
    """Return how many images of one kind to compare: as many as one batch may have, within reason.

    Args:
        size: height and width, in pixels.
    """
    return max(sum(BATCHES), min(MOST, images_at_once(size)))


def noise(size: Size) -> np.ndarray:
    """Return random images, always the same, uint8 `[N, H, W, 3]`."""
    shape = (images_to_check(size), *size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def check(
    network: SiameseNetwork, session: "InferenceSession", images: np.ndarray, name: str
) -> float:
    """Compare PyTorch's embeddings with those of onnxruntime, in batches of several sizes.

    Args:
        network: what was exported.
        session: of what it was exported to.
        images: uint8 `[N, H, W, 3]`, in any order: they are mixed here.
        name: what a message calls the export.

    Returns:
        The largest difference of a value; where a vector is longer than 1, as a share of its
        length.

    Raises:
        InputError: that is more than `LIMIT`, or not a number.
    """
    mixed = np.random.default_rng(1).permutation(images)
    expected = embed_images(network, mixed)
    parts = np.split(mixed, np.cumsum(BATCHES))
    found = np.concatenate([session.run(None, {INPUT: part})[0] for part in parts if len(part)])
    lengths = np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1)
    difference = float(np.max(np.abs(found - expected) / lengths))
    if not difference <= LIMIT:
        raise InputError(
            f"{name}: its embeddings differ by up to {difference:.1e} from PyTorch's, expected at"
            f" most {LIMIT:.0e}; use other releases of torch, onnxscript and onnxruntime, or, if it"
            " is nan, train again with a lower `train.learning_rate`"
        )
    return difference
