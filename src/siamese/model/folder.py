"""The model folder: self-contained, to be carried anywhere and loaded in one line.

`model.safetensors` holds the weights and the channel statistics, `network.json` what rebuilds the
network around them, `classes.json` the names of the labels it was trained on, `verification.json`
the distance thresholds calibrated on validation. `weights.json`, where training started from
pretrained weights, says which, and under which licence.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from siamese.base.data_params import Fit
from siamese.base.dataset import Classes
from siamese.base.errors import InputError, no_such_file
from siamese.base.files import write_json
from siamese.base.image_size import written
from siamese.base.weights_folder import Origin
from siamese.model.calibration import Calibration
from siamese.model.description import ORIGIN, describe, read_origin
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import NetworkParams, SiameseNetwork

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """A trained network with what is needed to use it.

    Attributes:
        network: in evaluation mode.
        params: what the network was built from.
        classes: names of the labels it was trained on, in label order.
        calibration: distance thresholds for "the same class", from the validation split.
        fit: how images were brought to its size; see `siamese.images.fit.fit_image`.
        origin: where the weights are from that training started with; None if they were random.
    """

    network: SiameseNetwork
    params: NetworkParams
    classes: Classes
    calibration: Calibration
    fit: Fit = "pad"
    origin: Origin | None = None

    @property
    def description(self) -> str:
        """Which network it is, how large its images are, and what its training started from."""
        return describe(self.params.architecture, self.network.image_size, self.origin)

    def embed(self, images: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Embed images of the size the network was trained on.

        Args:
            images: uint8 `[N, H, W, 3]`.
            batch_size: images computed at once; see `siamese.network.embedding.embed_images`.

        Returns:
            float32 `[N, embedding_dim]`.

        Raises:
            InputError: the images have another type or shape.
        """
        high, wide = self.network.image_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (high, wide, 3):
            raise InputError(
                f"expected images as uint8 [N, {high}, {wide}, 3],"
                f" found {images.dtype} {list(images.shape)}"
            )
        return embed_images(self.network, images, batch_size)


def save_model(model: Model, folder: Path) -> None:
    """Write a model into an existing folder; equal models give equal bytes."""
    weights = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    # Not `save_file`, whose files no other user of the machine can read.
    (folder / "model.safetensors").write_bytes(save(weights))
    description = {
        "format": FORMAT,
        "image_size": written(model.network.image_size),
        "fit": model.fit,
        "network": model.params.model_dump(),
    }
    write_json(folder / "network.json", description)
    write_json(folder / "classes.json", model.classes.to_json())
    write_json(folder / "verification.json", model.calibration.to_json())
    if model.origin:
        write_json(folder / ORIGIN, asdict(model.origin))


def load_model(folder: Path | str, device: torch.device | str = "cpu") -> Model:
    """Load a model folder.

    Raises:
        InputError: a file is missing, damaged or of another format.
    """
    folder = Path(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise no_such_file(weights, f"is {folder} a model folder?")
    description = _read(folder / "network.json")
    if description.get("format") != FORMAT:
        raise InputError(
            f"{folder / 'network.json'}: format {description.get('format')!r}, expected {FORMAT};"
            " the model was saved by another version: train it again"
        )
    try:
        params = NetworkParams(**description["network"])
        network = SiameseNetwork(params, description["image_size"])
        network.load_state_dict(load_file(weights))
        classes = Classes.from_json(_read(folder / "classes.json"))
        calibration = Calibration.from_json(_read(folder / "verification.json"))
        fit = description.get("fit", "pad")  # older models had no choice
        origin = read_origin(folder)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: this model folder is damaged: {error}") from None
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    return Model(network, params, classes, calibration, fit, origin)


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise no_such_file(file, f"is {file.parent} a model folder?") from None
    except ValueError as error:
        raise InputError(f"{file}: cannot be read as JSON: {error}") from None
