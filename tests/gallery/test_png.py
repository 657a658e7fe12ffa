"""The pictures that a gallery stores."""

import numpy as np
import pytest

from siamese.gallery.png import decode_png, encode_png


@pytest.mark.parametrize("size", [1, 16, 33])
def test_stored_images_lose_nothing(size: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    grey = np.full((size, size, 3), 7, dtype=np.uint8)
    for pixels in (image, grey):
        np.testing.assert_array_equal(decode_png(encode_png(pixels)), pixels)
