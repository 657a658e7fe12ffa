"""Any picture, brought to the network's input: the one way by which this whole project does it.

Whatever the file, the outcome is uint8 `[size, size, 3]`, red, green and blue:

- Formats: those of `FORMATS`. Vector drawings, camera raw, HEIC and formats that Pillow leaves to
  other programs (EPS runs Ghostscript) are refused; of an animation the first frame is taken.
- Orientation: turned as EXIF says, so that the network sees what a viewer shows.
- Transparency: laid over white, the paper that logos, drawings and cut-out photos are made for.
  The colours that are stored under transparent pixels are anything, often black.
- 16-bit values keep their higher byte, as Pillow does it for colour. 32-bit whole numbers and
  floats carry no full scale: white is the smallest of 1, 255 and 65,535 that no value exceeds, else
  the greatest value; what is negative or no number is black.
- CMYK and other colour spaces are converted by Pillow without colour management, and profiles are
  ignored: neither did the makers of the usual training sets look at them.
- Proportions are kept. `pad` makes the longer side `size` and repeats the outermost pixels on both
  sides of the shorter one; `crop` takes the square in the middle. The edge is repeated, rather than
  a colour chosen, because there is no colour that suits all: a digit on black continues in black, a
  product on white in white, and a photo has no line where it ends, which a network that has only
  seen full squares would take for part of the object.
- Resampling: Pillow's bicubic filter, which averages where it makes an image smaller. An image of
  the right size stays as it is, byte by byte.

A file cannot exhaust the memory: nothing is decoded before its header says that it has no more than
`MAX_PIXELS`, nor is a file of more than `MAX_BYTES` opened. Many files are read by several threads
at once, each decoding one: Pillow decodes and resizes without holding Python's lock.
"""

import glob
import os
import stat
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from tqdm import tqdm

from siamese.base.data_params import Fit
from siamese.base.errors import InputError

# Pillow's names. All begin with a signature, so that no other file is taken for one of them, and
# all are decoded in C, so that a small file cannot take minutes. (No ICO: the picture inside may be
# far larger than the header says.)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib"}
    | {".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm"}
)

# More than any camera of 35 mm format has. Decoding that many takes 0.3 GB of memory at best, 0.9
# as a PNG with transparency (or turned and cropped), 1.7 at worst (JPEG 2000 with transparency).
MAX_PIXELS = 2**26
# An uncompressed file of that many pixels with 16-bit colours.
MAX_BYTES = 2**29
# Files a thread that are read ahead of the caller: enough for no thread to wait for a slow file.
AHEAD = 4

FULL_SCALES = (1, 255, 65_535)
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

    Whoever stops before the end calls `close` (`contextlib.closing` does), or drops the generator:
    the files that are being decoded are finished, and no more are begun. An exception in between,
    an interruption as well, ends it the same way.

    Args:
        files: see `load_image`.
        size: height and width wanted, in pixels.
        fit: see `fit_image`.
        progress: the label of a progress bar, on a terminal; none, if left out.
        workers: threads that read, one at least; as many as there are cores for this process, if
            left out. Each may need the memory of one file, and holds at most `AHEAD` results.

    Yields:
        For each file, in the order of `files`: the picture, uint8 `[size, size, 3]`; or, if it
        cannot be read, the error that `load_image` raises.
    """
    workers = max(1, min(_cores() if workers is None else workers, len(files)))
    _formats()  # here, so that Pillow's plugins are not imported by several threads at once
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[Future[np.ndarray | InputError]] = deque()
    bar = tqdm(total=len(files), desc=progress, unit="image", disable=None if progress else True)
    # Once for all threads, since filters belong to the process; and for Pillow's warnings alone,
    # since the caller runs in between.
    with bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            for file in files:
                waiting.append(pool.submit(_image_or_error, file, size, fit))
                if len(waiting) == AHEAD * workers:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def load_images(
    files: Sequence[Path], size: int, progress: str | None = None, fit: Fit = "pad"
) -> tuple[np.ndarray, list[int], list[InputError]]:
    """Read many pictures; one that cannot be read does not stop the others.

    Args:
        files: see `load_image`.
        size: height and width wanted, in pixels.
        progress: the label of a progress bar, on a terminal; none, if left out.
        fit: see `fit_image`.

    Returns:
        The pictures that could be read, uint8 `[n, size, size, 3]`, in the order of `files`; the
        position of each in `files`; and for each other file, in order, what `load_image` raised.
    """
    images = np.empty((len(files), size, size, 3), dtype=np.uint8)
    positions: list[int] = []
    errors: list[InputError] = []
    for position, found in enumerate(iter_images(files, size, fit, progress)):
        if isinstance(found, InputError):
            errors.append(found)
        else:
            images[len(positions)] = found
            positions.append(position)
    return images[: len(positions)], positions, errors


def find_images(paths: Sequence[Path | str]) -> list[Path]:
    """List the picture files that a person means by some paths.

    Args:
        paths: each a file, which is taken whatever its name; a folder, searched with all folders
            in it; or a glob with `*`, `?`, `[…]` or `**`, which stands for the files and folders
            that it matches. In folders and for globs, files count whose name ends in one of
            `IMAGE_SUFFIXES`, in small letters or capitals; hidden ones, and links to folders inside
            a folder, are passed over.

    Returns:
        The files, sorted, none twice.

    Raises:
        InputError: a path does not exist, or there is no picture in a folder or for a glob.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _find(path):
            found.setdefault(file.resolve(), file)
    return sorted(found.values())


def fit_image(image: Image.Image, size: int, fit: Fit = "pad") -> np.ndarray:
    """Bring an opened picture to the network's input, as the top of this module says.

    Args:
        image: of any mode and size; it stays as it is. Whether decoding it may take too much memory
            is for the caller to know: `load_image` checks that.
        size: height and width wanted, in pixels.
        fit: `pad` keeps all of the picture and repeats its outermost pixels where it is too short;
            an odd pixel goes to the bottom or right. `crop` keeps the square in its middle.

    Returns:
        uint8 `[size, size, 3]`.

    Raises:
        InputError: there is no such `fit`.
    """
    if fit not in get_args(Fit):
        raise InputError(f"fit is {fit!r}; expected `pad` or `crop`")
    image.load()  # some formats turn themselves here
    turn = _turn(image)
    colours = _colours(image)
    if turn is not None:
        colours = colours.transpose(turn)
    return _padded(colours, size) if fit == "pad" else _cropped(colours, size)


def _image_or_error(file: Path, size: int, fit: Fit) -> np.ndarray | InputError:
    try:
        return _load_image(Path(file), size, fit)
    except InputError as error:
        # Anew, without the traceback, which holds what was decoded: many may be collected.
        return InputError(*error.args)


def _load_image(file: Path, size: int, fit: Fit) -> np.ndarray:
    """Do what `load_image` does, but for warnings: threads cannot silence them each for itself."""
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


def _find(path: Path | str) -> list[Path]:
    """Return the files that one path stands for, one at least."""
    if Path(path).is_dir():
        files = list(images_in(Path(path)))
    elif os.path.lexists(path):
        return [Path(path)]
    elif glob.has_magic(str(path)):
        # Not Path.glob, which takes no absolute patterns and finds hidden files.
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207
        files = [file for match in matches for file in _matched(Path(match))]
    else:
        raise InputError(f"{path}: no such file or folder")
    if not files:
        raise InputError(
            f"{path}: no picture there; expected a file whose name ends in one of"
            f" {', '.join(sorted(IMAGE_SUFFIXES))}, or give the file itself"
        )
    return files


def _matched(match: Path) -> Iterator[Path]:
    if match.is_dir():
        yield from images_in(match)
    elif is_picture(match.name):
        yield match


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the picture files in a folder and all folders in it, as `find_images` counts them."""
    for inner, _, names in visible(folder):
        yield from (inner / name for name in names if is_picture(name))


def is_picture(name: str) -> bool:
    """Tell from its name whether a file is taken for a picture."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def visible(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and all folders in it, links aside, with the names of folders and files there.

    Names that begin with a dot are passed over.

    Raises:
        InputError: a folder cannot be searched.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be searched ({error.strerror})") from None

    for inner, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield Path(inner), folders, [name for name in files if not name.startswith(".")]


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


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata; the picture is there all the same
        return None


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
        return (np.asarray(image) >> 8).astype(np.uint8)
    values = np.array(image, dtype=np.float32)  # changed in place below: it may be large
    values[~np.isfinite(values)] = 0
    np.maximum(values, 0, out=values)
    greatest = float(values.max())
    white = next((scale for scale in FULL_SCALES if greatest <= scale), greatest)
    values *= 255 / white
    return np.rint(values, out=values).astype(np.uint8)


def _padded(image: Image.Image, size: int) -> np.ndarray:
    longer = max(image.size)
    width, height = (max(1, round(side * size / longer)) for side in image.size)
    inner = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))  # (h, w, 3)
    above, left = (size - height) // 2, (size - width) // 2
    if (width, height) == (size, size):
        return inner
    sides = (above, size - height - above), (left, size - width - left), (0, 0)
    return np.pad(inner, sides, mode="edge")


def _cropped(image: Image.Image, size: int) -> np.ndarray:
    width, height = image.size
    side = min(width, height)
    if width != height:
        left, top = (width - side) // 2, (height - side) // 2
        # Not by `resize(box=...)`, which looks at pixels beyond the box.
        image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
