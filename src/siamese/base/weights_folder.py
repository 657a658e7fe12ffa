"""The weights that training starts from, as the stage `weights` leaves them: `data/weights`.

`weights.json` says which they are; `weights.safetensors`, beside it, is there if there are any.
This module needs neither torch nor safetensors.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from siamese.base.errors import InputError
from siamese.base.files import reading, write_json

NONE = "none"  # the source of random weights


@dataclass(frozen=True)
class Origin:
    """Where weights are from: what a model that started from them says of them.

    Attributes:
        source: a name on Hugging Face (`hf:owner/name`), a URL or a file.
        sha256: of the file of safetensors, 64 hexadecimal digits.
        license: as its makers name it; empty if that is not known.
    """

    source: str
    sha256: str
    license: str


@dataclass(frozen=True)
class Weights:
    """Weights that a network starts from.

    Attributes:
        file: safetensors.
        origin: where they are from.
    """

    file: Path
    origin: Origin


def save_weights(weights: Weights | None, folder: Path) -> None:
    """Copy weights into an existing folder, or say there that there are none."""
    if weights is None:
        write_json(folder / "weights.json", {"source": NONE})
        return
    shutil.copyfile(weights.file, folder / "weights.safetensors")
    write_json(folder / "weights.json", asdict(weights.origin))


def read_weights(folder: Path) -> Weights | None:
    """Return the weights in a folder that `save_weights` wrote; None if training starts from none.

    Raises:
        InputError: a file is missing or damaged.
    """
    with reading(folder / "weights.json", "weights") as file:
        content = json.loads(file.read_text(encoding="utf-8"))
        origin = None if content["source"] == NONE else Origin(**content)
    if origin is None:
        return None
    file = folder / "weights.safetensors"
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; `dvc repro weights` makes it")
    return Weights(file, origin)
