"""The hash of a model: embeddings can be compared only if models with one hash made them."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

from siamese.base.errors import InputError, no_such_file

if TYPE_CHECKING:  # torch takes a second or two
    from siamese.model.folder import Model

# What an embedding depends on; class names and thresholds change none.
FILES = ("model.safetensors", "network.json")


def model_folder_hash(folder: Path | str) -> str:
    """Return the SHA-256 of a model folder's weights and network description, joined.

    In a shell: `cat model.safetensors network.json | sha256sum`.

    Raises:
        InputError: one of the files is missing.
    """
    digest = hashlib.sha256()
    for name in FILES:
        file = Path(folder) / name
        try:
            digest.update(file.read_bytes())
        except FileNotFoundError:
            raise no_such_file(file, f"is {folder} a model folder?") from None
    return digest.hexdigest()


def model_hash(model: "Model") -> str:
    """Return the hash of the folder that `save_model` would write for a loaded model.

    Raises:
        InputError: there is no room for a temporary copy.
    """
    from safetensors import SafetensorError

    from siamese.model.folder import save_model

    try:
        with TemporaryDirectory() as folder:
            save_model(model, Path(folder))
            return model_folder_hash(folder)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{gettempdir()}: no temporary copy of the model can be written there ({error}); make"
            " room, or name another folder in TMPDIR"
        ) from None
