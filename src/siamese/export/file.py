"""The file that `siamese export` writes: one, checked, whole or not at all."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamese.base.dataset import load_dataset
from siamese.base.errors import InputError
from siamese.base.files import new_file
from siamese.base.image_size import Size
from siamese.export.check import check, images_to_check, noise
from siamese.export.graph import to_onnx
from siamese.export.runtime import open_session
from siamese.gallery.model_hash import model_folder_hash
from siamese.model.folder import load_model


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked.

    Attributes:
        network: which it is; see `siamese.model.folder.Model.description`.
        bytes: the size of the file.
        image_size: height and width of its input.
        embedding_dim: values of an embedding.
        difference: the largest from PyTorch; see `siamese.export.check.check`.
        noise: random images that it was checked with.
        images: of the data set, likewise.
    """

    network: str
    bytes: int
    image_size: Size
    embedding_dim: int
    difference: float
    noise: int
    images: int


def export(folder: Path, target: Path, prepared: Path) -> Exported:
    """Write a model folder as one ONNX file, and check that file against PyTorch.

    Args:
        folder: of the model.
        target: the file; one that is there is replaced.
        prepared: the data set's folder, to check with some of its images; noise is enough where
            there is none, or where its images have another size.

    Raises:
        InputError: the extra `onnx` is not installed, `target` is there and no regular file, a
            file cannot be read, or the embeddings differ; then `target` is as it was.
    """
    if target.exists() and not target.is_file():  # a device, say, which a file would replace
        raise InputError(f"{target}: not a regular file; name a file to write, such as model.onnx")
    model = load_model(folder)
    size = model.network.image_size
    proto = to_onnx(model, model_folder_hash(folder))
    made_up, stored = noise(size), some_images(prepared, size)
    with new_file(target) as partial:
        partial.write_bytes(proto.SerializeToString(deterministic=True))
        images = np.concatenate([made_up, stored])
        difference = check(model.network, open_session(partial.read_bytes()), images, str(target))
    return Exported(
        network=model.description,
        bytes=target.stat().st_size,
        image_size=size,
        embedding_dim=model.network.embedding_dim,
        difference=difference,
        noise=len(made_up),
        images=len(stored),
    )


def some_images(prepared: Path, size: Size) -> np.ndarray:
    """Return images from all over a data set, uint8 `[n, H, W, 3]`; n may be 0.

    Raises:
        InputError: the data set is damaged.
    """
    if (prepared / "images.npy").exists():
        images = load_dataset(prepared).images
        if images.shape[1:3] == size:
            return images[:: -(-len(images) // images_to_check(size))]
    return np.empty((0, *size, 3), dtype=np.uint8)
