"""One line on the network of a model, for people; it needs no torch."""

import json
from pathlib import Path

from siamese.base.errors import InputError
from siamese.base.image_size import Size, in_words
from siamese.base.weights_folder import Origin

ORIGIN = "weights.json"


def describe(architecture: str, image_size: int | Size, origin: Origin | None) -> str:
    """Say which network it is, how large its images are, and what its training started from."""
    line = f"{architecture}, {in_words(image_size)} pixels"
    if origin is None:
        return line
    return f"{line}, trained from {origin.source} (license: {origin.license or 'not known'})"


def describe_folder(folder: Path) -> str:
    """Say that of a model folder, whose files are all there.

    Raises:
        InputError: what training started from cannot be read.
    """
    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    return describe(network["network"]["architecture"], network["image_size"], read_origin(folder))


def read_origin(folder: Path) -> Origin | None:
    """Return where the weights are from that a model's training started with; None if random.

    Raises:
        InputError: the file that says so is damaged.
    """
    file = folder / ORIGIN
    if not file.exists():
        return None
    try:
        return Origin(**json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); expected source, sha256 and license of the weights"
            " that training started from: train again, or write them there"
        ) from None
