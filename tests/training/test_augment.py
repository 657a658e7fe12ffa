"""Augmentation of whole batches against one image at a time."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage
from torchvision.transforms import v2

from siamese.training.augment import Changes, augment
from siamese.training.augment_params import AugmentParams
from siamese.training.captured_step import CapturedStep
from siamese.training.early_stopping import EpochRecord, Pace
from tests.support.tiny_training import (
    NO_CHANGES,
    data_of,
    load,
    new_network,
    new_trainer,
    params,
    tiny_dataset,
    train,
)

THREADS = torch.get_num_threads()

# Every change of photographs, and then all of them together, with those of all images.
PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "resized_crop": {"resized_crop": 0.3},
    "resized_to": {"resized_crop": 0.3, "resized_to": 9},
    "trivial": {"policy": "trivial"},
    "rand": {"policy": "rand"},
    "jitter": {"jitter": 0.4},
    "erase": {"erase": 0.6},
}
WRITING = {"rotate": 10.0, "scale": 0.2, "stroke": 0.8}
ALL = {
    **{"flip": True, "crop": 2, "cutout": 3},
    **WRITING,
    **{"resized_crop": 0.3, "policy": "rand", "jitter": 0.4, "erase": 0.6},
}


def batch(count: int = 8, height: int = 6, width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def augmented(images: torch.Tensor, seed: int = 0, **changes: Any) -> torch.Tensor:
    """All images, changed as the seed decides; nothing is switched on but what is named."""
    chosen = AugmentParams(**(NO_CHANGES | changes))
    return augment(images, drawn(len(images), chosen, seed), chosen)


def drawn(count: int, chosen: AugmentParams, seed: int = 0) -> Changes:
    return Changes.draw(count, chosen, torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("changes", [{"flip": True, "crop": 2, "cutout": 3}, WRITING, ALL])
def test_the_seed_decides(changes: dict[str, Any]) -> None:
    first, again, other = (augmented(batch(), seed, **changes) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("changes", [{"flip": True, "crop": 2, "cutout": 3}, WRITING, ALL])
def test_parts_of_a_batch_are_changed_as_in_the_whole(changes: dict[str, Any]) -> None:
    """Whatever part a process takes, its images look as they would have in a single process."""
    images = batch()
    chosen = AugmentParams(**(NO_CHANGES | changes))
    all_changes = drawn(len(images), chosen, 3)
    whole = augment(images, all_changes, chosen)
    for part in (slice(0, 2), slice(2, 6)):
        some = all_changes.each(lambda values, part=part: values[part])  # type: ignore[misc]
        assert torch.equal(augment(images[part], some, chosen), whole[part])


@settings(max_examples=30)
@given(st.integers(0, 1000), st.booleans(), st.integers(0, 9), st.sampled_from([{}, WRITING, ALL]))
def test_numbers_of_all_images_are_drawn_first(
    seed: int, flip: bool, crop: int, others: dict[str, Any]
) -> None:
    """So what trained on them before there were other changes trains alike."""
    chosen = AugmentParams(**(NO_CHANGES | others | {"flip": flip, "crop": crop}))
    found = drawn(7, chosen, seed)
    generator = torch.Generator().manual_seed(seed)
    mirrored = torch.rand(7, generator=generator) < 0.5
    assert torch.equal(found.mirrored, mirrored if flip else torch.zeros_like(mirrored))
    shift = torch.randint(-crop, crop + 1, (7, 2), generator=generator)
    assert torch.equal(found.shift, shift)
    assert torch.equal(found.hole, torch.rand(7, 2, generator=generator))
    assert (found.bent is not None) == bool(others)
    assert (found.seed is not None) == ("jitter" in others)


def by_torchvision(height: int, width: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    bilinear = v2.InterpolationMode.BILINEAR
    return {
        "resized_crop": v2.RandomResizedCrop((height, width), scale=(0.3, 1), antialias=True),
        "resized_to": v2.RandomResizedCrop((9, 9), scale=(0.3, 1), antialias=True),
        "trivial": v2.TrivialAugmentWide(interpolation=bilinear, fill=128),
        "rand": v2.RandAugment(interpolation=bilinear, fill=128),
        "jitter": v2.ColorJitter(0.4, 0.4, 0.4),
        "erase": v2.RandomErasing(p=0.6, value=128),
    }


@pytest.mark.parametrize(
    "names", [*([name] for name in PHOTOGRAPHS), ["resized_crop", "rand", "jitter", "erase"]]
)
def test_photographs_are_changed_as_torchvision_does(names: list[str]) -> None:
    images = batch(40, 24, 24)
    changes = {key: value for name in names for key, value in PHOTOGRAPHS[name].items()}
    seed = drawn(len(images), AugmentParams(**(NO_CHANGES | changes)), 4).seed
    assert seed is not None
    found = augmented(images, 4, **changes)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for image, own_seed, changed in zip(images, seed.tolist(), found, strict=True):
        expected = image.permute(2, 0, 1).contiguous()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own_seed)
            for name in names:
                expected = by_torchvision(24, 24)[name](expected)
        assert torch.equal(changed, expected)
    assert not torch.equal(found[:, :, :9, :9], images.permute(0, 3, 1, 2)[:, :, :9, :9])


@settings(max_examples=10)
@given(st.integers(0, 1000), st.floats(0.1, 0.9), st.sampled_from([0, 40]))
def test_a_resized_crop_is_a_part_of_the_image_of_the_size_asked_for(
    seed: int, share: float, side_asked_for: int
) -> None:
    side = 60
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = 50 + torch.stack([row, column, row], dim=-1).to(torch.uint8)
    changes = {"resized_crop": share, "resized_to": side_asked_for, "flip": True}
    found = augmented(image.expand(30, -1, -1, -1), seed, **changes)
    size = side_asked_for or side
    assert found.shape == (30, 3, size, size)
    assert found.min() >= 50
    assert found.max() < 50 + side
    steps = found.int()[:, 1].diff(dim=2)  # (30, side, side - 1), along a row
    mirrored = drawn(30, AugmentParams(**(NO_CHANGES | {"flip": True})), seed).mirrored
    assert (steps[mirrored] <= 0).all(), "mirrored, once"
    assert (steps[~mirrored] >= 0).all()
    # From the smallest to the largest row and column that are seen; the edges are smoothed.
    extent = found.amax(dim=(2, 3)).int() - found.amin(dim=(2, 3)).int() + 1  # (30, 3)
    areas = extent[:, 0] * extent[:, 1] / side**2
    assert (areas > share - 0.1).all()
    assert areas.min() < areas.max()


def test_a_resized_crop_has_the_shape_of_an_image_that_is_not_square() -> None:
    row, column = torch.meshgrid(torch.arange(20), torch.arange(60), indexing="ij")
    image = torch.stack([4 * row, 4 * column, row], dim=-1).to(torch.uint8)
    found = augmented(image.expand(200, -1, -1, -1), resized_crop=0.2, resized_to=10)
    assert found.shape == (200, 3, 10, 30)
    extent = found[:, :2].amax(dim=(2, 3)).float() - found[:, :2].amin(dim=(2, 3)) + 4  # (200, 2)
    ratio = extent[:, 1] / extent[:, 0] / 3
    assert 0.85 < ratio.median() < 1.15
    assert (ratio > 0.6).all()
    assert (ratio < 1.6).all()


def line(height: int = 30, width: int = 80, paper: int = 255, ink: int = 20) -> torch.Tensor:
    """A bar with a tick at one end, far from the edges."""
    image = torch.full((height, width, 3), paper, dtype=torch.uint8)
    image[12:16, 25:60] = ink
    image[16:20, 25:28] = ink
    return image


def test_writing_is_turned_and_enlarged_as_scipy_does() -> None:
    images = batch(20, 30, 80)
    chosen = AugmentParams(**(NO_CHANGES | {"rotate": 12.0, "scale": 0.2}))
    changes = drawn(20, chosen)
    assert changes.bent is not None
    angles, scales = (changes.bent[:, :2] * torch.tensor([12, 0.2])).numpy().T
    assert angles.min() < -6 < 6 < angles.max()
    assert scales.min() < -0.1 < 0.1 < scales.max()
    found = augment(images, changes, chosen).permute(0, 2, 3, 1).numpy()
    middle = np.array([29 / 2, 79 / 2])
    for image, angle, scale, turned in zip(images, np.radians(angles), scales, found, strict=True):
        sine, cosine = np.sin(angle), np.cos(angle)
        origin = np.array([[cosine, -sine], [sine, cosine]]) / (1 + scale)  # of rows and columns
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].numpy().astype(float),
                origin,
                middle - origin @ middle,
                order=1,
                mode="nearest",
            )
            assert np.abs(turned[..., channel] - expected).max() <= 1


@pytest.mark.parametrize("tones", [{}, {"paper": 10, "ink": 200}])
def test_strokes_grow_and_shrink_as_pillow_filters_do(tones: dict[str, int]) -> None:
    image = line(**tones)
    chosen = AugmentParams(**(NO_CHANGES | {"stroke": 0.9}))
    changes = drawn(20, chosen)
    assert changes.bent is not None
    found = augment(image.expand(20, -1, -1, -1), changes, chosen).permute(0, 2, 3, 1)
    picture = Image.fromarray(image.numpy())
    for bend, redrawn in zip(changes.bent[:, 2].tolist(), found, strict=True):
        name = ImageFilter.MinFilter(3) if bend > 0 else ImageFilter.MaxFilter(3)
        expected = Image.blend(picture, picture.filter(name), 0.9 * abs(bend))
        assert np.abs(redrawn.numpy().astype(int) - np.asarray(expected)).max() <= 1


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 30), st.sampled_from([0, 77, 255]))
def test_plain_paper_stays_plain(seed: int, height: int, width: int, tone: int) -> None:
    images = torch.full((3, height, width, 3), tone, dtype=torch.uint8)
    found = augmented(images, seed, rotate=90.0, scale=0.5, stroke=1.0)
    assert found.shape == (3, 3, height, width)
    assert (found == tone).all()


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0, 77, 255]),
    st.sampled_from(["trivial", "rand"]),
)
def test_tiny_and_grey_images_are_changed_too(
    seed: int, height: int, width: int, value: int, policy: str
) -> None:
    images = torch.full((3, height, width, 3), value, dtype=torch.uint8)
    found = augmented(images, seed, **(ALL | {"policy": policy}))
    assert found.shape == (3, 3, height, width)
    assert found.dtype == torch.uint8


@pytest.mark.parametrize("changes", [*PHOTOGRAPHS.values(), WRITING, ALL])
def test_no_global_generator_is_read_or_moved(changes: dict[str, Any]) -> None:
    outcomes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 what a transform could read
        before = generator_states()
        outcomes.append(augmented(batch(20), **changes))
        assert before == generator_states()
    assert torch.equal(*outcomes)


def generator_states() -> list[str]:
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    of_torch = [state.tolist() for state in [torch.get_rng_state(), *on_gpus]]
    return [str(of_torch), str(random.getstate()), str(np.random.get_state())]  # noqa: NPY002


def test_the_number_of_threads_changes_no_photograph() -> None:
    images = batch(3, 256, 256)
    outcomes = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            outcomes.append(augmented(images, jitter=0.4, policy="rand"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(THREADS)
    assert torch.equal(*outcomes)


def test_a_resumed_run_sees_the_photographs_that_it_would_have_seen(tmp_path: Path) -> None:
    data = load(3)
    data = replace(data, batches=data.batches[:, :1], same=data.same[:, :1])
    changes: dict[str, Any] = {"augment": NO_CHANGES | ALL}
    whole, expected = train(tmp_path / "whole", data, **changes)

    class Killed(Exception):
        pass

    def kill_at_two(record: EpochRecord, pace: Pace) -> None:
        if record.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "broken", data, on_epoch=kill_at_two, **changes)
    torch.manual_seed(99)
    resumed, found = train(tmp_path / "broken", data, **changes)
    assert found == expected
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    _, unchanged = train(tmp_path / "unchanged", data)
    assert unchanged != expected, "the changes reach the network"


@pytest.mark.parametrize("changes", [*PHOTOGRAPHS.values(), ALL])
def test_a_gpu_changes_photographs_by_the_same_numbers(
    cuda: torch.device, changes: dict[str, Any]
) -> None:
    images, chosen = batch(40, 24, 20), AugmentParams(**(NO_CHANGES | changes))
    by_both = drawn(len(images), chosen)
    on_gpu = by_both.to(cuda)
    assert on_gpu.hole.is_cuda
    assert on_gpu.seed is by_both.seed
    before = generator_states()
    found = augment(images.to(cuda), on_gpu, chosen).cpu()
    assert before == generator_states()
    # Rounded otherwise, a value may cross a threshold; other numbers change nearly all pixels.
    far = (found.int() - augment(images, by_both, chosen).int()).abs() > 2
    assert far.float().mean() < 0.05


def test_a_step_that_changes_photographs_is_not_recorded(cuda: torch.device) -> None:
    recorded = (NO_CHANGES, True), (NO_CHANGES | WRITING, True), (NO_CHANGES | ALL, False)
    for changes, is_recorded in recorded:
        data = data_of(tiny_dataset(), 1, cuda)
        trainer = new_trainer(data, new_network().to(cuda), params(augment=changes))
        assert isinstance(trainer.take_step, CapturedStep) == is_recorded
        assert trainer.train_epoch(0)
