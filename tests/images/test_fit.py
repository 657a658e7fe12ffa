"""What pictures of every mode, orientation and shape come out as."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from siamese.base.data_params import Fit
from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides
from siamese.images.fit import fit_image
from siamese.images.reading import load_image
from tests.support.pictures import CORNERS, NOISE, RNG, close, grey, png16, saved, tiff12

FITS: tuple[Fit, ...] = get_args(Fit)
PROPORTIONS: tuple[Fit, ...] = ("pad", "crop")  # what leaves all tones as they are

# Modes


def test_grey_and_bilevel(tmp_path: Path) -> None:
    values = NOISE[..., 0]
    assert (load_image(saved(Image.fromarray(values), tmp_path / "a.png"), 8) == grey(values)).all()
    black_or_white = np.where(values > 127, 255, 0)
    picture = Image.fromarray(values > 127)
    assert picture.mode == "1"
    assert (load_image(saved(picture, tmp_path / "b.png"), 8) == grey(black_or_white)).all()


def test_palette(tmp_path: Path) -> None:
    picture = Image.fromarray(CORNERS).quantize(4)
    assert picture.mode == "P"
    assert (load_image(saved(picture, tmp_path / "a.png"), 32) == CORNERS).all()


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_transparency_shows_white(name: str, tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    alpha[:2], alpha[2:4] = 0, 255
    picture = Image.fromarray(np.dstack([NOISE, alpha]))
    # `exact`: WebP otherwise drops the colours under what is wholly transparent.
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    image = load_image(saved(picture, tmp_path / name, **options), 8)
    assert (image[:2] == 255).all()
    assert (image[2:4] == NOISE[2:4]).all()
    assert close(image, over_white(NOISE, alpha), 1)


def test_transparent_grey_and_transparent_colours_show_white_too(tmp_path: Path) -> None:
    values = NOISE[..., 0].copy()
    alpha = NOISE[..., 1]
    picture = Image.fromarray(np.dstack([values, alpha]))
    assert picture.mode == "LA"
    image = load_image(saved(picture, tmp_path / "a.png"), 8)
    assert close(image, over_white(grey(values), alpha), 1)

    # One colour of a palette, of a grey picture and of a coloured one stands for "transparent".
    palette = Image.fromarray(CORNERS).quantize(4)
    red = palette.getpixel((0, 0))
    file = saved(palette, tmp_path / "b.png", transparency=red)
    expected = CORNERS.copy()
    expected[:16, :16] = 255
    assert (load_image(file, 32) == expected).all()

    values[0, :4] = 7
    values[1:] = np.maximum(values[1:], 8)
    file = saved(Image.fromarray(values), tmp_path / "c.png", transparency=7)
    assert (load_image(file, 8) == grey(np.where(values == 7, 255, values))).all()

    file = saved(Image.fromarray(CORNERS), tmp_path / "d.png", transparency=(255, 0, 0))
    assert (load_image(file, 32) == expected).all()

    file = saved(palette, tmp_path / "e.png", transparency=bytes([128] * 4))  # a shade per colour
    assert close(load_image(file, 32), over_white(CORNERS, np.full((32, 32), 128)), 1)


def test_colours_of_print_and_of_video(tmp_path: Path) -> None:
    inks = Image.fromarray(CORNERS).convert("CMYK")
    assert (load_image(saved(inks, tmp_path / "a.tif"), 32) == CORNERS).all()
    image = load_image(saved(inks, tmp_path / "a.jpg", quality=95), 32)
    assert close(image[4, 4], CORNERS[4, 4], 12)
    video = Image.fromarray(CORNERS).convert("YCbCr")
    assert close(load_image(saved(video, tmp_path / "b.tif"), 32), CORNERS, 2)


def test_sixteen_bits_keep_their_higher_byte_in_grey_and_in_colour(tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    values[0, :3, 0] = 0, 65535, 32768
    coloured, one = tmp_path / "a.png", tmp_path / "b.png"
    coloured.write_bytes(png16(values))
    assert (load_image(coloured, 8) == values // 256).all()
    one.write_bytes(png16(values[..., 0]))
    assert (load_image(one, 8) == grey(values[..., 0] // 256)).all()


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.pgm", "a.jp2"])
def test_sixteen_bits_in_other_files(name: str, tmp_path: Path) -> None:
    values = RNG.integers(0, 200, (8, 8)).astype(np.uint16) + 20000  # nothing near white
    picture = Image.fromarray(values)
    assert picture.mode == "I;16"
    file = saved(picture, tmp_path / name)
    assert (load_image(file, 8) == grey(values >> 8)).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.4, 1.0]], [0, 102, 255]),  # floats up to 1
        ([[0.0, 100.4, 200.0]], [0, 100, 200]),  # floats of 8 bits
        ([[0.0, 25700.0, 60000.0]], [0, 100, 233]),  # floats of 16 bits
        ([[0.0, 8e5, 2e6]], [0, 102, 255]),  # no known scale: the greatest is white
        ([[-3.0, np.nan, 0.2]], [0, 0, 51]),
        ([[np.inf, -np.inf, 1.0]], [0, 0, 255]),
        ([[0, 100, 200]], [0, 100, 200]),
        ([[-5, 25700, 65535]], [0, 100, 255]),
        ([[0, 2**29, 2**31 - 1]], [0, 64, 255]),
        ([[0, 0, 0]], [0, 0, 0]),
        ([[-0.02, 0.4, 1.02]], [0, 102, 255]),  # sharpened
        ([[0.0, 100.4, 290.0]], [0, 100, 255]),
        ([[0, 25700, 70000]], [0, 100, 255]),
    ],
)
def test_numbers_of_32_bits(values: list, expected: list[int], tmp_path: Path) -> None:
    is_float = isinstance(values[0][0], float)
    array = np.array(values * 3, np.float32 if is_float else np.int32)
    picture = Image.fromarray(array)
    assert picture.mode == ("F" if is_float else "I")
    file = saved(picture, tmp_path / "a.tif")
    assert (load_image(file, 3) == grey(np.array([expected] * 3))).all()


@pytest.mark.parametrize(("white", "hot"), [(1, 40.0), (255, 9000.0), (65_535, 1e9), (8e6, 1e12)])
def test_a_single_hot_pixel_does_not_darken_the_rest(white: float, hot: float) -> None:
    values = np.linspace(0, white, 64 * 64, dtype=np.float32).reshape(64, 64)
    expected = fit_image(Image.fromarray(values), 64).astype(int)
    assert expected.max() == 255
    values[20, 30] = hot
    found = fit_image(Image.fromarray(values), 64).copy()
    assert (found[20, 30] == 255).all()
    found[20, 30] = expected[20, 30]
    assert close(found, expected, 1)


def test_a_file_that_says_it_has_twelve_bits_has_white_at_4095(tmp_path: Path) -> None:
    values = np.arange(16).reshape(4, 4) * 273
    image = load_image(tiff12(values, tmp_path / "a.tif"), 4)
    assert (image == grey(values >> 4)).all()


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_twelve_bits_in_a_file_of_sixteen_come_out_as_any_of_sixteen(
    name: str, tmp_path: Path
) -> None:
    values = RNG.integers(0, 4096, (8, 8)).astype(np.uint16)
    alone = load_image(saved(Image.fromarray(values), tmp_path / name), 8)
    assert (alone == grey(values >> 8)).all()
    values[0, 0] = 65_535  # one pixel decides on nothing
    beside = load_image(saved(Image.fromarray(values), tmp_path / name), 8)
    assert (beside[1:] == alone[1:]).all()


# Orientation

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),  # turn it clockwise to see it upright
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_turned_as_exif_says(name: str, tmp_path: Path) -> None:
    options = {"quality": 95} if name == "a.jpg" else {}
    options |= {"lossless": True} if name == "a.webp" else {}
    for orientation, turned in TURNED.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        file = saved(Image.fromarray(CORNERS), tmp_path / name, exif=exif, **options)
        image, upright = load_image(file, 32), turned(CORNERS)
        for row, column in ((4, 4), (4, 28), (28, 4), (28, 28)):
            assert close(image[row, column], upright[row, column], 12), orientation


def test_a_turned_picture_is_padded_where_it_is_short_once_it_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.zeros((2, 8, 3), np.uint8)
    stored[0] = 255  # the upper line: the right one of the upright picture, 2 wide and 8 high
    file = saved(Image.fromarray(stored), tmp_path / "a.png", exif=exif)
    assert (load_image(file, 8) == np.r_[[0] * 4, [255] * 4][None, :, None]).all()


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    file = saved(Image.fromarray(NOISE), tmp_path / "a.png", exif=b"Exif\0\0no such thing")
    with pytest.raises(SyntaxError), Image.open(file) as picture:
        picture.getexif()
    assert (load_image(file, 8) == NOISE).all()


# Shapes


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def test_a_wide_picture_keeps_its_proportions() -> None:
    wide = RNG.integers(0, 256, (6, 12, 3), dtype=np.uint8)
    padded = fit_image(Image.fromarray(wide), 8, "pad")
    inner = resized(wide, 8, 4)
    assert (padded[2:6] == inner).all()
    assert (padded[:2] == inner[0]).all()
    assert (padded[6:] == inner[3]).all()
    assert (fit_image(Image.fromarray(wide), 8, "crop") == resized(wide[:, 3:9], 8, 8)).all()


def test_a_high_picture_of_odd_width_keeps_its_proportions() -> None:
    high = RNG.integers(0, 256, (7, 4, 3), dtype=np.uint8)
    padded = fit_image(Image.fromarray(high), 7, "pad")
    assert (padded[:, 1:5] == high).all()
    assert (padded[:, :1] == high[:, :1]).all()
    assert (padded[:, 5:] == high[:, 3:]).all()
    assert (fit_image(Image.fromarray(high), 4, "crop") == high[1:5]).all()


def test_a_picture_is_brought_to_a_shape_that_is_not_square() -> None:
    picture = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    padded = fit_image(Image.fromarray(picture), (6, 15), "pad")
    inner = resized(picture, 6, 6)
    assert (padded[:, 4:10] == inner).all()
    assert (padded[:, :4] == inner[:, :1]).all()
    assert (padded[:, 10:] == inner[:, 5:]).all()
    cropped = fit_image(Image.fromarray(picture), (6, 18), "crop")
    assert (cropped == resized(picture[4:8], 18, 6)).all()
    cropped = fit_image(Image.fromarray(picture), (18, 6), "crop")
    assert (cropped == resized(picture[:, 4:8], 6, 18)).all()


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    size=st.integers(1, 20) | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    fit=st.sampled_from(FITS),
    mode=st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I"]),
)
def test_any_shape_and_mode_fits_and_a_plain_colour_stays_one(
    width: int, height: int, size: int | Size, fit: Fit, mode: str
) -> None:
    picture = Image.new("L", (width, height), 255)
    picture = picture.convert("P").convert(mode) if mode == "PA" else picture.convert(mode)
    image = fit_image(picture, size, fit)
    assert image.shape == (*sides(size), 3)
    assert image.dtype == np.uint8
    assert (image == 255).all()


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(PROPORTIONS))
def test_a_picture_of_the_right_size_stays_as_it_is(height: int, width: int, fit: Fit) -> None:
    shape = (height, width, 3)
    picture = np.random.default_rng(width).integers(0, 256, shape, dtype=np.uint8)
    assert (fit_image(Image.fromarray(picture), (height, width), fit) == picture).all()
    if height == width:
        assert (fit_image(Image.fromarray(picture), height, fit) == picture).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (1500, 1499)])
@pytest.mark.parametrize("fit", PROPORTIONS)
def test_extreme_shapes(width: int, height: int, fit: Fit, tmp_path: Path) -> None:
    file = saved(Image.new("RGB", (width, height), (10, 200, 30)), tmp_path / "a.png")
    assert (load_image(file, 32, fit) == (10, 200, 30)).all()


def test_making_it_smaller_averages(tmp_path: Path) -> None:
    board = np.indices((640, 640)).sum(axis=0) % 2 * 255
    file = saved(Image.fromarray(board.astype(np.uint8)), tmp_path / "a.png")
    assert close(load_image(file, 16), np.full((16, 16, 3), 127), 2)


def test_the_opened_picture_is_left_alone() -> None:
    picture = Image.fromarray(np.dstack([NOISE, NOISE[..., 0]]))
    picture.getexif()[ExifTags.Base.Orientation] = 6
    before = picture.copy()
    fit_image(picture, 4, "crop")
    assert picture == before
    assert picture.getexif()[ExifTags.Base.Orientation] == 6


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(InputError, match="fit is 'stretch'; expected `pad`, `crop` or `ink`"):
        fit_image(Image.fromarray(NOISE), 8, "stretch")  # type: ignore[arg-type]
