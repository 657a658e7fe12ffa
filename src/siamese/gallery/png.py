"""Images as the bytes of PNG files, which is how a gallery stores them: nothing is lost."""

import io

import numpy as np

from siamese.base.data_params import Fit
from siamese.base.image_size import Size


def encode_png(image: np.ndarray) -> bytes:
    """Return an image, uint8 `[H, W, 3]`, as the bytes of a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return stream.getvalue()


def decode_png(content: bytes) -> np.ndarray:
    """Return the image that `encode_png` was given."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def resized(image: np.ndarray, size: Size, fit: Fit = "pad") -> np.ndarray:
    """Return an image, uint8 `[H, W, 3]`, brought to a size; one that has it stays as it is."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    from siamese.images.fit import fit_image

    return fit_image(Image.fromarray(image), size, fit)
