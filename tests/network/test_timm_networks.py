"""Networks of timm: the same features as timm's own, started from all weights of a file or none."""

import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides, written
from siamese.base.weights_folder import Origin, Weights
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import (
    NetworkParams,
    SiameseNetwork,
    build_network,
    check_image_size,
    check_source,
    check_training_size,
)
from siamese.network.timm_networks import HeadedBackbone, count_features, statistics_of

pytest.importorskip("timm")  # what `pip install siamese` alone does not bring

import timm

from tests.support.timm_weights import ORIGIN, config_of, made_up_weights
from tests.support.workspace import ROOT

# Convolutions, and attention with position embeddings.
BOTH = ["test_efficientnet", "test_vit"]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
REAL = Path(
    os.environ.get("SIAMESE_WEIGHTS")
    or ROOT.parent / "shared/weights/tf_efficientnet_lite0.safetensors"
)


def build(
    name: str, size: int, weights: Weights | None = None, **changes: object
) -> SiameseNetwork:
    params = described(f"timm/{name}", **changes)
    return build_network(params, size, MEAN, STD, weights).eval()


def described(architecture: str, **changes: object) -> NetworkParams:
    values = {"width": 4, "embedding_dim": 6, "normalize": True, "mirror": False, "seed": 0}
    return NetworkParams(architecture=architecture, **values | changes)  # type: ignore[arg-type]


def backbone_of(network: SiameseNetwork) -> torch.nn.Module:
    assert isinstance(network.encoder, HeadedBackbone)
    return network.encoder.backbone


def images(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture(params=BOTH)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def weights(tmp_path: Path, name: str) -> Weights:
    return made_up_weights(tmp_path / "weights.safetensors", name)


# What it computes


def plain_features(name: str, file: Path, planes: torch.Tensor) -> torch.Tensor:
    """What timm alone makes of images, by its own description of its weights.

    In float64, since how float32 is rounded depends on the processor; float32 `[B, n_features]`.
    """
    config = config_of(name)
    size: dict[str, Any] = {"img_size": planes.shape[2]} if config.fixed_input_size else {}
    network = timm.create_model(name, num_classes=0, **size).eval()
    network.load_state_dict(
        {key: value for key, value in load_file(file).items() if key in network.state_dict()}
    )
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    with torch.inference_mode():
        return network.double()((planes / 255 - mean) / std.double()).float()


def test_features_are_timms_own(name: str, weights: Weights) -> None:
    planes = images(3, 32)
    expected = plain_features(name, weights.file, planes)
    with torch.inference_mode():
        found = build(name, 32, weights).double().features(planes)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mirror", "normalize"), [(False, True), (True, True), (True, False)])
def test_an_embedding_is_the_head_on_the_features(name: str, mirror: bool, normalize: bool) -> None:
    network, planes = build(name, 32, mirror=mirror, normalize=normalize), images(3, 32)
    with torch.inference_mode():
        expected = network.embed_features(network.features(planes))
        if mirror:
            expected = expected + network.embed_features(network.features(planes.flip(3)))
            expected = torch.nn.functional.normalize(expected) if normalize else expected / 2
        found = network.encode(planes)
    assert found.shape == (3, 6)
    torch.testing.assert_close(found, expected)


def test_without_the_head_the_features_are_embedded(name: str, weights: Weights) -> None:
    network = build(name, 32, weights, mirror=True)
    planes = images(3, 32)
    both = [plain_features(name, weights.file, one) for one in (planes, planes.flip(3))]
    expected = sum(one / one.norm(dim=1, keepdim=True) for one in both)
    network.drop_head()
    found = embed_images(network, planes.permute(0, 2, 3, 1).numpy())
    expected = expected / expected.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there: EfficientNet-Lite0's weights")
def test_real_weights_give_timms_features() -> None:
    name, planes = "tf_efficientnet_lite0", images(2, 96)
    network = build(name, 96, Weights(REAL, Origin(str(REAL), "", "")))
    assert network.channel_mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert network.channel_std.flatten().tolist() == [0.5, 0.5, 0.5]
    with torch.inference_mode():
        found = network.double().features(planes)
    expected = plain_features(name, REAL, planes)
    assert found.shape == (2, 1280)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# What it starts from


def test_the_seed_decides_and_nothing_outside_changes_it(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(name, 32).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, other = build(name, 32).state_dict(), build(name, 32, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    for key in (
        "encoder.head.weight",
        next(key for key in first if "proj" in key or "stem" in key),
    ):
        assert not torch.equal(first[key], other[key])


def test_all_starts_from_the_file_and_the_head_from_the_seed(name: str, weights: Weights) -> None:
    network = build(name, 32, weights)
    stored = load_file(weights.file)
    state = backbone_of(network).state_dict()
    assert all(torch.equal(tensor, stored[key]) for key, tensor in state.items())
    assert stored.keys() - state.keys(), "the classifier is left out"
    config = config_of(name)
    torch.testing.assert_close(network.channel_mean.flatten(), torch.tensor(config.mean))
    torch.testing.assert_close(network.channel_std.flatten(), torch.tensor(config.std))
    same = build(name, 32).state_dict()
    for key in ("encoder.head.weight", "encoder.head.bias"):
        assert torch.equal(network.state_dict()[key], same[key])


def test_position_embeddings_are_resampled_as_timm_does_it(tmp_path: Path) -> None:
    weights = made_up_weights(tmp_path / "weights.safetensors", "test_vit", size=160)
    found = backbone_of(build("test_vit", 96, weights)).state_dict()
    expected = timm.create_model(
        "test_vit",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(weights.file), "num_classes": 5},
        num_classes=0,
        img_size=96,
    ).state_dict()
    assert found["pos_embed"].shape == (1, 1 + 6 * 6, 64)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("architecture", "source", "mean"),
    [
        ("efficientnet_b0", "hf:timm/efficientnet_b0.ra4_e3600_r224_in1k", 0.5),
        ("efficientnet_b0", "hf:timm/efficientnet_b0.ra_in1k", 0.485),
        ("efficientnet_b0", f"hf:timm/efficientnet_b0.ra4_e3600_r224_in1k@{'0' * 40}", 0.5),
        ("efficientnet_b0", "weights.safetensors", 0.485),
        ("efficientnet_b0.ra4_e3600_r224_in1k", "weights.safetensors", 0.5),
    ],
)
def test_means_are_those_of_the_weights(architecture: str, source: str, mean: float) -> None:
    weights = Weights(Path("none"), Origin(source, "", ""))
    found, _ = statistics_of(f"timm/{architecture}", weights)
    assert found[0] == mean


@pytest.mark.parametrize("spoil", ["missing", "shape", "more"])
def test_weights_that_do_not_fit_are_refused(spoil: str, name: str, weights: Weights) -> None:
    stored = load_file(weights.file)
    key = next(key for key in reversed(stored) if key.startswith("blocks") and "bias" in key)
    match spoil:
        case "missing":
            del stored[key]
        case "shape":
            stored[key] = stored[key][1:].clone()
        case "more":
            stored[key := "blocks.99.weight"] = torch.zeros(3)
    save_file(stored, weights.file)
    with pytest.raises(InputError, match=f"not the weights of .*timm/{name} .*{key}.*; name the"):
        build(name, 32, weights)


def test_what_timm_would_leave_random_is_refused(tmp_path: Path) -> None:
    weights = made_up_weights(tmp_path / "weights.safetensors", "dla46_c")  # never strict
    build("dla46_c", 32, weights)
    stored = load_file(weights.file)
    del stored["level2.project.1.bias"]
    save_file(stored, weights.file)
    with pytest.raises(InputError, match=r"missing: level2\.project\.1\.bias"):
        build("dla46_c", 32, weights)


@pytest.mark.slow
def test_weights_that_take_one_size_alone_say_so(tmp_path: Path) -> None:
    weights = made_up_weights(tmp_path / "weights.safetensors", "mixer_s32_224", size=224)
    with pytest.raises(InputError, match=r"or set `data\.image_size` to 224"):
        build("mixer_s32_224", 64, weights)


def test_an_empty_file_is_refused_and_nothing_is_downloaded(tmp_path: Path) -> None:
    weights = Weights(tmp_path / "weights.safetensors", ORIGIN)
    save_file({}, weights.file)
    with pytest.raises(InputError, match=r"not the weights .*No pretrained weights exist"):
        build("test_vit", 32, weights)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    weights = Weights(tmp_path / "weights.safetensors", ORIGIN)
    weights.file.write_bytes(b"no weights")
    with pytest.raises(
        InputError, match=r"weights\.safetensors: cannot be read .*dvc repro weights"
    ):
        build("test_vit", 32, weights)


def test_weights_of_a_network_that_is_not_timms_are_refused(tmp_path: Path) -> None:
    check_source("resnet9", "none")
    check_source("timm/resnet18", "hf:timm/resnet18")
    with pytest.raises(
        InputError, match=r"`weights\.source` is https://.*set `weights\.source` to none"
    ):
        build_network(
            described("resnet9"),
            32,
            MEAN,
            STD,
            Weights(tmp_path / "none", ORIGIN),
        )


# What is refused


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("test_vit", (40, 96), r"multiples of 16, such as \[32, 96\]"),
        ("test_vit", 40, "multiples of 16, such as 32"),
        ("test_vit", 8, "multiples of 16, such as 16"),
        ("vit_tiny_patch16_224", 161, "multiples of 16, such as 160"),  # timm would cut a pixel off
        pytest.param(
            "nest_tiny", 161, "multiples of 16, such as 160", marks=pytest.mark.slow
        ),  # refused while it is built
        pytest.param("crossvit_tiny_240", 224, "240 pixels", marks=pytest.mark.slow),
        pytest.param("inception_v3", 32, "299 pixels", marks=pytest.mark.slow),
        ("vgg11", 8, "multiples of 32, such as 32"),
    ],
)
def test_a_size_that_it_cannot_take_is_refused(name: str, size: int | Size, message: str) -> None:
    named = re.escape(str(written(size)))
    with pytest.raises(
        InputError, match=rf"`data\.image_size` is {named}; .*timm/{name} takes {message}"
    ):
        check_image_size(f"timm/{name}", size)


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("resnet50", 160, 2048),
        ("resnet50", (64, 192), 2048),
        ("vit_tiny_patch16_224", (64, 192), 192),
        ("vit_small_patch14_dinov2", 224, 384),  # its weights are of 518
        ("mobilenetv3_small_100", 224, 1024),  # timm's `num_features` says 576
    ],
)
def test_features_are_counted_without_building_it(name: str, size: int, features: int) -> None:
    assert count_features(f"timm/{name}", sides(size)) == features


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("resnet5O", "did you mean `timm/resnet50`"),
        ("resnet50.a1_in22k", r"did you mean `timm/resnet50\.a1_in1k`"),
        ("hf-hub:timm/resnet18", "lists them"),
        ("", "lists them"),
    ],
)
def test_what_timm_does_not_have_is_refused(name: str, advice: str) -> None:
    with pytest.raises(
        InputError, match=rf"is timm/{name}; timm .* has no such network; .*{advice}"
    ):
        check_image_size(f"timm/{name}", 32)


@pytest.mark.parametrize(
    ("name", "made_for", "size", "is_taken"),
    [
        ("resnet9", 32, 24, True),
        ("resnet9", 32, 4, False),  # too little is left of it
        ("conv4", 32, 24, False),  # its linear layer wants as many pixels as it was made for
        ("conv4", 32, 32, True),
        ("timm/tf_efficientnet_lite0", 160, 128, True),
        ("timm/test_vit", 160, 128, True),  # it resamples its position embeddings
        ("timm/vit_tiny_patch16_224", 224, 160, False),
    ],
)
def test_a_size_to_train_on_that_it_cannot_take_is_refused(
    name: str, made_for: int, size: int, is_taken: bool
) -> None:
    check_training_size(described(name), sides(made_for), 0)  # the same size
    what = f"`train.augment.resized_to` is {size}, but .*{name}, made for images of {made_for}"
    with nullcontext() if is_taken else pytest.raises(InputError, match=what):
        check_training_size(described(name), sides(made_for), size)


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"timm/resnet50 needs .*pip install 'siamese\[timm\]'"):
        check_image_size("timm/resnet50", 224)


def test_a_network_that_makes_no_vectors_is_refused() -> None:
    with pytest.raises(InputError, match="makes no vector of an image"):
        check_image_size("timm/deepseek_vit_412m_enc", 84)
