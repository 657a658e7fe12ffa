"""The siamese network: one encoder, one set of weights, any number of inputs.

Architectures: the classic four-convolution siamese network; a ResNet-9, the small residual network
of the DAWNBench CIFAR-10 entries (D. Page, *How to Train Your ResNet*, 2018), whose width is a
parameter; torchvision's ResNet-18 (He et al., *Deep Residual Learning*, CVPR 2016) with a stem for
small images.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torchvision
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from siamese.errors import InputError
from siamese.params import Section


class NetworkParams(Section):
    """The `network` section of `params.yaml`, shared by `train` and `floor`."""

    architecture: Literal["conv4", "resnet9", "resnet18"]
    width: int = Field(ge=1, le=1024)
    embedding_dim: int = Field(ge=1, le=4096)
    normalize: bool
    seed: int = Field(ge=0)


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
        super().__init__()
        self.normalize = params.normalize
        self.image_size = image_size
        self.register_buffer("channel_mean", torch.tensor(channel_mean).view(1, 3, 1, 1))
        self.register_buffer("channel_std", torch.tensor(channel_std).view(1, 3, 1, 1))
        match params.architecture:
            case "conv4":
                self.encoder = conv4(params.embedding_dim, image_size)
            case "resnet9":
                self.encoder = resnet9(params.width, params.embedding_dim, image_size)
            case "resnet18":
                self.encoder = resnet18(params.embedding_dim)

    def encode(self, images: Tensor) -> Tensor:
        """Embed one batch.

        Args:
            images: uint8 `[B, 3, H, W]`.

        Returns:
            float32 `[B, embedding_dim]`; of length 1 if the network normalises.
        """
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
    with torch.random.fork_rng():
        torch.manual_seed(params.seed)
        network = SiameseNetwork(params, image_size, channel_mean, channel_std)
    return network.to(memory_format=torch.channels_last)


def conv4(embedding_dim: int, image_size: int) -> nn.Module:
    """Four convolutions of 32, 64, 128 and 256 channels, each halving the image."""
    if image_size < 16:
        raise InputError(
            f"params.yaml: `data.image_size` is {image_size}; `network.architecture` conv4 halves"
            " the image four times and needs 16 or more"
        )
    left = image_size // 16
    return nn.Sequential(
        *_convolution(3, 32),
        nn.MaxPool2d(2),
        *_convolution(32, 64),
        nn.MaxPool2d(2),
        *_convolution(64, 128),
        nn.MaxPool2d(2),
        *_convolution(128, 256),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256 * left * left, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, embedding_dim),
    )


def resnet9(width: int, embedding_dim: int, image_size: int) -> nn.Module:
    """Eight convolutions of 1, 2, 4 and 8 times `width` channels, and a linear layer."""
    if image_size < 8:
        raise InputError(
            f"params.yaml: `data.image_size` is {image_size}; `network.architecture` resnet9"
            " halves the image three times and needs 8 or more"
        )
    return nn.Sequential(
        *_convolution(3, width),
        *_convolution(width, 2 * width),
        nn.MaxPool2d(2),
        _Residual(2 * width),
        *_convolution(2 * width, 4 * width),
        nn.MaxPool2d(2),
        *_convolution(4 * width, 8 * width),
        nn.MaxPool2d(2),
        _Residual(8 * width),
        _GlobalMaxPool(),
        nn.Linear(8 * width, embedding_dim),
    )


def resnet18(embedding_dim: int) -> nn.Module:
    """Return torchvision's ResNet-18, untrained, that keeps small images at full size at first."""
    network = torchvision.models.resnet18(num_classes=embedding_dim)
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def _convolution(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


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
