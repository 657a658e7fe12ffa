"""A model that onnxruntime computes instead of PyTorch, on the CPU.

    from siamese import load_model
    from siamese.export.runtime import with_onnx

    model = with_onnx(load_model("data/model"))

Everything else takes it for the model that it was: its hash is the same, and so are its embeddings
but for rounding.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import joblib
import numpy as np
import torch
from torch import Tensor, nn

from siamese.base.blocks import blocks
from siamese.export.check import check, noise
from siamese.export.graph import INPUT, require_packages, to_onnx
from siamese.gallery.model_hash import model_hash
from siamese.model.folder import Model
from siamese.network.embedding import images_at_once
from siamese.network.siamese_network import SiameseNetwork

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# onnxruntime keeps the memory of its largest batch (PyTorch's size would take 1 GB of images of 32
# pixels), and is as fast with a sixteenth of it.
SHARE = 16


def with_onnx(model: Model) -> Model:
    """Return the model, embedding by onnxruntime with all cores that the process may use.

    It is exported in memory, and checked against PyTorch with noise: that takes some seconds.

    Args:
        model: on the CPU.

    Raises:
        InputError: the extra `onnx` is not installed, or the embeddings differ.
    """
    session = open_session(to_onnx(model, model_hash(model)).SerializeToString())
    check(model.network, session, noise(model.network.image_size), "the model as ONNX")
    return replace(model, network=OnnxNetwork(model.network, session))


class OnnxNetwork(SiameseNetwork):
    """A network that onnxruntime evaluates, with the weights and the description of another.

    Args:
        network: whose weights these are.
        session: of the graph that was made from it.
    """

    def __init__(self, network: SiameseNetwork, session: "InferenceSession") -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(network))  # shared, not copied
        self.session = session

    def encode(self, images: Tensor) -> Tensor:
        """Embed one batch, uint8 `[B, 3, H, W]`, as in evaluation mode; float32 `[B, D]`."""
        stored = images.permute(0, 2, 3, 1).numpy()  # (B, H, W, 3)
        embeddings = np.empty((len(stored), self.embedding_dim), dtype=np.float32)
        for part in blocks(len(stored), max(1, images_at_once(self.image_size) // SHARE)):
            [embeddings[part]] = self.session.run(None, {INPUT: stored[part]})
        return torch.from_numpy(embeddings)


def open_session(content: bytes) -> "InferenceSession":
    """Return onnxruntime's session of an exported model.

    Of the bytes of a file, too: onnxruntime opens no file whose name is not UTF-8.

    Raises:
        InputError: the extra `onnx` is not installed.
    """
    require_packages()
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = (
        joblib.cpu_count()
    )  # its default is the host's, not a container's
    # Threads that wait actively would take the cores from all else that the process does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors alone
    return InferenceSession(content, options, providers=["CPUExecutionProvider"])
