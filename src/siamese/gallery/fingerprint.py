"""What tells one model from another: its embeddings cannot be compared with another's."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from siamese.base.errors import InputError

if TYPE_CHECKING:  # torch takes a second or two
    from siamese.model.folder import Model

FILES = ("model.safetensors", "network.json")


def folder_fingerprint(folder: Path | str) -> str:
    """Return the SHA-256 of a model folder's weights and network description, joined.

    In a shell: `cat model.safetensors network.json | sha256sum`. Class names and thresholds are
    left out: they change no embedding.

    Raises:
        InputError: one of the files is missing.
    """
    digest = hashlib.sha256()
    for name in FILES:
        file = Path(folder) / name
        try:
            digest.update(file.read_bytes())
        except FileNotFoundError:
            raise InputError(f"{file}: no such file; is {folder} a model folder?") from None
    return digest.hexdigest()


def fingerprint(model: "Model") -> str:
    """Return the fingerprint of the folder that `save_model` would write for a loaded model."""
    from siamese.model.folder import save_model

    with TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        return folder_fingerprint(folder)
