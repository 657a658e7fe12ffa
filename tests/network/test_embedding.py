"""Embedding many images: in any batches, changing nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from siamese.network.embedding import embed_images, images_at_once
from siamese.network.siamese_network import NetworkParams, SiameseNetwork, build_network


def network(size: int = 8) -> SiameseNetwork:
    params = NetworkParams(
        architecture="resnet9", width=4, embedding_dim=6, normalize=True, mirror=False, seed=0
    )
    return build_network(params, size, (0.5,) * 3, (0.25,) * 3)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_batches_make_no_difference() -> None:
    shared = network()
    whole = embed_images(shared, images(10), batch_size=10)
    for batch_size in (1, 3, 100):
        parts = embed_images(shared, images(10), batch_size)
        np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert whole.dtype == np.float32
    assert whole.shape == (10, 6)


class Recording:
    """Images that note how many are asked for at once."""

    def __init__(self, size: int, count: int) -> None:
        self.size, self.count = size, count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> np.ndarray:
        self.asked.append(part.stop - part.start)
        return np.zeros((part.stop - part.start, self.size, self.size, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "asked"), [(8, [500, 40]), (32, [500, 40]), (64, [125] * 4 + [40]), (400, [3, 3, 1])]
)
def test_large_images_are_computed_fewer_at_once(size: int, asked: list[int]) -> None:
    recording = Recording(size, sum(asked))
    found = embed_images(network(size), recording)
    assert found.shape == (sum(asked), 6)
    assert recording.asked == asked


def test_one_image_at_least_is_computed_at_once() -> None:
    assert images_at_once(10_000) == 1


def test_equals_the_network_called_image_by_image() -> None:
    shared = network()
    found = embed_images(shared, images(4), batch_size=4)
    shared.eval()
    for image, embedding in zip(images(4), found, strict=True):
        one = torch.from_numpy(image).permute(2, 0, 1)[None]
        np.testing.assert_allclose(shared.encode(one)[0].detach().numpy(), embedding, atol=1e-6)


def test_weights_statistics_and_mode_stay_as_they_were() -> None:
    shared = network().train()
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    embed_images(shared, images(5), batch_size=2)
    assert all(torch.equal(before[name], value) for name, value in shared.state_dict().items())
    assert shared.training


def test_memory_mapped_images_are_read_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", images(5))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = embed_images(network(), mapped, batch_size=2)
    np.testing.assert_allclose(found, embed_images(network(), images(5), 2), atol=1e-6)
