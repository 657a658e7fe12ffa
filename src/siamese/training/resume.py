"""Unfinished training, kept so that a killed run can continue where it was.

The file lies outside the stage's outputs, which DVC removes before it runs the stage. Its name
stands for everything that the result depends on: a run with another parameter, other data or other
code never picks it up. It is deleted when training ends, so that a forced run really runs.
"""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from siamese.base.files import new_file, sha256
from siamese.base.params import PARAMS_FILE, read_document


def run_name(stage: str, ran_on: dict[str, str], root: Path = Path()) -> str:
    """Return 16 hexadecimal digits that stand for all that decides the result of a stage.

    These are the parameters and files that `dvc.yaml` lists for it, and what it runs on. DVC itself
    is not needed.

    Args:
        stage: its name in `dvc.yaml`.
        ran_on: device, precision and the like, which the files do not tell.
        root: the folder of `dvc.yaml`.

    Raises:
        InputError: `dvc.yaml` or `params.yaml` cannot be read.
    """
    declared = read_document(root / "dvc.yaml")["stages"][stage]
    document = read_document(root / PARAMS_FILE)
    determinants = {
        "ran_on": ran_on,
        "params": {name: _value(document, name) for name in declared["params"]},
        "files": {
            str(file.relative_to(root)): sha256(file)
            for path in declared["deps"]
            for file in _files(root / path)
        },
    }
    text = json.dumps(determinants, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _value(document: dict[str, Any], name: str) -> Any:
    """Return the value of a parameter, `section.key`, or of a whole section."""
    value: Any = document
    for key in name.split("."):
        value = value[key]
    return value


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or all files of a folder."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


class ResumeFile:
    """The state of one unfinished training run.

    Args:
        folder: where such files are kept; made if need be.
        name: stands for all that decides the run's result; see `run_name`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.pt"

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the state saved last, tensors on `device`.

        None if there is none, or a damaged one: the run then starts from its beginning, and says
        so.
        """
        try:
            return torch.load(self.path, map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            print(f"{self.path} is damaged: training starts from the beginning", flush=True)
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state in one rename: a kill leaves the old state or the new one."""
        with new_file(self.path) as partial, partial.open("wb") as stream:
            # By way of memory: a full disk then raises the system's error, not one of PyTorch's.
            content = io.BytesIO()
            torch.save(state, content)
            stream.write(content.getbuffer())
            # It must be on the disk before the rename is: a power cut, too, leaves one of the two.
            stream.flush()
            os.fsync(stream.fileno())

    def delete(self) -> None:
        """Remove the saved state, for the run is complete."""
        self.path.unlink(missing_ok=True)
