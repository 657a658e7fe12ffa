"""The network as an ONNX graph that needs nothing of this project, and what is noted in it.

- Input `images`: uint8 `[batch, H, W, 3]`, red, green and blue, brought to that size as
  `siamese.images.fit` does it. Standardisation, mirror image and unit length are in the graph.
- Output `embeddings`: float32 `[batch, embedding_dim]`.
- Metadata, as text: see `metadata`.

Equal models give equal bytes, with the same releases of PyTorch and onnxscript.
"""

import copy
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from siamese import __version__
from siamese.base.errors import InputError
from siamese.base.image_size import written
from siamese.model.folder import Model
from siamese.network.siamese_network import SiameseNetwork

if TYPE_CHECKING:
    from onnx import ModelProto

FORMAT = 1
# The lowest that PyTorch writes without converting it, so that old runtimes can read the file.
OPSET = 18
INPUT, OUTPUT = "images", "embeddings"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def require_packages() -> None:
    """Refuse to go on without what the extra `onnx` installs.

    Raises:
        InputError: some of it is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX needs {' and '.join(missing)}, not installed here: pip install 'siamese[onnx]'"
        )


def to_onnx(model: Model, fingerprint: str) -> "ModelProto":
    """Return a model as ONNX, all weights inside.

    Args:
        model: on the CPU.
        fingerprint: its hash; see `siamese.gallery.model_hash`.

    Raises:
        InputError: the extra `onnx` is not installed.
    """
    require_packages()
    from onnx.helper import find_min_ir_version_for, set_model_props

    size = model.network.image_size
    example = torch.zeros((2, *size, 3), dtype=torch.uint8)  # of 1, the batch would be fixed
    with warnings.catch_warnings(), _one_precision():
        warnings.simplefilter("ignore")  # of PyTorch's own parts that it will replace
        program = torch.onnx.export(
            _FromStoredImages(model.network).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None  # it is for exports that do not write a file
    proto = program.model_proto
    _forget_the_source(proto)
    proto.ir_version = find_min_ir_version_for(proto.opset_import)
    proto.producer_name, proto.producer_version = "siamese", __version__
    set_model_props(proto, metadata(model, fingerprint))
    return proto


def metadata(model: Model, fingerprint: str) -> dict[str, str]:
    """Return what a program needs to know of the model beside the graph."""
    verification = model.calibration.to_json()
    weights = {"siamese.weights": json.dumps(asdict(model.origin))} if model.origin else {}
    return {
        "siamese.format": str(FORMAT),
        "siamese.model": fingerprint,
        "siamese.image_size": json.dumps(written(model.network.image_size)),
        "siamese.fit": model.fit,
        "siamese.embedding_dim": str(model.network.embedding_dim),
        "siamese.thresholds": json.dumps(verification["thresholds"]),
        "siamese.curve": json.dumps(verification["curve"]),
        "siamese.classes": json.dumps(list(model.classes.fine), ensure_ascii=False),
        **weights,
    }


class _FromStoredImages(nn.Module):
    """What `SiameseNetwork.encode` computes in evaluation mode, from uint8 `[B, H, W, 3]`.

    Mirror images join the batch: a network that was called twice would be in the graph twice.
    """

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.plain = copy.deepcopy(network)
        self.plain.mirror = False
        self.mirror, self.normalize = network.mirror, network.normalize

    def forward(self, images: Tensor) -> Tensor:
        planes = images.permute(0, 3, 1, 2)  # (B, 3, H, W)
        if not self.mirror:
            return self.plain.encode(planes)
        both = self.plain.encode(torch.cat([planes, planes.flip(3)]))  # (2 B, D)
        mean = both.unflatten(0, (2, -1)).mean(dim=0)
        return functional.normalize(mean, dim=1) if self.normalize else mean


@contextmanager
def _one_precision() -> Iterator[None]:
    """Set what cuDNN computes in alike for all of its parts; nothing is computed there meanwhile.

    Training sets it for convolutions alone, and PyTorch's exporter cannot read a mixture.
    """
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = torch.backends.cudnn.rnn.fp32_precision  # type: ignore[attr-defined]
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def _forget_the_source(proto: "ModelProto") -> None:
    """Remove PyTorch's notes on where each part comes from, paths on this machine included."""
    graph = proto.graph
    parts = (graph.node, graph.input, graph.output, graph.value_info, graph.initializer)
    for part in (graph, *(one for several in parts for one in several)):
        part.ClearField("metadata_props")
