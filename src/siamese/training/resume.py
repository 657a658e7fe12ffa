"""Unfinished training, kept so that a killed run goes on where it stood.

The file lies outside the stage's outputs, which DVC removes before it runs the stage. Its name is a
fingerprint of everything that the result depends on: a run with another parameter, other data or
other code never picks it up. It is deleted when training ends, so that a forced run really runs.
"""

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from siamese.base.files import new_file


def fingerprint(determinants: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for `determinants`, any JSON-like content."""
    text = json.dumps(determinants, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ResumeFile:
    """The state of one unfinished training run.

    Args:
        folder: where such files are kept; made if need be.
        name: the fingerprint of what determines the run's result.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.pt"

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the state saved last, tensors on `device`.

        None if there is none, or a damaged one: the run then starts anew, and says so.
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
            torch.save(state, stream)
            # On the disk before the rename is: a power cut, too, leaves one of the two.
            stream.flush()
            os.fsync(stream.fileno())

    def delete(self) -> None:
        """Remove the saved state, for the run is complete."""
        self.path.unlink(missing_ok=True)
