"""DVC's remotes: is what reaches them installed?"""

from importlib.util import find_spec
from pathlib import Path


def remote_notes(root: Path) -> list[str]:
    """Say which remotes cannot be reached because a package of DVC's is not installed.

    Args:
        root: of the project. Where there is no DVC, nothing is said.
    """
    if not (root / ".dvc").is_dir():
        return []
    from dvc.config import Config
    from dvc.exceptions import DvcException
    from dvc_objects.fs import known_implementations

    try:
        remotes = Config(str(root / ".dvc"))["remote"]
    except DvcException as error:
        return [f"note: DVC's settings in {root / '.dvc'} cannot be read ({error})"]
    notes = []
    for name, remote in remotes.items():
        scheme = remote["url"].partition("://")[0]
        module = known_implementations.get(scheme, {"class": "dvc."})["class"].partition(".")[0]
        if find_spec(module) is None:
            package = module.replace("_", "-")
            wanted = "-c constraints.txt -e '.[s3]'" if scheme == "s3" else package
            notes.append(
                f"note: the remote `{name}` ({remote['url']}) needs {package}, which is not"
                f" installed: pip install {wanted}"
            )
    return notes
