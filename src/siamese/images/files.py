"""Finding picture files: told by their names, none of them opened."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siamese.base.errors import InputError

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib"}
    | {".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm"}
)
SUFFIX_LIST = ", ".join(sorted(IMAGE_SUFFIXES))

# What NAS and desktop systems put beside the user's files, in lower case: thumbnails, bins,
# snapshots. Names that somebody may give a class are not here.
SYSTEM_NAMES: frozenset[str] = frozenset(
    {"@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@tmp", "#recycle", "#snapshot"}
    | {"$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"}
    | {"__macosx", "network trash folder", "temporary items", "lost+found", "~snapshot"}
)


@dataclass(frozen=True)
class Found:
    """Picture files that were found.

    Attributes:
        files: sorted, each with the folder that it was found in: one that was given or that a glob
            matched, or, of a file, the one that holds it.
        passed_over: how often each name was passed over, see `visible`.
    """

    files: dict[Path, Path] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)


def find_images(paths: Sequence[Path | str]) -> list[Path]:
    """List the picture files that a person means by some paths.

    Args:
        paths: each a file, of any name; a folder, searched with all folders in it; or a glob with
            `*`, `?`, `[…]` or `**`, which stands for the files and folders that it matches. In
            folders and for globs, only files whose name ends in one of `IMAGE_SUFFIXES` count, in
            small letters or capitals; hidden ones, what a system keeps there for itself, and links
            to folders inside a folder, do not.

    Returns:
        The files, sorted, none twice.

    Raises:
        InputError: a path does not exist, there is no picture in a folder or for a glob, or a name
            is not UTF-8.
    """
    return list(find(paths).files)


def find(paths: Sequence[Path | str]) -> Found:
    """Find the picture files that a person means by some paths: see `find_images`."""
    passed_over: Counter[str] = Counter()
    found: dict[Path, tuple[Path, Path]] = {}
    for path in paths:
        if len(paths) > 1 and Path(path).name.lower() in SYSTEM_NAMES:
            # A shell that was given `photos/*` has put it there.
            passed_over[f"{Path(path).name}/"] += 1
            continue
        for file, folder in _find(path, passed_over):
            # Not Path.resolve, which raises where links lead to one another.
            found.setdefault(Path(os.path.realpath(file)), (file, folder))
    return Found(dict(sorted(found.values())), passed_over)


def is_picture(name: str) -> bool:
    """Tell from its name whether a file is taken for a picture."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_passed_over(name: str) -> bool:
    """Tell whether a file or folder is hidden, or what a system keeps there for itself."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def visible(
    folder: Path, passed_over: Counter[str] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and all folders in it, links aside, with the names of folders and files there.

    Args:
        folder: where to begin.
        passed_over: what to count the folders that are passed over in, by their names, and the
            pictures, by their suffixes.

    Raises:
        InputError: a folder cannot be searched, or a name is not UTF-8.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be searched ({error.strerror})") from None

    for inner, folders, files in os.walk(folder, onerror=refuse):
        if passed_over is not None:
            hidden = [name for name in files if is_passed_over(name) and is_picture(name)]
            passed_over.update(f".*{Path(name).suffix.lower()}" for name in hidden)
            passed_over.update(f"{name}/" for name in folders if is_passed_over(name))
        folders[:] = [name for name in folders if not is_passed_over(name)]
        names = [name for name in files if not is_passed_over(name)]
        for name in (*folders, *names):
            _refuse_other_than_utf8(Path(inner, name))
        yield Path(inner), folders, names


def passed_over_note(passed_over: Counter[str]) -> list[str]:
    """Return a note on what was passed over, if anything was."""
    if not passed_over:
        return []
    counts = ", ".join(f"{count:,} {name}" for name, count in passed_over.most_common())
    return [f"note: passed over, as hidden or as what a system keeps for itself: {counts}"]


def _refuse_other_than_utf8(path: Path) -> None:
    """Refuse a name that can neither be printed nor stored, from an old archive perhaps."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"the name {str(path)!r} is not UTF-8; rename it") from None


def _find(path: Path | str, passed_over: Counter[str]) -> list[tuple[Path, Path]]:
    """Return the files that one path stands for, at least one, and the folders they were found in.

    What exists is never taken for a glob.
    """
    _refuse_other_than_utf8(Path(path))
    if os.path.lexists(path):
        matches = [Path(path)]
    elif glob.has_magic(str(path)):
        # Not Path.glob, which takes no absolute patterns and finds hidden files.
        matches = list(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        given = Path(path).parts
        matches = [
            match
            for match in matches
            if (match.is_dir() or is_picture(match.name))
            and not any(is_passed_over(part) for part in match.parts if part not in given)
        ]
    else:
        raise InputError(f"{path}: no such file or folder")
    files = []
    for match in matches:
        if not match.is_dir():
            _refuse_other_than_utf8(match)
            files.append((match, match.parent))
            continue
        for inner, _, names in visible(match, passed_over):
            files += [(inner / name, match) for name in names if is_picture(name)]
    if not files:
        raise InputError(
            f"{path}: no picture there; expected a file whose name ends in one of"
            f" {SUFFIX_LIST}, or give the file itself"
        )
    return files
