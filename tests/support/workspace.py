"""A Git repository with the pipeline in it, for tests that run real `dvc` commands."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from siamese.base.params import read_document
from siamese.cli.profiles import override

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (
    *(".dvcignore", ".gitattributes", ".gitignore", "dvc.yaml", "stages", "src"),
    *("data/.gitignore", "data/none"),
)
# Smaller than the demo: what is tested is how the stages play together, not the accuracy.
# Longer steps, so that something is learned in the few that there are.
SMALL = {
    "pairs": {"epochs": 2},
    "train": {"learning_rate": 0.1},
    "evaluate": {"sheet_queries": 2, "sheet_neighbours": 2},
    "compute": {"threads": 1},  # see tests/conftest.py
}


@dataclass(frozen=True)
class Workspace:
    """A Git repository with the pipeline in it."""

    path: Path

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command there, the tests' Python first on the path; return all it printed."""
        bin_folder = str(Path(sys.executable).parent)
        environment = os.environ | {
            "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
            "COLUMNS": "120",
        }
        for name in ("SIAMESE_ARCHIVE", "SIAMESE_WEIGHTS"):
            environment.pop(name, None)
        done = subprocess.run(
            command,
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, fails=fails)

    def siamese(self, *arguments: str, fails: bool = False) -> str:
        """Run this checkout's command line: what is installed may be another's."""
        python = ("env", f"PYTHONPATH={ROOT / 'src'}", sys.executable)
        return self.run(*python, "-m", "siamese.cli.main", *arguments, fails=fails)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")
        return self.run("git", *identity, *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def change_params(self, changes: dict) -> None:
        params = read_document(self.path / "params.yaml")
        override(params, changes, "test")
        (self.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def copy_to(self, target: Path) -> "Workspace":
        shutil.copytree(self.path, target, symlinks=True)
        return Workspace(target)


def new_workspace(path: Path) -> Workspace:
    """Make a repository of the project as it stands here, set to the digits, nothing run yet."""
    for name in PROJECT:
        source, target = ROOT / name, path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copyfile(source, target)
    (path / "metrics").mkdir()
    workspace = Workspace(path)
    params = read_document(ROOT / "params.yaml")
    override(params, read_document(ROOT / "demo.yaml"), "demo.yaml")
    override(params, SMALL, "SMALL")
    (path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    workspace.git("init", "-q")
    workspace.dvc("init", "-q")
    shutil.copyfile(ROOT / ".dvc" / "config", path / ".dvc" / "config")
    workspace.commit("the project")
    return workspace
