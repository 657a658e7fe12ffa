"""Files of every format, read one by one and many at once, and files that mean harm."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese.base.data_params import Fit
from siamese.base.errors import InputError
from siamese.images import reading
from siamese.images.fit import fit_image
from siamese.images.reading import (
    AHEAD,
    MAX_BYTES,
    MAX_PIXELS,
    iter_images,
    load_image,
    read_image,
)
from tests.support.pictures import CORNERS, NOISE, RNG, close, png, saved

FITS: tuple[Fit, ...] = get_args(Fit)

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


# Files that cannot be used


def absurd_header(tmp_path: Path) -> Path:
    file = tmp_path / "absurd.png"
    file.write_bytes(png(2**31 - 1, 2**31 - 1, 16, 6, b""))
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


def of_size(file: Path, width: int, height: int) -> Path:
    """Make a JPEG claim another size."""
    content = file.read_bytes()
    start = content.index(b"\xff\xc0") + 5
    changed = content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]
    file.write_bytes(changed)
    return file


def huge_jpeg(tmp_path: Path) -> Path:
    return of_size(saved(Image.new("L", (8, 8)), tmp_path / "a.jpg"), 20_000, 20_000)


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
    with Image.open(file) as picture:  # which Pillow takes for a small one
        assert picture.size == (8, 8)
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
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
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
    "Git LFS pointer": (containing("a.png", LFS), "a Git LFS pointer.*; `git lfs pull` fetches"),
    "web page": (containing("a.jpg", PAGE), "a web page, not a picture.*; fetch it again"),
    "signature alone": (containing("a.png", b"\x89PNG\r\n\x1a\n"), "cannot be|not a picture"),
    "absurd header": (absurd_header, "too many pixels"),
    "just too large": (just_too_large, "too many pixels: 8,192 x 8,193; expected at most 67,108"),
    "larger": (with_a_warning, "too many pixels: 10,000 x 10,000; expected at most 67,108"),
    "far too large JPEG": (huge_jpeg, "20,000 x 20,000; expected at most 268,435,456 in all"),
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


# Of the others there are no bytes, or too many to read.
WITH_BYTES = USELESS.keys() - {"missing", "inside a file", "folder", "pipe", "huge file"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", sorted(WITH_BYTES))
def test_bytes_get_the_line_of_their_file(kind: str, tmp_path: Path) -> None:
    file = USELESS[kind][0](tmp_path)
    with pytest.raises(InputError) as of_file:
        load_image(file, 8)
    with pytest.raises(InputError) as of_bytes:
        read_image(file.read_bytes(), "as named", 8)
    found = str(of_bytes.value).removeprefix("as named: ")
    assert found == str(of_file.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "cut.jpg"])
def test_bytes_give_the_picture_of_their_file(name: str, tmp_path: Path) -> None:
    file = saved(photo(700, 60), tmp_path / name)
    if name == "cut.jpg":
        file.write_bytes(file.read_bytes()[:-4])
    for fit in FITS:
        assert (read_image(file.read_bytes(), "a", 16, fit) == load_image(file, 16, fit)).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_bytes_may_have_a_lower_limit_of_pixels(name: str, tmp_path: Path) -> None:
    content = saved(photo(40, 60), tmp_path / name).read_bytes()
    assert read_image(content, "a", 8, most_pixels=2400).shape == (8, 8, 3)
    with pytest.raises(InputError, match=r"^a: too many pixels: 60 x 40; expected at most 2,399 "):
        read_image(content, "a", 8, most_pixels=2399)


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(Image.fromarray(NOISE), tmp_path / "a.png")
    file.chmod(0)
    if os.geteuid() == 0:  # whom permissions do not bind
        tmp_path.chmod(0o755)
        monkeypatch.chdir(tmp_path)
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"^a\.png: permission denied; this user needs"):
            load_image(os.path.relpath(file), 8)
    finally:
        os.seteuid(os.getuid())


def photo(height: int, width: int) -> Image.Image:
    """Shades and noise: every row of blocks has something to say."""
    rows = np.linspace(0, 200, height)[:, None, None] + RNG.integers(0, 50, (height, width, 3))
    return Image.fromarray(rows.astype(np.uint8))


# As cameras and programs write them; the last one in independent parts of a row of blocks each.
JPEGS: dict[str, dict[str, object]] = {
    "plain": {},
    "progressive": {"progressive": True},
    "full colour": {"subsampling": 0, "quality": 95},
    "restart markers": {"restart_marker_rows": 1},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_last_bytes_is_read(kind: str, tmp_path: Path) -> None:
    file = saved(photo(600, 400), tmp_path / "a.jpg", **JPEGS[kind])
    content, whole = file.read_bytes(), load_image(file, 64)
    for n_cut in (1, 2, 60):
        file.write_bytes(content[:-n_cut])
        image = load_image(file, 64)
        assert (image[:60] == whole[:60]).all()
        assert n_cut > 2 or (image == whole).all()
    grey = saved(photo(64, 64).convert("L"), tmp_path / "grey.jpg")
    whole = load_image(grey, 8)
    grey.write_bytes(grey.read_bytes()[:-2])
    assert (load_image(grey, 8) == whole).all()


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_cut_in_the_middle_is_damaged(kind: str, share: float, tmp_path: Path) -> None:
    file = saved(photo(1600, 400), tmp_path / "a.jpg", **JPEGS[kind])
    content = file.read_bytes()
    position = int(share * len(content))
    if kind == "restart markers":  # between two parts, where nothing looks torn
        position = content.index(b"\xff\xd3", position)
    file.write_bytes(content[:position])
    with pytest.raises(InputError, match=r"cannot be decoded .*truncated.* missing.*damaged"):
        load_image(file, 64)


def test_a_jpeg_of_more_pixels_is_decoded_at_half_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shades = np.linspace(0, 255, 2048, dtype=np.uint8)[None, :].repeat(8, axis=0)
    picture = Image.fromarray(shades).resize((65_000, 1_040))
    assert picture.width * picture.height > MAX_PIXELS
    file = saved(picture, tmp_path / "large.jpg")
    small = load_image(saved(picture.reduce(8), tmp_path / "small.png"), 64)
    assert close(load_image(file, 64), small, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**20)  # Pillow's own limit, in another place
    assert close(load_image(file, 64), small, 4)


@pytest.mark.parametrize("shape", [(64, 64), (700, 500)])
def test_all_other_jpegs_are_decoded_whole(shape: tuple[int, int], tmp_path: Path) -> None:
    file = saved(photo(*shape), tmp_path / "a.jpg")
    with Image.open(file) as picture:
        assert (load_image(file, 8) == fit_image(picture, 8)).all()
        assert picture.size == shape[::-1]


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
    # What follows the first frame is no frame at all: decoding it would fail.
    file.write_bytes(one[:-1] + (frame + b"\x99" * 10) * 5000)
    assert (load_image(file, 8) == load_image(tmp_path / "one.gif", 8)).all()


# Not by getrusage, whose peak counts what the process was before it became this one.
MEASURED = """
import sys
from pathlib import Path
from siamese.images.reading import load_image

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


def test_one_after_the_other_in_the_order_of_the_files(tmp_path: Path) -> None:
    # The first of ten is large, so that the others are ready before it.
    shapes = [(600, 900, 3) if row % 10 == 0 else (5, 9, 3) for row in range(40)]
    pictures = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    files = [
        saved(Image.fromarray(picture), tmp_path / f"{row}.png", compress_level=1)
        for row, picture in enumerate(pictures)
    ]
    files[7] = tmp_path / "missing.png"
    files[31].write_bytes(b"no picture")
    assert list(iter_images([], 4)) == []
    for fit in FITS:
        expected = [outcome(file, fit) for file in files]
        assert sum(isinstance(one, str) for one in expected) == 2
        for workers in (None, 0, 1, 2, 7):
            found = iter_images(files, 4, fit, workers=workers)
            for one, image in zip(expected, found, strict=True):
                assert np.array_equal(one, str(image) if isinstance(image, InputError) else image)
            assert not of_the_pool()


def outcome(file: Path, fit: Fit) -> np.ndarray | str:
    """The picture alone, or what is wrong with it."""
    try:
        return load_image(file, 4, fit)
    except InputError as error:
        return str(error)


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
    monkeypatch.setattr(reading, "_load_image", reader := Reader())
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

    monkeypatch.setattr(reading, "_load_image", read)
    assert len(list(iter_images(MANY[:40], 2, workers=10))) == 40


def test_there_are_as_many_threads_as_this_process_may_use_cores(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which joblib finds out, where a container is given a share of them."""
    for n_cores in (1, 3):
        monkeypatch.setattr("joblib.cpu_count", lambda n_cores=n_cores: n_cores)
        with closing(iter_images(MANY, 2)) as images:
            next(images)
            assert len(of_the_pool()) == n_cores


def test_stopping_early_leaves_no_thread_behind(reader: Reader) -> None:
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
