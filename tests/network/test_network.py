"""The siamese network: one set of weights, any number of inputs, unit-length embeddings."""

import pytest
import torch
from pydantic import ValidationError

from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides
from siamese.network.siamese_network import NetworkParams, build_network


def params(**changes: object) -> NetworkParams:
    values = {
        "architecture": "resnet9",
        "width": 4,
        "embedding_dim": 8,
        "normalize": True,
        "mirror": False,
        "seed": 0,
    }
    return NetworkParams(**values | changes)  # type: ignore[arg-type]


def images(count: int, size: int | Size = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, *sides(size)), dtype=torch.uint8, generator=generator)


MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


@pytest.mark.parametrize("architecture", ["conv4", "resnet9", "resnet18"])
@pytest.mark.parametrize("size", [16, 32, 40, (16, 48), (50, 17)])
def test_every_architecture_embeds(architecture: str, size: int | Size) -> None:
    network = build_network(params(architecture=architecture), size, MEAN, STD)
    embeddings = network.encode(images(3, size))
    assert embeddings.shape == (3, 8)
    assert embeddings.dtype == torch.float32
    assert network.image_size == sides(size)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


def test_raw_embeddings_have_lengths_of_their_own() -> None:
    network = build_network(params(normalize=False), 32, MEAN, STD)
    lengths = network.encode(images(4)).norm(dim=1)
    assert (lengths - 1).abs().min() > 1e-3


def test_any_number_of_inputs_shares_the_weights() -> None:
    network = build_network(params(), 32, MEAN, STD).eval()
    first, second, third = images(2), images(3), images(4)
    found = network(first, second, third)
    assert [len(part) for part in found] == [2, 3, 4]
    for part, alone in zip(found, (first, second, third), strict=True):
        torch.testing.assert_close(part, network.encode(alone))


def test_swapping_the_inputs_swaps_the_embeddings() -> None:
    network = build_network(params(), 32, MEAN, STD).eval()
    left, right = network(images(2), images(3))
    right_again, left_again = network(images(3), images(2))
    torch.testing.assert_close(left, left_again)
    torch.testing.assert_close(right, right_again)


def test_standardises_with_the_channel_statistics() -> None:
    network = build_network(params(), 32, MEAN, STD).eval()
    network.encoder = torch.nn.Flatten()
    network.normalize = False
    found = network.encode(images(1)).view(3, 32, 32)
    pixels = images(1)[0].float() / 255
    for channel in range(3):
        torch.testing.assert_close(found[channel], (pixels[channel] - MEAN[channel]) / STD[channel])


def test_the_seed_decides_the_weights_and_nothing_outside_changes_it() -> None:
    torch.manual_seed(1)
    first = build_network(params(), 32, MEAN, STD).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = build_network(params(), 32, MEAN, STD).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    other = build_network(params(seed=1), 32, MEAN, STD).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_gpus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("a GPU was touched")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, touched)
    build_network(params(), 32, MEAN, STD)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    params(seed=2**32 - 1)
    with pytest.raises(ValidationError, match="seed"):
        params(seed=seed)


@pytest.mark.parametrize(("architecture", "size"), [("conv4", 15), ("resnet9", 7)])
def test_images_too_small_are_refused(architecture: str, size: int) -> None:
    with pytest.raises(InputError, match=rf"`data\.image_size` is {size}.*needs"):
        build_network(params(architecture=architecture), size, MEAN, STD)
    with pytest.raises(InputError, match=rf"`data\.image_size` is \[64, {size}\].*needs"):
        build_network(params(architecture=architecture), (64, size), MEAN, STD)


def test_in_use_an_image_and_its_mirror_image_share_an_embedding() -> None:
    network = build_network(params(mirror=True), 32, MEAN, STD).eval()
    plain = build_network(params(), 32, MEAN, STD).eval()
    some = images(5)
    found = network.encode(some)
    torch.testing.assert_close(found, network.encode(some.flip(3)))
    mean = plain.encode(some) + plain.encode(some.flip(3))
    torch.testing.assert_close(found, mean / mean.norm(dim=1, keepdim=True))
    torch.testing.assert_close(network.train().encode(some), plain.train().encode(some))
