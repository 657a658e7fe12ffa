"""The files that a table lists, compared with those in the folder that it is about."""

import os
import unicodedata
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath

import pandas as pd

from siamese.base.errors import InputError
from siamese.images.files import is_picture, visible
from siamese.preparation.listing import refuse_link


def match_files(path: Path, names: pd.Series, images: Path) -> tuple[pd.Series, list[str]]:
    r"""Return the files of a table as they are called in a folder.

    A name may have `\` for `/`, and may begin with the end of the folder's own path, if the file is
    there without it.

    Args:
        path: the table.
        names: of the files, a row each.
        images: the folder.

    Returns:
        The names, with slashes and relative to the folder, also where there is no such file; and
        sentences on rows without a file, and pictures without a row.

    Raises:
        InputError: a name leads out of the folder, or where DVC does not watch; or there is none of
            the files.
    """
    present = {
        (inner / name).relative_to(images).as_posix()
        for inner, _, files in visible(images)
        for name in files
    }
    found, missing = [], []
    for row, name in enumerate(names, start=1):
        file = str(PurePosixPath(name.replace(os.sep, "/")))
        if file not in present:
            file = next((other for other in _other_names(file, images) if other in present), file)
        if file not in present:
            _check_name(path, row, file, images, present)
            # Not Path.is_file, which raises if a name is too long.
            if not os.path.isfile(images / file):  # noqa: PTH113
                missing.append((row, file))
        found.append(file)
    notes = []
    if missing:
        row, file = missing[0]
        example = f"row {row} is {file!r}{_likeness(file, images, present)}"
        if len(missing) == len(found):
            raise InputError(
                f"{path}: none of the {len(found):,} files that it lists is in {images}"
                f" (data.images); {example}"
            )
        notes.append(
            f"note: {path}: {len(missing):,} of {len(found):,} rows have no file in {images};"
            f" {example}. `prepare` treats them as unreadable (data.unreadable)"
        )
    if without := sorted(filter(is_picture, present.difference(found))):
        notes.append(
            f"note: {images}: {len(without):,} pictures are in no row of {path}, for example"
            f" {without[0]!r}"
        )
    return pd.Series(found, index=names.index, dtype=object), notes


def _other_names(file: str, images: Path) -> list[str]:
    """Return what else a name may mean: with slashes, and without the end of the folder's path."""
    slashed = PurePosixPath(file.replace("\\", "/"))
    parts, above = slashed.parts, images.parts
    return [str(slashed)] + [
        "/".join(parts[count:])
        for count in range(1, min(len(parts) - 1, len(above)) + 1)
        if parts[:count] == above[-count:] and not slashed.is_absolute()
    ]


def _check_name(path: Path, row: int, file: str, images: Path, present: AbstractSet[str]) -> None:
    """Refuse the name of a file that lies where DVC does not watch it, or can lie nowhere."""
    name = PurePosixPath(file)
    if name.is_absolute() or ".." in name.parts:
        raise InputError(
            f"{path}: row {row}: the file is {file!r}; expected a path below data.images, relative"
            f" to it{_likeness(file, images, present)}"
        )
    if "\0" in file:
        raise InputError(f"{path}: row {row}: the file is {file!r}; no name has a NUL")
    for folder in list(name.parents)[:-1]:
        refuse_link(images / folder, "data.images")


def _likeness(file: str, images: Path, present: AbstractSet[str]) -> str:
    """Return the end of a message on a file that is not there: which may be meant, and why."""
    wanted = _slashed_parts(file)
    alike = [other for other in sorted(present) if _aliases(wanted[-1]) & _aliases(other)]
    if not alike:
        pictures = sorted(filter(is_picture, present))
        return f"; the folder has {pictures[0]!r}" if pictures else "; there is no picture"
    other = max(alike, key=lambda name: _n_common(wanted, _slashed_parts(name)))
    slashed, ending = "/".join(wanted), PurePosixPath(other).suffix
    advice = ""
    if other == f"{slashed}{ending}":
        advice = f": `siamese adopt --suffix {ending}` (data.table.suffix) adds what is missing"
    elif other.endswith(f"/{slashed}"):
        advice = f": let data.images be {images / other.removesuffix(slashed)}"
    elif slashed.endswith(other):
        advice = f": take {file[: -len(other)]!r} off the names in the table"
    elif _folded(other) == _folded(slashed):
        advice = ": capitals or accents are written in another way"
    elif PurePosixPath(other).with_suffix("") == PurePosixPath(slashed).with_suffix(""):
        advice = ": the extension is another one"
    return f"; the folder has {other!r}{advice}"


def _slashed_parts(file: str) -> list[str]:
    return file.replace("\\", "/").split("/")


def _aliases(file: str) -> set[str]:
    """Return a file's name without folders, and that without its extension, in small letters."""
    name = PurePosixPath(_folded(file))
    return {name.name, name.stem} - {""}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _n_common(first: list[str], second: list[str]) -> int:
    """Count the last parts of two paths that are the same; the very last counts as such."""
    same = [_folded(a) == _folded(b) for a, b in zip(first[-2::-1], second[-2::-1], strict=False)]
    return [*same, False].index(False)
