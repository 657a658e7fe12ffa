"""Reading picture files of any format, without trusting them.

- Formats: those of `FORMATS`. Vector drawings, camera raw, HEIC and formats that Pillow leaves to
  other programs (EPS runs Ghostscript) are refused; of an animation the first frame is taken.
- A file cannot exhaust the memory: nothing is decoded before its header says that it has no more
  than `MAX_PIXELS`, and no file of more than `MAX_BYTES` is opened.
- Many files are read by several threads at once, each decoding one: Pillow decodes and resizes
  without holding Python's lock.
"""

import os
import stat
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from siamese.base.data_params import Fit
from siamese.base.errors import InputError
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


def load_image(file: Path | str, size: int, fit: Fit = "pad") -> np.ndarray:
    """Read a picture from a file and bring it to the network's input.

    Args:
        file: of any format in `FORMATS`, whatever its name ends in.
        size: height and width wanted, in pixels.
        fit: what to do with a picture that is not square; see `fit_image`.

    Returns:
        uint8 `[size, size, 3]`.

    Raises:
        InputError: the file is missing, empty, damaged, in no format that can be read, or too
            large. The message names it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, say: the picture can be had
        return _load_image(Path(file), size, fit)


def iter_images(
    files: Sequence[Path],
    size: int,
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
        size: height and width wanted, in pixels.
        fit: see `fit_image`.
        progress: the label of a progress bar; without one, there is no bar.
        workers: threads that read, at least one; None takes as many as this process has cores.
            Each may need the memory of one file, and holds at most `AHEAD` results.

    Yields:
        For each file, in the order of `files`: the picture, uint8 `[size, size, 3]`; or, if it
        cannot be read, the error that `load_image` raises.
    """
    workers = max(1, min(_cores() if workers is None else workers, len(files)))
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


def _load_image(file: Path, size: int, fit: Fit) -> np.ndarray:
    """Do what `load_image` does, except for warnings, which no thread can silence on its own."""
    _check_file(file)
    try:
        with file.open("rb") as stream, Image.open(stream, formats=_formats()) as image:
            _check_pixels(image, file)
            return fit_image(image, size, fit)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            f"{file}: not a picture that can be read; expected one of {', '.join(_formats())}:"
            " convert it, or leave it out"
        ) from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{file}: too many pixels ({error}); make it smaller") from None
    except MemoryError:
        raise InputError(f"{file}: decoding it takes more memory than there is") from None
    except Exception as error:  # a decoder trips over damaged bytes in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file}: cannot be decoded ({reason}); is it damaged?") from None


def _cores() -> int:
    """Return how many cores this process may use, which a container or `taskset` may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows


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
        raise InputError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{file}: a folder; expected a picture file")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe may wait for ever, reading a device never end.
        raise InputError(f"{file}: not a regular file; save the picture to one first")
    if status.st_size == 0:
        raise InputError(f"{file}: an empty file; expected a picture")
    if status.st_size > MAX_BYTES:
        raise InputError(
            f"{file}: {status.st_size:,} bytes; expected at most {MAX_BYTES:,}: make it smaller"
        )


def _check_pixels(image: Image.Image, file: Path) -> None:
    """Make sure, before anything is decoded, that no more pixels are claimed than are allowed."""
    width, height = image.size
    tags = getattr(image, "tag_v2", {})  # a tile of a TIFF may be larger than the picture
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)
    if max(width * height, tile) > MAX_PIXELS:
        raise InputError(
            f"{file}: too many pixels: {width:,} x {height:,}; expected at most {MAX_PIXELS:,} in"
            " all: make it smaller"
        )
