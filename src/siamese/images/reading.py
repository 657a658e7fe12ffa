"""Reading picture files of any format, without trusting them.

- Formats: those of `FORMATS`. Vector drawings, camera raw, HEIC and formats that Pillow leaves to
  other programs (EPS runs Ghostscript) are refused; of an animation the first frame is taken.
- A file cannot exhaust the memory: nothing is decoded before its header says that it has no more
  than `MAX_PIXELS`, and no file of more than `MAX_BYTES` is opened. A JPEG of up to four times as
  many is decoded at half its size. No other is: the pixels would not be the same.
- A JPEG that was cut off near its end is read, as viewers do it: see `_cut_short`.
- A picture that came another way, such as in an HTTP request, is read from its bytes alike.
- Many files are read by several threads at once, each decoding one: Pillow decodes and resizes
  without holding Python's lock.
"""

import re
import stat
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO

import joblib
import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from siamese.base.data_params import Fit
from siamese.base.errors import InputError, explained
from siamese.base.image_size import Size
from siamese.base.progress import progress_bar
from siamese.images.fit import fit_image

# Pillow's names. All begin with a signature, so that no other file is taken for one of them, and
# all are decoded in C, so that a small file cannot take minutes. (No ICO: the picture inside may be
# far larger than the header says.)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

# More than any camera of 35 mm format has. Decoding that many takes 0.3 GB of memory at best, 0.9
# as a PNG with transparency (or turned and cropped), 1.7 at worst (JPEG 2000 with transparency).
MAX_PIXELS = 2**26
# An uncompressed file of that many pixels with 16-bit colours.
MAX_BYTES = 2**29
# Files per thread that are read ahead of the caller: enough for no thread to wait for a slow file.
AHEAD = 4
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of TIFF

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
LOST = 0.05  # share of the rows that a JPEG may lack
# What no JPEG goes on with: without the byte that begins a marker, then between all the markers
# that stand between independent parts of a picture.
_CHANCE = np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8).tobytes()
NOISE = _CHANCE + b"".join(bytes([0xFF, 0xD0 + number]) + _CHANCE for number in range(8))

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
WEB_PAGE = re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE)


def load_image(file: Path | str, size: int | Size, fit: Fit = "pad") -> np.ndarray:
    """Read a picture from a file and bring it to the network's input.

    Args:
        file: of any format in `FORMATS`, whatever its name ends in.
        size: height and width wanted, in pixels; one number if they are the same.
        fit: how it is brought to that size; see `fit_image`.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        InputError: the file is missing, empty, damaged, in no format that can be read, or too
            large. The message names it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, say: the picture can be had
        return _load_image(Path(file), size, fit)


def read_image(
    content: bytes, name: str, size: int | Size, fit: Fit = "pad", most_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a picture from the bytes of its file, as `load_image` does.

    Several threads may do so at once. Pillow's warnings of odd metadata are the caller's to
    silence: filters belong to the process.

    Args:
        content: of the file.
        name: what messages call it.
        size: see `load_image`.
        fit: see `fit_image`.
        most_pixels: up to how many the header may promise. With fewer than `MAX_PIXELS`, a JPEG
            may not have more either: decoded at half its size, it would not give the same pixels.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        InputError: as of `load_image`.
    """
    _check_bytes(len(content), name)
    return _image(BytesIO(content), name, size, fit, most_pixels)


def iter_images(
    files: Sequence[Path],
    size: int | Size,
    fit: Fit = "pad",
    progress: str | None = None,
    workers: int | None = None,
) -> Generator[np.ndarray | InputError, None, None]:
    """Read pictures one after the other, a few ahead of the caller, however many there are.

    To stop before the end, call `close` (`contextlib.closing` does) or drop the generator: files
    that are being decoded are finished, and no more are begun. So it is after an exception or an
    interruption.

    Args:
        files: see `load_image`.
        size: see `load_image`.
        fit: see `fit_image`.
        progress: the label of a progress bar; without one, there is no bar.
        workers: threads that read, at least one; None takes as many as this process may use cores.
            Each may need the memory of one file, and holds at most `AHEAD` results.

    Yields:
        For each file, in the order of `files`: the picture, uint8 `[H, W, 3]`; or, if it
        cannot be read, the error that `load_image` raises.
    """
    workers = max(1, min(joblib.cpu_count() if workers is None else workers, len(files)))
    _formats()  # here, so that Pillow's plugins are not imported by several threads at once

    def image_or_error(file: Path) -> np.ndarray | InputError:
        try:
            return _load_image(Path(file), size, fit)
        except InputError as error:
            # A new one, without the traceback, which holds what was decoded: many may be collected.
            return InputError(*error.args)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[Future[np.ndarray | InputError]] = deque()
    bar = progress_bar(progress, "image", total=len(files))
    # Once for all threads, since filters belong to the process; and for Pillow's warnings alone,
    # since the caller runs in between.
    with bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            for file in files:
                waiting.append(pool.submit(image_or_error, file))
                if len(waiting) == AHEAD * workers:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _load_image(file: Path, size: int | Size, fit: Fit) -> np.ndarray:
    """Do what `load_image` does, except for warnings, which no thread can silence on its own."""
    _check_file(file)
    try:
        with file.open("rb") as stream:
            return _image(stream, str(file), size, fit)
    except OSError as error:
        raise _refused(file, error) from None


def _image(
    stream: IO[bytes], name: str, size: int | Size, fit: Fit, most_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a picture from a stream that can seek.

    Raises:
        InputError: it is no picture that can be read, or too large.
        OSError: the system does not give it.
    """
    try:
        return _decoded(stream, name, size, fit, most_pixels)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_no_picture(stream)}") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too many pixels ({error}); make it smaller") from None
    except MemoryError:
        raise InputError(f"{name}: decoding it takes more memory than there is") from None
    except Exception as error:  # a decoder trips over damaged bytes in many ways
        if isinstance(error, OSError) and error.errno is not None:  # not the decoder, the system
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: cannot be decoded ({reason}); is it damaged?") from None


def _decoded(
    stream: IO[bytes], name: str, size: int | Size, fit: Fit, most_pixels: int
) -> np.ndarray:
    """Do what `_image` does; decoders raise what they like."""
    try:
        with _open(stream, name, most_pixels) as image:
            return fit_image(image, size, fit)
    except OSError as error:
        stream.seek(0)
        content = stream.read()
        if error.errno is not None or not content.startswith(JPEG_START):
            raise
    with _cut_short(content, name, most_pixels) as image:
        return fit_image(image, size, fit)


def _open(stream: IO[bytes], name: str, most_pixels: int) -> Image.Image:
    """Open a picture, not decoded yet, after making sure that its pixels are not too many."""
    try:
        image: Image.Image = Image.open(stream, formats=_formats())
    except Image.DecompressionBombError:  # Pillow's own limit, which counts whole pictures
        stream.seek(0)
        if stream.read(len(JPEG_START)) != JPEG_START:
            raise
        stream.seek(0)
        image = JpegImageFile(stream)
    _check_pixels(image, name, most_pixels)
    return image


def _cut_short(content: bytes, name: str, most_pixels: int) -> Image.Image:
    """Open a JPEG that cannot be decoded, as viewers do it: with the mark of its end added.

    The decoder fills what is missing with a plain colour, and does not say how much that is. So the
    picture is compared with what it would be if it went on: the rows above the first difference are
    all there. Those of a progressive one may lack detail that would have followed.

    Raises:
        OSError: more than `LOST` of the rows are missing; or something else is wrong.
    """
    content = content.rstrip(JPEG_END[:1])  # half a marker
    image = _open(BytesIO(content + JPEG_END), name, most_pixels)
    other = _open(BytesIO(content + NOISE + JPEG_END), name, most_pixels)
    if differing := ImageChops.difference(image, other).getbbox():
        n_missing = image.height - differing[1]
        if n_missing > LOST * image.height:
            raise OSError(f"truncated: the lower {n_missing / image.height:.0%} are missing")
    return image


def _no_picture(stream: IO[bytes]) -> str:
    """Say what a file is that no decoder knows, and what to do."""
    stream.seek(0)
    start = stream.read(1024)
    if start.startswith(LFS_POINTER):
        return "a Git LFS pointer, not the picture itself; `git lfs pull` fetches that"
    if WEB_PAGE.search(start):
        return "a web page, not a picture, as after a failed download; fetch it again"
    return (
        f"not a picture that can be read; expected one of {', '.join(_formats())}: convert it, or"
        " leave it out"
    )


def _refused(file: Path, error: OSError) -> InputError:
    """Return the error of a file that the system does not give."""
    error.filename = str(file)
    return InputError(explained(error))


@cache
def _formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that this build of Pillow can read."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_file(file: Path) -> None:
    """Make sure, from outside, that there is a file, and one that may be opened."""
    try:
        status = file.stat()
    except OSError as error:
        raise _refused(file, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{file}: a folder; expected a picture file")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe may wait for ever, reading a device never end.
        raise InputError(f"{file}: not a regular file; save the picture to one first")
    _check_bytes(status.st_size, str(file))


def _check_bytes(size: int, name: str) -> None:
    """Make sure that there is something to read, and not too much."""
    if size == 0:
        raise InputError(f"{name}: an empty file; expected a picture")
    if size > MAX_BYTES:
        raise InputError(f"{name}: {size:,} bytes; expected at most {MAX_BYTES:,}: make it smaller")


def _check_pixels(image: Image.Image, name: str, most_pixels: int) -> None:
    """Make sure, before anything is decoded, that no more pixels will be than are allowed."""
    width, height = image.size
    limit = most_pixels
    if isinstance(image, JpegImageFile) and width * height > most_pixels >= MAX_PIXELS:
        image.draft(None, (width // 2, height // 2))
        limit *= 4
    tags = getattr(image, "tag_v2", {})  # a tile of a TIFF may be larger than the picture
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)
    if max(image.width * image.height, tile) > most_pixels:
        raise InputError(
            f"{name}: too many pixels: {width:,} x {height:,}; expected at most {limit:,} in all:"
            " make it smaller"
        )
