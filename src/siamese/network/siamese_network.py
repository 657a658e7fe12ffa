"""The siamese network: one encoder, one set of weights, any number of inputs.

Architectures: the classic four-convolution siamese network; a ResNet-9, the small residual network
of the DAWNBench CIFAR-10 entries (D. Page, *How to Train Your ResNet*, 2018), whose width is a
parameter; torchvision's ResNet-18 (He et al., *Deep Residual Learning*, CVPR 2016) with a stem for
small images.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from siamese.base.errors import InputError
from siamese.base.params import Section

# How often an architecture halves height and width, rounding down.
HALVINGS = {"conv4": 4, "resnet9": 3}


class NetworkParams(Section):
    """The `network` section of `params.yaml`, shared by `train` and `floor`."""

    architecture: Literal["conv4", "resnet9", "resnet18"]
    width: int = Field(ge=1, le=1024)
    embedding_dim: int = Field(ge=1, le=4096)
    normalize: bool
    mirror: bool
    seed: int = Field(ge=0, lt=2**32)


class SiameseNetwork(nn.Module):
    """An encoder of images into vectors, called once on all inputs joined.

    It takes images as they are stored, uint8, and standardises them itself, so that its saved
    weights need nothing else.

    Args:
        params: the architecture and the embedding.
        image_size: height and width of the images, in pixels.
        channel_mean: mean of each channel over the training images, pixels in [0, 1].
        channel_std: standard deviation of each channel, likewise.

    Raises:
        InputError: the images are too small for the architecture.
    """

    channel_mean: Tensor
    channel_std: Tensor

    def __init__(
        self,
        params: NetworkParams,
        image_size: int,
        channel_mean: Sequence[float] = (0.5, 0.5, 0.5),
        channel_std: Sequence[float] = (0.25, 0.25, 0.25),
    ) -> None:
        check_image_size(params.architecture, image_size)
        super().__init__()
        self.normalize = params.normalize
        self.mirror = params.mirror
        self.image_size = image_size
        self.embedding_dim = params.embedding_dim
        self.register_buffer("channel_mean", torch.tensor(channel_mean).view(1, 3, 1, 1))
        self.register_buffer("channel_std", torch.tensor(channel_std).view(1, 3, 1, 1))
        match params.architecture:
            case "conv4":
                self.encoder = conv4(params.embedding_dim, image_size)
            case "resnet9":
                self.encoder = resnet9(params.width, params.embedding_dim)
            case "resnet18":
                self.encoder = resnet18(params.embedding_dim)

    def encode(self, images: Tensor) -> Tensor:
        """Embed one batch.

        In evaluation mode, with `mirror`, the embedding of an image is the mean of its own and that
        of its mirror image: in training the network meets both.

        Args:
            images: uint8 `[B, 3, H, W]`.

        Returns:
            float32 `[B, embedding_dim]`; of length 1 if the network normalises.
        """
        embeddings = self._embed(images)
        if self.mirror and not self.training:
            embeddings = (embeddings + self._embed(images.flip(3))) / 2
            if self.normalize:
                embeddings = functional.normalize(embeddings, dim=1)
        return embeddings

    def _embed(self, images: Tensor) -> Tensor:
        standardised = (images.float() / 255 - self.channel_mean) / self.channel_std
        embeddings = self.encoder(standardised.contiguous(memory_format=torch.channels_last))
        embeddings = embeddings.float()  # lengths and distances are never taken in half precision
        return functional.normalize(embeddings, dim=1) if self.normalize else embeddings

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Embed any number of batches, uint8 `[B_i, 3, H, W]` each, in one pass.

        Returns:
            One tensor an input, float32 `[B_i, embedding_dim]`, in the order of the inputs.
        """
        joined = self.encode(torch.cat(inputs))
        return torch.split(joined, [len(images) for images in inputs])


def build_network(
    params: NetworkParams,
    image_size: int,
    channel_mean: Sequence[float],
    channel_std: Sequence[float],
) -> SiameseNetwork:
    """Make the untrained network: the same `params.seed` gives the same initial weights."""
    # Built on the CPU: the random states of GPUs are neither saved, which would wake them, nor set.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(params.seed)
        network = SiameseNetwork(params, image_size, channel_mean, channel_std)
    return network.to(memory_format=torch.channels_last)


def check_image_size(architecture: str, image_size: int) -> None:
    """Refuse images that an architecture would halve down to nothing."""
    halvings = HALVINGS.get(architecture, 0)
    if image_size < 2**halvings:
        raise InputError(
            f"params.yaml: `data.image_size` is {image_size}; `network.architecture` {architecture}"
            f" halves the image {halvings} times and needs {2**halvings} or more"
        )


def conv4(embedding_dim: int, image_size: int) -> nn.Module:
    """Four convolutions of 32, 64, 128 and 256 channels, each halving the image."""
    left = image_size // 16
    return nn.Sequential(
        *_convolution(3, 32, pool=True),
        *_convolution(32, 64, pool=True),
        *_convolution(64, 128, pool=True),
        *_convolution(128, 256, pool=True),
        nn.Flatten(),
        nn.Linear(256 * left * left, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, embedding_dim),
    )


def resnet9(width: int, embedding_dim: int) -> nn.Module:
    """Eight convolutions of 1, 2, 4 and 8 times `width` channels, and a linear layer."""
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


def resnet18(embedding_dim: int) -> nn.Module:
    """Return torchvision's ResNet-18, untrained, that keeps small images at full size at first."""
    # Imported here: it takes a second or two, and the other architectures have no need of it.
    from torchvision.models import resnet18 as torchvision_resnet18

    network = torchvision_resnet18(num_classes=embedding_dim)
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


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
