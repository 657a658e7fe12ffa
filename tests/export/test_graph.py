"""Every network becomes a graph that computes what PyTorch does."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from siamese.base.dataset import Classes
from siamese.base.image_size import Size
from siamese.export.graph import to_onnx
from siamese.export.runtime import open_session
from siamese.model.calibration import Calibration, Curve
from siamese.model.folder import Model
from siamese.network.siamese_network import NetworkParams, build_network

CLASSES = Classes(("apple", "Bär", 'a "quoted" one'))
CALIBRATION = Calibration(0.75, 0.5, Curve((0.1, 0.9), (0.0, 1.0), (1.0, 0.0)))
CONVOLUTIONS = {"conv4": 4, "resnet9": 8, "resnet18": 20}
QUICK = [("conv4", False, False), ("resnet9", True, True)]
ALL = itertools.product(CONVOLUTIONS, [True, False], [True, False])


def made_up(architecture: str, mirror: bool, normalize: bool, size: int | Size) -> Model:
    """Return a model whose normalisation layers have met images, and no two channels alike."""
    params = NetworkParams(
        architecture=architecture,
        width=4,
        embedding_dim=6,
        normalize=normalize,
        mirror=mirror,
        seed=0,
    )
    network = build_network(params, size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.get_buffer("running_mean").normal_(generator=generator)
            layer.get_buffer("running_var").uniform_(0.5, 2, generator=generator)
            layer.weight.data.normal_(generator=generator)
    return Model(network.eval(), params, CLASSES, CALIBRATION, "crop")


@pytest.mark.parametrize(
    ("architecture", "mirror", "normalize"),
    [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in ALL if one not in QUICK)],
)
def test_every_network_is_computed_as_pytorch_does(
    architecture: str, mirror: bool, normalize: bool
) -> None:
    size = 17, 26  # halved, both leave a rest
    model = made_up(architecture, mirror, normalize, size)
    proto = to_onnx(model, "")
    # The network is there once, though it sees the mirror image too.
    operators = [node.op_type for node in proto.graph.node]
    assert operators.count("Conv") == CONVOLUTIONS[architecture]
    assert (model.network.mirror, model.network.training) == (mirror, False)  # as it was
    session = open_session(proto.SerializeToString())
    for count in (0, 1, 2, 7, 33):
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
        with torch.inference_mode():
            planes = torch.from_numpy(images).permute(0, 3, 1, 2)
            expected = model.network.encode(planes).numpy()
        [found] = session.run(None, {"images": images})
        assert found.dtype == np.float32
        assert found.shape == (count, 6)
        longest = np.linalg.norm(expected, axis=1).max(initial=1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * longest)


def test_a_process_that_has_trained_can_export() -> None:
    from siamese.network.compute import ComputeParams, start

    start(ComputeParams(device="cpu", threads=1, deterministic=True))
    to_onnx(made_up("conv4", False, False, 16), "its hash")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_networks_of_timm_are_computed_as_pytorch_does(name: str) -> None:
    pytest.importorskip("timm")
    from tests.support.timm_project import ORIGIN, timm_model

    model = timm_model(name, 32)
    proto = to_onnx(model, "")
    about = {one.key: one.value for one in proto.metadata_props}
    assert json.loads(about["siamese.weights"]) == asdict(ORIGIN)
    session = open_session(proto.SerializeToString())
    for count in (1, 2, 7):
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        [found] = session.run(None, {"images": images})
        np.testing.assert_allclose(found, model.embed(images), rtol=0, atol=1e-5)
