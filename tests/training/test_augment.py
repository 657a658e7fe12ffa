"""Augmentation of whole batches against one image at a time."""

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.training.augment import AugmentParams, Changes, augment
from tests.support.tiny_training import NO_CHANGES


def batch(count: int = 8, height: int = 6, width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def augmented(images: torch.Tensor, seed: int = 0, **changes: Any) -> torch.Tensor:
    """All images, changed as the seed decides; nothing is switched on but what is named."""
    params = AugmentParams(**(NO_CHANGES | changes))
    drawn = Changes.draw(len(images), params, torch.Generator().manual_seed(seed))
    return augment(images, drawn, params)


def test_nothing_switched_on_changes_nothing() -> None:
    images = batch()
    found = augmented(images)
    torch.testing.assert_close(found, images.permute(0, 3, 1, 2))
    assert found.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 4), st.booleans())
def test_each_image_is_one_of_its_own_shifts_and_mirrors(seed: int, crop: int, flip: bool) -> None:
    images = batch()
    found = augmented(images, seed, flip=flip, crop=crop)
    for image, changed in zip(images.numpy(), found.permute(0, 2, 3, 1).numpy(), strict=True):
        # NumPy's reflect padding is the independent way to get the border.
        padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="reflect")
        mirrored = padded[:, ::-1]
        height, width, _ = image.shape
        candidates = [
            source[top : top + height, left : left + width]
            for source in ([padded, mirrored] if flip else [padded])
            for top in range(2 * crop + 1)
            for left in range(2 * crop + 1)
        ]
        assert any(np.array_equal(changed, candidate) for candidate in candidates)


def test_half_of_the_images_are_mirrored_and_shifts_reach_both_ends() -> None:
    columns = torch.arange(9, dtype=torch.uint8).view(1, 1, 9, 1).expand(2000, 9, 9, 3)
    flips = augmented(columns, 5, flip=True)
    share = (flips[:, 0, 0, 0] == 8).float().mean().item()
    assert 0.45 < share < 0.55
    shifted = augmented(columns, 5, crop=2)
    assert set(shifted[:, 0, 0, 4].tolist()) == {2, 3, 4, 5, 6}


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_cutout_greys_one_rectangle_no_larger_than_asked(seed: int, side: int) -> None:
    images = torch.zeros(6, 7, 9, 3, dtype=torch.uint8)
    found = augmented(images, seed, cutout=side)
    for changed in found.permute(0, 2, 3, 1).numpy():
        grey = np.argwhere(changed[..., 0] == 128)
        assert len(grey)
        (top, left), (bottom, right) = grey.min(axis=0), grey.max(axis=0)
        assert bottom - top < side
        assert right - left < side
        assert len(grey) == (bottom - top + 1) * (right - left + 1)
        assert np.array_equal(changed[..., 0], changed[..., 2])


def test_the_seed_decides() -> None:
    first, again, other = (
        augmented(batch(), seed, flip=True, crop=2, cutout=3) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parts_of_a_batch_are_changed_as_in_the_whole() -> None:
    """Whatever part a process takes, its images look as they would have in a single process."""
    images = batch()
    params = AugmentParams(**(NO_CHANGES | {"flip": True, "crop": 2, "cutout": 3}))
    drawn = Changes.draw(len(images), params, torch.Generator().manual_seed(3))
    whole = augment(images, drawn, params)
    for part in (slice(0, 2), slice(2, 6)):
        some = drawn.each(lambda values, part=part: values[part])  # type: ignore[misc]
        assert torch.equal(augment(images[part], some, params), whole[part])
