"""Git as this project runs it: in the folder it is given, whoever calls.

A Git hook, for one, sets variables that lead every Git process to the repository of the hook. And
what stands in a person's Git configuration is meant for that person's own commits.
"""

import os
import subprocess
from pathlib import Path

from siamese.base.errors import InputError

# Of the user's configuration, reading needs only what makes a repository readable
# (`safe.directory`, `GIT_CEILING_DIRECTORIES`). These would change what is read, or run programs.
_READING = ("core.autocrlf=false", f"core.attributesFile={os.devnull}", "core.fsmonitor=false")
_KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_OWN = (
    *(*_READING, f"core.hooksPath={os.devnull}"),
    *("user.name=review", "user.email=review@localhost"),
)


def git(folder: Path, *arguments: str) -> str:
    """Return what a Git command prints that reads the repository around a folder.

    Raises:
        InputError: it failed; the message quotes Git. Or there is no Git.
    """
    return _printed(run_git(folder, *arguments), arguments)


def run_git(
    folder: Path, *arguments: str, given: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a Git command that reads the repository around a folder. It may fail.

    Paths among the arguments are names, not patterns.

    Args:
        folder: where the command runs.
        arguments: after `git`.
        given: its standard input.

    Raises:
        InputError: there is no Git.
    """
    environment = environment_of_nobody() | {"GIT_LITERAL_PATHSPECS": "1"}
    return _run(folder, _READING, arguments, environment, given)


def own_git(folder: Path, *arguments: str) -> str:
    """Return what a Git command prints in a repository that is the project's own, as `.review/` is.

    Neither the caller's environment nor any configuration but that repository's has a say. The
    folder itself holds `.git`; a repository above it is never touched.

    Raises:
        InputError: it failed; the message quotes Git. Or there is no Git.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    } | {
        "GIT_DIR": ".git",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "XDG_CONFIG_HOME": os.devnull,  # where Git looks for `git/ignore` and `git/attributes`
    }
    return _printed(_run(folder, _OWN, arguments, environment), arguments)


def environment_of_nobody() -> dict[str, str]:
    """Return the environment without what leads Git to another repository than that of its folder.

    For programs that use Git themselves, as DVC does. The configuration stays.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }


def _run(
    folder: Path,
    settings: tuple[str, ...],
    arguments: tuple[str, ...],
    environment: dict[str, str],
    given: bytes | None = None,
) -> subprocess.CompletedProcess[bytes]:
    options = [word for setting in settings for word in ("-c", setting)]
    try:
        return subprocess.run(
            ["git", *options, *arguments],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
        )
    except FileNotFoundError:
        raise InputError("`git` is not on the path; it is what reads revisions here") from None


def _printed(done: subprocess.CompletedProcess[bytes], arguments: tuple[str, ...]) -> str:
    # Names of files need not be UTF-8.
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {os.fsdecode(done.stderr).strip()}")
    return os.fsdecode(done.stdout)
