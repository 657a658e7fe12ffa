"""Where images may lie: where DVC watches them, and nothing of the pipeline overwrites them."""

import subprocess
from pathlib import Path

from siamese.base.data_params import NO_PATH
from siamese.base.errors import InputError

# What the pipeline writes; DVC removes these folders before it runs a stage.
OUTPUTS = (
    *("data/raw", "data/prepared", "data/duplicates", "data/pairs", "data/model"),
    *("data/embeddings", "data/pictures", "data/gallery", "data/downloads", "metrics"),
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
            pipeline writes, or holds it.
    """
    places = {"data.path": path} | ({} if images == Path(NO_PATH) else {"data.images": images})
    root = workspace.resolve()
    for key, given in places.items():
        place = (root / given).resolve()
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


def _untracked_note(path: Path, key: str, workspace: Path) -> str | None:
    """Return a warning if neither DVC nor Git knows a folder of the workspace."""
    if path.is_absolute():
        is_inside = path.resolve().is_relative_to(workspace.resolve())
        where = "an absolute path" if is_inside else "outside the repository"
        return (
            f"note: {key} is {path}, {where}: this machine alone can run `prepare`. `dvc add` a"
            " folder of the repository, so that others can pull it"
        )
    if any((workspace / f"{place}.dvc").is_file() for place in (path, *path.parents)):
        return None
    command = ["git", "ls-files", "--cached", "--", str(path)]
    try:
        found = subprocess.run(command, cwd=workspace, capture_output=True, text=True)
    except OSError:
        return None
    if found.returncode or found.stdout:  # not a Git repository, or Git has the folder
        return None
    return (
        f"note: neither DVC nor Git tracks {path} ({key}): `dvc exp run --temp`, `--queue` and"
        f" other machines will not find it; `dvc add {path}` makes it known"
    )
