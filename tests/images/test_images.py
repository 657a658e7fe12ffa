"""Pictures of every kind, made here with Pillow or byte by byte, and files that mean harm."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from siamese.base.errors import InputError
from siamese.images import images as images_module
from siamese.images.images import (
    AHEAD,
    FORMATS,
    IMAGE_SUFFIXES,
    MAX_BYTES,
    MAX_PIXELS,
    Fit,
    find_images,
    fit_image,
    iter_images,
    load_image,
    load_images,
)

FITS: tuple[Fit, ...] = get_args(Fit)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
# Flat corners, so that what compresses with losses keeps them apart: red, green / blue, white.
CORNERS = np.zeros((32, 32, 3), np.uint8)
CORNERS[:16, :16, 0] = CORNERS[:16, 16:, 1] = CORNERS[16:, :16, 2] = 255
CORNERS[16:, 16:] = 255


def saved(picture: Image.Image, file: Path, **options: object) -> Path:
    picture.save(file, **options)  # type: ignore[arg-type]
    return file


def grey(values: np.ndarray) -> np.ndarray:
    """What a grey picture comes out as: three equal channels."""
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def close(image: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    return bool((np.abs(image.astype(int) - expected.astype(int)) <= tolerance).all())


# Formats


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.gif", "a.webp", "a.jp2"])
def test_what_compresses_without_losses_comes_back_as_it_is(name: str, tmp_path: Path) -> None:
    colours = NOISE if name != "a.gif" else CORNERS[::4, ::4]  # GIF has 256 colours
    options = {"lossless": True} if name == "a.webp" else {}
    file = saved(Image.fromarray(colours), tmp_path / name, **options)
    image = load_image(file, 8)
    assert image.dtype == np.uint8
    assert (image == colours).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.jpeg"])
def test_what_compresses_with_losses_comes_back_nearly(name: str, tmp_path: Path) -> None:
    file = saved(Image.fromarray(CORNERS), tmp_path / name, quality=95)
    image = load_image(file, 32)
    for row, column in ((4, 4), (4, 28), (28, 4), (28, 28)):
        assert close(image[row, column], CORNERS[row, column], 12)


def test_the_content_decides_on_the_format_and_not_the_name(tmp_path: Path) -> None:
    file = saved(Image.fromarray(NOISE), tmp_path / "a.jpg", format="PNG")
    assert (load_image(str(file), 8) == NOISE).all()


def test_a_phones_picture_of_several_pictures_is_its_first(tmp_path: Path) -> None:
    second = Image.new("RGB", (32, 32))
    options = {"format": "MPO", "save_all": True, "append_images": [second], "quality": 95}
    file = saved(Image.fromarray(CORNERS), tmp_path / "a.jpg", **options)
    assert Image.open(file).format == "MPO"
    assert close(load_image(file, 32)[4, 4], CORNERS[4, 4], 12)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif", "a.avif"])
def test_the_first_frame_of_an_animation(name: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    file = saved(first, tmp_path / name, save_all=True, append_images=[second] * 3)
    assert getattr(Image.open(file), "n_frames", 1) > 1
    assert close(load_image(file, 8), np.full((8, 8, 3), (255, 0, 0)), 3)


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


def test_a_palette_with_shades_of_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(CORNERS).quantize(4)
    shades = bytes([128] * 4)
    file = saved(palette, tmp_path / "a.png", transparency=shades)
    assert close(load_image(file, 32), over_white(CORNERS, np.full((32, 32), 128)), 1)


def test_colours_of_print_and_of_video(tmp_path: Path) -> None:
    inks = Image.fromarray(CORNERS).convert("CMYK")
    assert (load_image(saved(inks, tmp_path / "a.tif"), 32) == CORNERS).all()
    image = load_image(saved(inks, tmp_path / "a.jpg", quality=95), 32)
    assert close(image[4, 4], CORNERS[4, 4], 12)
    video = Image.fromarray(CORNERS).convert("YCbCr")
    assert close(load_image(saved(video, tmp_path / "b.tif"), 32), CORNERS, 2)


def png(width: int, height: int, bits: int, colour_type: int, lines: bytes, *more: bytes) -> bytes:
    """A PNG file: its header, what `more` there is, and `lines` (a filter byte before each)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )


def png16(values: np.ndarray) -> bytes:
    """A 16-bit PNG of grey, `[H, W]`, or colour, `[H, W, 3]`; Pillow writes no coloured one."""
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 0 if values.ndim == 2 else 2, lines)


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
    ],
)
def test_numbers_of_32_bits(values: list, expected: list[int], tmp_path: Path) -> None:
    is_float = isinstance(values[0][0], float)
    array = np.array(values * 3, np.float32 if is_float else np.int32)
    picture = Image.fromarray(array)
    assert picture.mode == ("F" if is_float else "I")
    file = saved(picture, tmp_path / "a.tif")
    assert (load_image(file, 3) == grey(np.array([expected] * 3))).all()


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
@pytest.mark.parametrize("orientation", TURNED)
def test_turned_as_exif_says(name: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95} if name == "a.jpg" else {}
    options |= {"lossless": True} if name == "a.webp" else {}
    file = saved(Image.fromarray(CORNERS), tmp_path / name, exif=exif, **options)
    image, upright = load_image(file, 32), TURNED[orientation](CORNERS)
    for row, column in ((4, 4), (4, 28), (28, 4), (28, 28)):
        assert close(image[row, column], upright[row, column], 12)


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


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    size=st.integers(1, 20),
    fit=st.sampled_from(FITS),
    mode=st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I"]),
)
def test_any_shape_and_mode_fits_and_a_plain_colour_stays_one(
    width: int, height: int, size: int, fit: Fit, mode: str
) -> None:
    picture = Image.new("L", (width, height), 255)
    picture = picture.convert("P").convert(mode) if mode == "PA" else picture.convert(mode)
    image = fit_image(picture, size, fit)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert (image == 255).all()


@given(st.integers(1, 30), st.sampled_from(FITS))
def test_a_picture_of_the_right_size_stays_as_it_is(size: int, fit: Fit) -> None:
    square = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    assert (fit_image(Image.fromarray(square), size, fit) == square).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (5000, 4999)])
@pytest.mark.parametrize("fit", FITS)
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
    with pytest.raises(InputError, match="fit is 'stretch'; expected `pad` or `crop`"):
        fit_image(Image.fromarray(NOISE), 8, "stretch")  # type: ignore[arg-type]


# Files that cannot be used


def absurd_header(tmp_path: Path) -> Path:
    file = tmp_path / "absurd.png"
    file.write_bytes(png(2**31 - 1, 2**31 - 1, 16, 6, b""))
    return file


def bomb(tmp_path: Path) -> Path:
    """17,000 x 17,000 black pixels: nearly 300 million in a third of a megabyte."""
    packer = zlib.compressobj(9)
    lines = b"".join(packer.compress(bytes(17_001)) for _ in range(17_000)) + packer.flush()
    file = tmp_path / "bomb.png"
    content = png(17_000, 17_000, 8, 0, b"")
    start = content.index(b"IDAT") - 4
    check = zlib.crc32(b"IDAT" + lines)
    packed = struct.pack(">I", len(lines)) + b"IDAT" + lines + struct.pack(">I", check)
    file.write_bytes(content[:start] + packed + content[-12:])
    return file


def just_too_large(tmp_path: Path) -> Path:
    """Allowed by Pillow, without even a warning."""
    file = tmp_path / "large.png"
    file.write_bytes(png(8192, 8193, 1, 0, bytes(1025 * 8193)))
    return file


def with_a_warning(tmp_path: Path) -> Path:
    """Pillow warns of it, in lines of its own."""
    file = tmp_path / "warning.png"
    file.write_bytes(png(10_000, 10_000, 1, 0, b""))
    return file


def large_tile(tmp_path: Path) -> Path:
    """A TIFF of 8 x 8 pixels in a tile of 16,384 x 16,384."""
    file = saved(Image.new("L", (8, 8)), tmp_path / "tile.tif", compression="tiff_adobe_deflate")
    content = bytearray(file.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (n_tags,) = struct.unpack_from("<H", content, start)
    renamed = {273: (324, None), 278: (322, 16384), 279: (325, None)}  # of strips: of tiles
    tags = {}
    for position in range(start + 2, start + 2 + 12 * n_tags, 12):
        tag, kind, count, value = struct.unpack_from("<HHII", content, position)
        new_tag, new_value = renamed.get(tag, (tag, None))
        tags[new_tag] = (kind, count, value if new_value is None else new_value)
    tags[323] = tags[322]
    entries = [struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags)]
    struct.pack_into("<I", content, 4, len(content))
    content += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    file.write_bytes(content)
    return file


def truncated(name: str) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        picture = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        file = saved(picture, tmp_path / name)
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        return file

    return make


def containing(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.png").mkdir()
    return tmp_path / "x.png"


def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path / "pipe.png"


def huge_file(tmp_path: Path) -> Path:
    file = tmp_path / "huge.webp"
    with file.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)  # takes no room on disk
    return file


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8"/></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
USELESS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda tmp_path: tmp_path / "no.png", "no such file"),
    "inside a file": (lambda tmp_path: containing("a", b"x")(tmp_path) / "b", "not a directory"),
    "empty": (containing("empty.png", b""), "an empty file"),
    "folder": (folder, "a folder; expected a picture file"),
    "pipe": (pipe, "not a regular file"),
    "huge file": (huge_file, "536,870,913 bytes; expected at most 536,870,912"),
    "text": (containing("text.png", b"no picture\n" * 100), "not a picture that can be read"),
    "zeros": (containing("zeros.jpg", bytes(5000)), "not a picture that can be read"),
    "SVG": (containing("a.svg", SVG), "not a picture that can be read"),
    "EPS": (containing("a.eps", EPS), "not a picture that can be read"),
    "signature alone": (containing("a.png", b"\x89PNG\r\n\x1a\n"), "cannot be|not a picture"),
    "absurd header": (absurd_header, "too many pixels"),
    "bomb": (bomb, "too many pixels"),
    "just too large": (just_too_large, "too many pixels: 8,192 x 8,193; expected at most 67,108"),
    "larger": (with_a_warning, "too many pixels: 10,000 x 10,000; expected at most 67,108"),
    "large tile": (large_tile, "too many pixels"),
    "half a PNG": (truncated("half.png"), "cannot be decoded .*truncated"),
    "half a JPEG": (truncated("half.jpg"), "cannot be decoded .*truncated"),
    "half a GIF": (truncated("half.gif"), "cannot be decoded"),
    "half a BMP": (truncated("half.bmp"), "cannot be decoded .*truncated"),
    "half a TIFF": (truncated("half.tif"), "cannot be decoded|not a picture"),
    "half a WebP": (truncated("half.webp"), "cannot be decoded|not a picture"),
    "half an AVIF": (truncated("half.avif"), "cannot be decoded|not a picture"),
    "half a JPEG 2000": (truncated("half.jp2"), "cannot be decoded"),
    "half a PPM": (truncated("half.ppm"), "cannot be decoded .*truncated"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", USELESS)
def test_a_useless_file_gives_one_clear_line(kind: str, tmp_path: Path) -> None:
    make, message = USELESS[kind]
    file = make(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        load_image(file, 8)
    text = str(raised.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text


def test_the_file_that_is_refused_for_its_tile_is_one_that_pillow_decodes(tmp_path: Path) -> None:
    with Image.open(large_tile(tmp_path)) as picture:
        assert picture.size == (8, 8)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    file = saved(Image.fromarray(NOISE), tmp_path / "a.png")
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("permissions do not bind this user")
    with pytest.raises(InputError, match=r"a\.png: .*denied"):
        load_image(file, 8)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_bytes_give_a_picture_or_an_input_error(
    damaged: dict[str, tuple[Path, bytes]], name: str, data: st.DataObject
) -> None:
    file, content = damaged[name]
    broken = bytearray(content)
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, min_size=1, max_size=8)):
        broken[place] = value
    file.write_bytes(broken)
    try:
        assert load_image(file, 8).shape == (8, 8, 3)
    except InputError as error:
        assert str(error).startswith(str(file))  # noqa: PT017


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """A file of each format to write damaged copies over, and its sound bytes."""
    target = tmp_path_factory.mktemp("damaged")
    files = {}
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        file = saved(Image.fromarray(CORNERS), target / name, format=name)
        files[name] = file, file.read_bytes()
    return files


def test_of_thousands_of_frames_the_first_alone_is_decoded(tmp_path: Path) -> None:
    one = saved(Image.new("P", (8, 8), 3), tmp_path / "one.gif").read_bytes()
    frame = one[one.index(b",") : -1]
    file = tmp_path / "many.gif"
    # What follows the first frame is no frame at all: whoever looked at it would trip over it.
    file.write_bytes(one[:-1] + (frame + b"\x99" * 10) * 5000)
    assert (load_image(file, 8) == load_image(tmp_path / "one.gif", 8)).all()


# Not by getrusage, whose peak counts what the process was before it became this one.
MEASURED = """
import sys
from pathlib import Path
from siamese.images.images import load_image

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
load_image(sys.argv[1], 32)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("colour_type", "bits", "channels", "limit_mb"),
    [(2, 8, 3, 300), (6, 8, 4, 900), (0, 16, 1, 900)],  # colour, with transparency, 16-bit grey
)
def test_the_largest_picture_takes_the_memory_that_is_documented(
    colour_type: int, bits: int, channels: int, limit_mb: int, tmp_path: Path
) -> None:
    side = int(MAX_PIXELS**0.5)
    assert side**2 == MAX_PIXELS
    line = bytes(1 + side * channels * bits // 8)
    file = tmp_path / "largest.png"
    file.write_bytes(png(side, side, bits, colour_type, line * side))
    command = [sys.executable, "-c", MEASURED, str(file)]
    path = os.pathsep.join(filter(None, [*sys.path]))
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert side**2 < int(done.stdout) < limit_mb * 1e6


# Several files


def test_those_that_cannot_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    good = [
        saved(Image.new("RGB", (8, 8), (value, 0, 0)), tmp_path / f"{value}.png")
        for value in range(3)
    ]
    broken = containing("text.png", b"no picture")(tmp_path)
    missing = tmp_path / "missing.png"
    images, positions, errors = load_images([good[0], broken, good[1], missing, good[2]], 4)
    assert images.dtype == np.uint8
    assert images.shape == (3, 4, 4, 3)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert positions == [0, 2, 4]
    assert [str(error).partition(":")[0] for error in errors] == [str(broken), str(missing)]


def test_none_of_no_files() -> None:
    images, positions, errors = load_images([], 4)
    assert images.shape == (0, 4, 4, 3)
    assert positions == errors == []


def test_many_are_fitted_like_one(tmp_path: Path) -> None:
    picture = Image.fromarray(RNG.integers(0, 256, (5, 9, 3), dtype=np.uint8))
    file = saved(picture, tmp_path / "a.png")
    images = {fit: load_images([file], 4, fit=fit)[0][0] for fit in FITS}
    for fit in FITS:
        assert (images[fit] == load_image(file, 4, fit)).all()
    assert (images["pad"] != images["crop"]).any()


@pytest.mark.parametrize("workers", [None, 0, 1, 2, 7])
def test_one_after_the_other_in_the_order_of_the_files(workers: int | None, tmp_path: Path) -> None:
    # The first of ten is large, so that the others are ready before it.
    shapes = [(900, 1200, 3) if row % 10 == 0 else (5, 9, 3) for row in range(60)]
    pictures = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    files = [
        saved(Image.fromarray(picture), tmp_path / f"{row}.png", compress_level=1)
        for row, picture in enumerate(pictures)
    ]
    files[7] = tmp_path / "missing.png"
    files[31].write_bytes(b"no picture")
    for fit in FITS:
        found = list(iter_images(files, 4, fit, workers=workers))
        assert len(found) == len(files)
        for row, (file, image) in enumerate(zip(files, found, strict=True)):
            if row in (7, 31):
                with pytest.raises(InputError) as raised:
                    load_image(file, 4, fit)
                assert isinstance(image, InputError)
                assert str(image) == str(raised.value)
            else:
                assert np.array_equal(np.asarray(image), load_image(file, 4, fit))
    assert not of_the_pool()


def of_the_pool() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("images")]


class Reader:
    """Takes the place of decoding: takes a moment, and counts how often it is asked."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.begun: list[Path] = []

    def __call__(self, file: Path, size: int, fit: Fit) -> np.ndarray:
        self.begun.append(file)
        time.sleep(self.seconds)
        return np.full((size, size, 3), int(file.name), np.uint8)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(images_module, "_load_image", reader)
    return reader


MANY = [Path(str(row % 256)) for row in range(10_000)]


def test_no_more_are_read_ahead_than_the_threads_need(reader: Reader) -> None:
    with closing(iter_images(MANY, 2, workers=3)) as images:
        for taken in range(1, 6):
            next(images)
            expected, deadline = 3 * AHEAD + taken - 1, time.monotonic() + 60
            while len(reader.begun) < expected and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.1)  # for reading to go on, if it does
            assert len(reader.begun) == expected


def test_several_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(10, timeout=60)  # none passes before ten are there

    def read(file: Path, size: int, fit: Fit) -> np.ndarray:
        together.wait()
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(images_module, "_load_image", read)
    assert len(list(iter_images(MANY[:40], 2, workers=10))) == 40


def test_whoever_stops_early_leaves_no_thread_behind(reader: Reader) -> None:
    reader.seconds = 0.05
    images = iter_images(MANY, 2, workers=2)
    next(images)
    assert of_the_pool()
    images.close()
    assert not of_the_pool()
    assert len(reader.begun) <= 2 * AHEAD

    def fail() -> None:
        for _ in iter_images(MANY, 2, workers=2):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()  # and forgets about the images
    assert not of_the_pool()


def test_an_interruption_ends_it_promptly(reader: Reader) -> None:
    reader.seconds = 0.1
    # A shell starts what runs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.55, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in iter_images(MANY, 2, workers=2):
                pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - started < 60, "of 500 seconds"
    assert not of_the_pool()


def test_an_error_holds_nothing_of_what_was_decoded(tmp_path: Path) -> None:
    (error,) = iter_images([truncated("half.jpg")(tmp_path)], 4)
    assert isinstance(error, InputError)
    assert error.__traceback__ is error.__context__ is error.__cause__ is None


@pytest.mark.filterwarnings("error")
def test_pillows_warnings_are_silenced_and_the_callers_are_not(tmp_path: Path) -> None:
    # Pillow warns of more pixels than it thinks usual, before they are counted here.
    files = [with_a_warning(tmp_path), saved(Image.fromarray(NOISE), tmp_path / "a.png")]
    before = list(warnings.filters)
    images = iter_images(files * 20, 8, workers=2)
    with closing(images):
        for image, name in zip(images, ["bomb", "a"] * 20, strict=True):
            with pytest.warns(DeprecationWarning, match="the caller's own"):
                warnings.warn("the caller's own", DeprecationWarning, stacklevel=1)
            assert ("too many pixels: 10,000 x 10,000" in str(image)) == (name == "bomb")
    assert warnings.filters == before


# Finding them


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files, empty, in folders; it is the working folder."""
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "cats/one.webp",
        "cats/deep/two.gif",
        "cats/x.png/three.tiff",
        "cats/.cache/four.png",
        "odd[1].png",
        "without",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


IN_CATS = ["cats/deep/two.gif", "cats/one.webp", "cats/x.png/three.tiff"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.png"], ["b.png"]),
        (["notes.txt", "without", ".hidden.png"], [".hidden.png", "notes.txt", "without"]),
        (["cats"], IN_CATS),
        (["."], ["a.JPG", "b.png", *IN_CATS, "odd[1].png"]),
        (["*.png"], ["b.png", "odd[1].png"]),
        (["*"], ["a.JPG", "b.png", *IN_CATS, "odd[1].png"]),
        (["cats/**/*.gif"], ["cats/deep/two.gif"]),
        (["**/t*"], ["cats/deep/two.gif", "cats/x.png/three.tiff"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["b.png", "cats/../b.png", "*.png", Path("b.png")], ["b.png", "odd[1].png"]),
        (["cats", "cats/deep", "b.png"], ["b.png", *IN_CATS]),
        ([], []),
    ],
)
def test_what_is_found(paths: list[Path | str], expected: list[str], tree: Path) -> None:
    assert [str(file) for file in find_images(paths)] == expected


def test_absolute_paths_and_patterns(tree: Path) -> None:
    expected = [tree / "b.png", tree / "odd[1].png"]
    assert find_images([tree / "*.png"]) == expected
    assert find_images([str(tree / "b.png"), tree / "odd[1].png"]) == expected


@pytest.mark.parametrize("path", ["no.png", "no/", "empty", "*.bmp", "empty/*", "*.txt"])
def test_a_path_that_stands_for_nothing_is_named(path: str, tree: Path) -> None:
    with pytest.raises(InputError) as raised:
        find_images(["b.png", path])
    assert str(raised.value).startswith(f"{path}: no ")


def test_a_link_to_nothing_is_left_to_the_reader(tree: Path) -> None:
    (tree / "link.png").symlink_to("nothing")
    assert find_images(["link.png"]) == [Path("link.png")]
    with pytest.raises(InputError, match=r"link\.png: no such file"):
        load_image("link.png", 8)


def test_folders_that_contain_themselves_are_searched_once(tree: Path) -> None:
    (tree / "cats" / "again").symlink_to(tree / "cats")
    assert [str(file) for file in find_images(["cats"])] == IN_CATS


@given(st.lists(st.sampled_from(["b.png", "cats", "*.png", "cats/*", "."]), max_size=6))
def test_sorted_and_none_twice(tree_once: Path, names: list[str]) -> None:
    found = find_images([tree_once / name for name in names])
    assert all(one < other for one, other in pairwise(found))
    assert found == find_images([tree_once / name for name in {*names}])


@pytest.fixture(scope="module")
def tree_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tree")
    for name in ("b.png", "c.png", "cats/one.png", "cats/deep/two.gif"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).touch()
    return target


def test_the_suffixes_are_those_of_the_formats() -> None:
    """By Pillow's own table, each belongs to one of the formats, and each format has one."""
    Image.init()
    format_of = Image.registered_extensions()
    names = {format_of[suffix] for suffix in IMAGE_SUFFIXES}
    # Two are read as part of another: a phone's JPEG with further pictures, a BMP without header.
    assert names - {"MPO", "DIB"} <= set(FORMATS)
    assert {name for name in FORMATS if name in Image.OPEN} <= names
