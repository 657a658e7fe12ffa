"""An opened picture, brought to the network's input: the one way in the whole project.

Whatever the picture, the outcome is uint8 `[H, W, 3]`, red, green and blue:

- Orientation: turned as EXIF says, so that the network sees what a viewer shows.
- Transparency: laid over white, the paper that logos, drawings and cut-out photos are made for.
  The colours that are stored under transparent pixels are arbitrary, often black.
- 16-bit values keep their higher byte, as Pillow does it for colour; a TIFF that says it has 12
  bits keeps the higher 8 of those. A 16-bit file that a 12-bit camera filled says nothing of the
  kind, and comes out dark, as a dark picture of 16 bits does.
- 32-bit whole numbers and floats carry no full scale: white is the smallest of 1, 255 and 65,535
  that the values exceed by no more than a quarter, else their greatest. One value in a thousand
  does not count, and what exceeds white is white: single hot pixels, and what sharpening and
  resizing add beyond an edge, must not make the picture black. Negative values and NaN are black.
- CMYK and other colour spaces are converted by Pillow without colour management, and profiles are
  ignored: the makers of the usual training sets did not look at them either.
- Proportions are kept. `pad` makes the picture as large as fits into `H x W`, and repeats its
  outermost pixels where it is too short or too narrow; `crop` takes the largest part of these
  proportions from its middle. The edge is repeated because no one colour suits all: a digit on
  black continues in black, a product on white in white, and a photo has no line where it ends. A
  network that has only seen full images would take such a line for part of the object.
- `ink` is for writing: what is written becomes black on white, whatever it was written with, and
  fills the image; see `siamese.images.ink`.
- Resampling: Pillow's bicubic filter, which averages where it makes an image smaller. An image of
  the right size stays as it is, byte by byte.
"""

from typing import get_args

import numpy as np
from PIL import ExifTags, Image

from siamese.base.data_params import Fit
from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides
from siamese.images.ink import ink_alone

FULL_SCALES = (1, 255, 65_535)
OVERSHOOT = 1.25
COUNTED = 0.999  # share of the values that must not exceed it
BITS_PER_SAMPLE = 258  # tag of TIFF
# How to turn a picture upright, by the value of EXIF's tag Orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def fit_image(image: Image.Image, size: int | Size, fit: Fit = "pad") -> np.ndarray:
    """Bring an opened picture to the network's input, as the top of this module says.

    Args:
        image: of any mode and size; it stays as it is. The caller makes sure that decoding it does
            not take too much memory, as `load_image` does.
        size: height and width wanted, in pixels; one number if they are the same.
        fit: `pad` keeps all of the picture and repeats its outermost pixels where it is too short;
            an odd pixel goes to the bottom or right. `crop` keeps what is in its middle. `ink`
            keeps what is written.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        InputError: `fit` is unknown.
    """
    if fit not in get_args(Fit):
        raise InputError(f"fit is {fit!r}; expected `pad`, `crop` or `ink`")
    image.load()  # some formats turn themselves here
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata, which the picture can do without
        turn = None
    colours = _colours(image)
    if turn is not None:
        colours = colours.transpose(turn)
    bring = {"pad": _padded, "crop": _cropped, "ink": ink_alone}[fit]
    return bring(colours, sides(size))


def _colours(image: Image.Image) -> Image.Image:
    """Return a picture of any mode in mode RGB: itself, if it is."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(image))
    elif image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        over_white = Image.new("RGB", image.size, "white")
        over_white.paste(image, mask=image.getchannel("A"))
        return over_white
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Return values of 16 or 32 bits, or floats, as uint8 `[height, width]`."""
    # Pillow reads 16-bit PNG and PGM as 32-bit numbers in some versions.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        (bits, *_) = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
        return (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    values = np.array(image, dtype=np.float32)  # changed in place below: it may be large
    values[~np.isfinite(values)] = 0
    np.maximum(values, 0, out=values)
    greatest = float(np.quantile(values, COUNTED, method="higher"))
    white = next((scale for scale in FULL_SCALES if greatest <= OVERSHOOT * scale), greatest)
    np.minimum(values, white, out=values)
    values *= 255 / white
    return np.rint(values, out=values).astype(np.uint8)


def _padded(image: Image.Image, size: Size) -> np.ndarray:
    (high, wide), (width, height) = size, image.size
    # Of the two, the side that the picture fills.
    if width * high >= height * wide:
        height, width = max(1, round(height * wide / width)), wide
    else:
        height, width = high, max(1, round(width * high / height))
    inner = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))  # (h, w, 3)
    if (height, width) == size:
        return inner
    above, left = (high - height) // 2, (wide - width) // 2
    beyond = (above, high - height - above), (left, wide - width - left), (0, 0)
    return np.pad(inner, beyond, mode="edge")


def _cropped(image: Image.Image, size: Size) -> np.ndarray:
    (high, wide), (width, height) = size, image.size
    # Of the two, the side that is kept whole.
    if width * high >= height * wide:
        part = max(1, round(height * wide / high)), height
    else:
        part = width, max(1, round(width * high / wide))
    if part != image.size:
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        # Not by `resize(box=...)`, which looks at pixels beyond the box.
        image = image.crop((left, top, left + part[0], top + part[1]))
    return np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC))
