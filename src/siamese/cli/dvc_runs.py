"""DVC, started as a program of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese.repository.git import environment_of_nobody


def run_dvc(workspace: Path, *arguments: str, without: Sequence[str] = ()) -> int:
    """Run a DVC command in a workspace; what it prints is seen.

    This Python stands first on the path, for the stages. A Git hook's variables lead DVC nowhere
    else.

    Args:
        workspace: the folder that holds dvc.yaml.
        arguments: after `dvc`.
        without: environment variables that it must not see.

    Returns:
        The exit status.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = environment_of_nobody() | {"PATH": path}
    for name in without:
        environment.pop(name, None)
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.call(command, cwd=workspace, env=environment)
