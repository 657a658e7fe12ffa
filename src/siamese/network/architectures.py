"""The architectures that `network.architecture` names: from images to vectors, untrained.

Each is a function of `width` (channels of the first layer, where the architecture can be made
wider), `embedding_dim` and `image_size`, height and width in pixels. It takes float32
`[B, 3, H, W]` and returns `[B, embedding_dim]`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from siamese.base.image_size import Size


def conv4(width: int, embedding_dim: int, image_size: Size) -> nn.Module:
    """Four convolutions of 32, 64, 128 and 256 channels, each halving the image."""
    left = (image_size[0] // 16) * (image_size[1] // 16)
    return nn.Sequential(
        *_convolution(3, 32, pool=True),
        *_convolution(32, 64, pool=True),
        *_convolution(64, 128, pool=True),
        *_convolution(128, 256, pool=True),
        nn.Flatten(),
        nn.Linear(256 * left, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, embedding_dim),
    )


def resnet9(width: int, embedding_dim: int, image_size: Size) -> nn.Module:
    """Eight convolutions of 1, 2, 4 and 8 times `width` channels, and a linear layer.

    The small residual network of the DAWNBench CIFAR-10 entries (D. Page, *How to Train Your
    ResNet*, 2018).
    """
    return nn.Sequential(
        *_convolution(3, width),
        *_convolution(width, 2 * width, pool=True),
        _Residual(2 * width),
        *_convolution(2 * width, 4 * width, pool=True),
        *_convolution(4 * width, 8 * width, pool=True),
        _Residual(8 * width),
        _GlobalMaxPool(),
        nn.Linear(8 * width, embedding_dim),
    )


def resnet18(width: int, embedding_dim: int, image_size: Size) -> nn.Module:
    """Return torchvision's ResNet-18, untrained, with first layers that keep small images large.

    He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016.
    """
    # Imported here: it takes a second or two, and the other architectures do not need it.
    from torchvision.models import resnet18 as torchvision_resnet18

    network = torchvision_resnet18(num_classes=embedding_dim)
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


class Architecture(NamedTuple):
    """How to build an encoder, and how often it halves height and width, rounding down."""

    build: Callable[[int, int, Size], nn.Module]
    halvings: int


ARCHITECTURES = {
    "conv4": Architecture(conv4, halvings=4),
    "resnet9": Architecture(resnet9, halvings=3),
    "resnet18": Architecture(resnet18, halvings=0),  # it halves rounding up: any size will do
}


def _convolution(channels_in: int, channels_out: int, pool: bool = False) -> list[nn.Module]:
    """Return convolution, pooling if asked for, normalisation and rectifier.

    Pooling comes right after the convolution: what follows has a quarter of the work to do.
    """
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, channels), *_convolution(channels, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class _GlobalMaxPool(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.amax(dim=(2, 3))  # (B, C)
