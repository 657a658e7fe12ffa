"""Random changes that suit photographs, image by image, by torchvision's transforms.

They draw their numbers from PyTorch's generator of the CPU, wherever the images lie. It is seeded
for every image, so an image is changed alike whatever was changed before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from siamese.base.image_size import Size, with_shorter
from siamese.training.augment_params import AugmentParams

GREY = 128


def change_photographs(images: Tensor, seeds: Tensor, params: AugmentParams) -> Tensor:
    """Change each image of a batch as its seed decides; the global generators stay as they are.

    Args:
        images: uint8 `[B, H, W, 3]`.
        seeds: int64 `[B]`, on the CPU.
        params: in this order, `resized_crop` cuts out a rectangle of at least this share of the
            area and enlarges it, its shorter side to `resized_to` pixels if that is not 0 (Touvron
            et al., *Fixing the train-test resolution discrepancy*, NeurIPS 2019); `policy` changes
            colours or geometry in one or two of many ways (Müller and Hutter, *TrivialAugment*,
            2021; Cubuk et al., *RandAugment*, 2020); `jitter` changes brightness, contrast and
            saturation by up to this share; `erase` greys a rectangle of this share of the images
            (Zhong et al., *Random Erasing Data Augmentation*, 2020).

    Returns:
        uint8 `[B, H, W, 3]`, or of another size by `resized_to`.
    """
    size = images.shape[1], images.shape[2]
    if params.resized_to:
        size = with_shorter(size, params.resized_to)
    change = _transform(size, params)
    changed = images.new_empty(len(images), *size, 3)
    with torch.random.fork_rng(devices=[]), _one_thread():
        for number, seed in enumerate(seeds.tolist()):
            # Of the CPU alone: `torch.manual_seed` would seed the GPUs too.
            torch.default_generator.manual_seed(seed)
            image = images[number].permute(2, 0, 1)  # (3, H, W)
            changed[number] = change(image).permute(1, 2, 0)
    return changed


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on the CPU with a single thread.

    One image is too little to share: where other processes want the cores too, threads that wait
    for each other at every small operation take ten times as long. And so its bits do not depend
    on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _transform(size: Size, params: AugmentParams) -> Any:
    """Return all changes that are switched on as one, in the order of torchvision's recipes.

    Args:
        size: height and width of the changed images.
        params: see `change_photographs`.
    """
    # Imported late: it takes a second, and most trainings do without it.
    from torchvision.transforms import v2

    # As in those recipes; what a rotation uncovers is grey, as all that is hidden.
    policy: dict[str, Any] = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": GREY}
    share, jitter = params.resized_crop, params.jitter
    changes: list[Any] = []
    if share < 1 or params.resized_to:
        height, width = size
        ratio = 3 / 4 * (width / height), 4 / 3 * (width / height)
        changes.append(v2.RandomResizedCrop(size, (share, 1), ratio, antialias=True))
    # Cropping is faster with a pixel's colours side by side, all else with one colour at a time.
    changes.append(torch.Tensor.contiguous)
    if params.policy == "trivial":
        changes.append(v2.TrivialAugmentWide(**policy))
    if params.policy == "rand":
        changes.append(v2.RandAugment(**policy))
    if jitter > 0:
        changes.append(v2.ColorJitter(jitter, jitter, jitter))
    if params.erase > 0:
        changes.append(v2.RandomErasing(params.erase, value=GREY))
    return v2.Compose(changes)
