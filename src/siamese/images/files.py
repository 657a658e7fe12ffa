"""Finding picture files: told by their names, none of them opened."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from siamese.base.errors import InputError

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib"}
    | {".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm"}
)
SUFFIX_LIST = ", ".join(sorted(IMAGE_SUFFIXES))


def find_images(paths: Sequence[Path | str]) -> list[Path]:
    """List the picture files that a person means by some paths.

    Args:
        paths: each a file, of any name; a folder, searched with all folders in it; or a glob with
            `*`, `?`, `[…]` or `**`, which stands for the files and folders that it matches. In
            folders and for globs, only files whose name ends in one of `IMAGE_SUFFIXES` count, in
            small letters or capitals; hidden ones, and links to folders inside a folder, do not.

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


def _find(path: Path | str) -> list[Path]:
    """Return the files that one path stands for, at least one."""
    if Path(path).is_dir():
        files = list(images_in(Path(path)))
    elif os.path.lexists(path):
        return [Path(path)]
    elif glob.has_magic(str(path)):
        files = []
        # Not Path.glob, which takes no absolute patterns and finds hidden files.
        for match in map(Path, glob.glob(str(path), recursive=True)):  # noqa: PTH207
            if match.is_dir():
                files += images_in(match)
            elif is_picture(match.name):
                files.append(match)
    else:
        raise InputError(f"{path}: no such file or folder")
    if not files:
        raise InputError(
            f"{path}: no picture there; expected a file whose name ends in one of"
            f" {SUFFIX_LIST}, or give the file itself"
        )
    return files
