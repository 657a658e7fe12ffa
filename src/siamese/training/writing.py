"""Random changes that leave writing what it is: how it is held, how large, by which pen.

They are computed for whole batches, where the images lie.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from siamese.training.augment_params import AugmentParams


def draw_bends(count: int, generator: torch.Generator) -> Tensor:
    """Draw what happens to `count` images: how far each goes in each of three ways, from -1 to 1.

    Returns:
        float32 `[count, 3]`, on the CPU: rotation, scale, stroke.
    """
    return 2 * torch.rand(count, 3, generator=generator) - 1


def change_writing(images: Tensor, bends: Tensor, params: AugmentParams) -> Tensor:
    """Change each image of a batch in its own way.

    Args:
        images: uint8 `[B, H, W, 3]`.
        bends: what `draw_bends` drew, on the same device.
        params: `rotate` turns by up to this many degrees either way, and `scale` enlarges or
            shrinks by up to this share, around the middle; what that uncovers repeats the edge.
            `stroke` makes lines up to this many pixels thicker or thinner on each of their sides.

    Returns:
        uint8 `[B, H, W, 3]`.
    """
    planes = images.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
    turn, growth, stroke = bends.unbind(dim=1)
    if params.rotate or params.scale:
        angle = turn * math.radians(params.rotate)
        planes = _turned(planes, angle, 1 + growth * params.scale)
    if params.stroke:
        planes = _redrawn(planes, stroke * params.stroke)
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1)


def _turned(planes: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Turn images clockwise, in radians, and enlarge them; angle and scale are float32 `[B]`."""
    height, width = planes.shape[2:]
    sine, cosine = ((part / scale)[:, None, None] for part in (angle.sin(), angle.cos()))
    y, x = (_centred(pixels, planes.device) for pixels in (height, width))
    y = y[:, None]
    # Where each pixel comes from. Computed one by one, and so alike in any batch.
    across, down = cosine * x + sine * y, cosine * y - sine * x  # (B, H, W)
    origins = torch.stack([2 * across / width, 2 * down / height], dim=-1)
    return functional.grid_sample(planes, origins, padding_mode="border", align_corners=False)


def _centred(pixels: int, device: torch.device) -> Tensor:
    """Return the places of pixels in a row, from its middle; float32."""
    return torch.arange(pixels, device=device) - (pixels - 1) / 2


def _redrawn(planes: Tensor, growth: Tensor) -> Tensor:
    """Let dark lines grow on each side by as many pixels, float32 `[B]` from -1 to 1."""
    lighter = functional.max_pool2d(planes, kernel_size=3, stride=1, padding=1)
    darker = -functional.max_pool2d(-planes, kernel_size=3, stride=1, padding=1)
    growth = growth[:, None, None, None]
    return planes.lerp(torch.where(growth > 0, darker, lighter), growth.abs())
