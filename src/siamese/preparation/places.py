"""Where images may lie: where DVC watches them, and nothing of the pipeline overwrites them."""

import os
import shlex
from functools import cache
from pathlib import Path

from siamese.base.data_params import NO_PATH
from siamese.base.errors import InputError
from siamese.images.files import is_passed_over, is_picture
from siamese.repository.git import run_git

# What the pipeline writes; DVC removes these folders before it runs a stage.
OUTPUTS = (
    *("data/raw", "data/prepared", "data/duplicates", "data/pairs", "data/model"),
    *("data/embeddings", "data/pictures", "data/gallery", "data/downloads", "data/weights"),
    "metrics",
)


def check_places(path: Path, images: Path, workspace: Path) -> list[str]:
    """Refuse places for images that DVC could not watch, or would empty.

    Args:
        path: `data.path`, relative to the workspace or absolute.
        images: `data.images`, in the same way.
        workspace: the folder that holds dvc.yaml.

    Returns:
        Warnings of places that other machines, or temporary copies of the workspace, will not have.

    Raises:
        InputError: a path leads out of the workspace without being absolute, or is part of what the
            pipeline writes, or holds it; or its name is not UTF-8.
    """
    places = {"data.path": path} | ({} if images == Path(NO_PATH) else {"data.images": images})
    root = workspace.resolve()
    for key, given in places.items():
        if not _is_plain(given):
            raise InputError(
                f"{key} is {str(given)!r}, a name that is not UTF-8, or none; neither params.yaml"
                " nor DVC can hold it: rename it"
            )
        # Not Path.resolve, which raises where links lead to one another.
        place = Path(os.path.realpath(root / given))
        if not given.is_absolute() and not place.is_relative_to(root):
            raise InputError(
                f"{key} is {given}, which leads out of the repository: a temporary copy, as `dvc"
                " exp run --temp` makes it, would look elsewhere. Write it as an absolute path,"
                f" {place}; or bring the folder into the repository and `dvc add` it, so that"
                " others have it too"
            )
        for output in OUTPUTS:
            folder = root / output
            if place.is_relative_to(folder) or folder.is_relative_to(place):
                raise InputError(
                    f"{key} is {given}, but {output} is what the pipeline itself writes; move the"
                    " images to a folder of their own, data/images perhaps"
                )
    notes = [_untracked_note(place, key, workspace) for key, place in places.items()]
    return [note for note in notes if note]


def _is_plain(path: Path) -> bool:
    try:
        return b"\0" not in str(path).encode()
    except UnicodeEncodeError:
        return False


def _untracked_note(path: Path, key: str, workspace: Path) -> str | None:
    """Return a warning if there are images that neither DVC nor Git knows."""
    if path.is_absolute():
        is_inside = Path(os.path.realpath(path)).is_relative_to(workspace.resolve())
        where = "an absolute path" if is_inside else "outside the repository"
        return (
            f"note: {key} is {path}, {where}: this machine alone can run `prepare`. `dvc add` a"
            " folder of the repository, so that others can pull it"
        )
    by_git, by_nobody = _tracking(path, workspace)
    if not by_nobody:
        return None
    known = "`dvc exp run --temp`, `--queue` and other machines will not find"
    named = shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
    if not by_git:
        return (
            f"note: neither DVC nor Git tracks {path} ({key}): {known} it; `dvc add {named}` makes"
            " it known"
        )
    # Of a folder in which Git tracks anything, DVC takes nothing.
    return (
        f"note: of {by_git + len(by_nobody):,} images in {path} ({key}) Git tracks {by_git:,}:"
        f" {known} the others, {by_nobody[0]} for example; `git add {named}` makes them known, or"
        f" `git rm -r -q --cached {named} && dvc add {named}` leaves all of them to DVC"
    )


def _tracking(path: Path, workspace: Path) -> tuple[int, list[str]]:
    """Return how many images in a folder Git tracks, and those that neither Git nor DVC does.

    Where there is no Git, or no repository, nobody expects it to track anything: there are none.
    """
    try:
        # What Git ignores counts: a temporary copy lacks it all the same.
        listing = ("ls-files", "-z", "-t", "--cached", "--others", "--")
        listed = run_git(workspace, *listing, str(path))
    except InputError:
        return 0, []
    by_git, by_nobody = 0, []
    in_dvc = cache(lambda place: (workspace / f"{place}.dvc").is_file())
    for line in filter(None, os.fsdecode(listed.stdout).split("\0")):
        tag, _, name = line.partition(" ")
        file = Path(name)
        is_image = is_picture(name) and not any(map(is_passed_over, file.parts))
        # The last two are a table, and a Git repository in the folder, which Git does not enter.
        if not (is_image or file == path or name.endswith("/")):
            continue
        if tag != "?":
            by_git += 1
        elif not any(in_dvc(place) for place in (file, *file.parents)):
            by_nobody.append(name)
    return by_git, by_nobody
