"""The siamese network: one encoder, one set of weights, any number of inputs."""

from collections.abc import Sequence

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from siamese.base.errors import InputError
from siamese.base.image_size import Size, sides, with_shorter, written
from siamese.base.params import Section, nearest_name
from siamese.base.weights_folder import NONE, Weights
from siamese.network.architectures import ARCHITECTURES
from siamese.network.timm_networks import (
    HeadedBackbone,
    count_features,
    is_timm,
    statistics_of,
    timm_network,
)


class NetworkParams(Section):
    """The `network` section of `params.yaml`, shared by `train` and `floor`."""

    architecture: str
    width: int = Field(ge=1, le=1024)
    embedding_dim: int = Field(ge=1, le=4096)
    normalize: bool
    mirror: bool
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in ARCHITECTURES and not is_timm(name):
            raise ValueError(f"there is no such architecture{nearest_name(name, ARCHITECTURES)}")
        return name


class SiameseNetwork(nn.Module):
    """An encoder of images into vectors, called once on all inputs joined.

    It takes images as they are stored, uint8, and standardises them itself, so that its saved
    weights need nothing else.

    Args:
        params: the architecture and the embedding.
        image_size: height and width of the images, in pixels; one number if they are the same.
        channel_mean: mean of each channel over the training images, pixels in [0, 1].
        channel_std: standard deviation of each channel, on the same scale.
        weights: that the backbone of a timm network starts from.

    Raises:
        InputError: the architecture cannot take images of that size, or such weights, or is one of
            timm's and cannot be had.
    """

    channel_mean: Tensor
    channel_std: Tensor

    def __init__(
        self,
        params: NetworkParams,
        image_size: int | Size,
        channel_mean: Sequence[float] = (0.5, 0.5, 0.5),
        channel_std: Sequence[float] = (0.25, 0.25, 0.25),
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        self.normalize = params.normalize
        self.mirror = params.mirror
        self.image_size = size = sides(image_size)
        self.embedding_dim = params.embedding_dim
        self.register_buffer("channel_mean", torch.tensor(channel_mean).view(1, 3, 1, 1))
        self.register_buffer("channel_std", torch.tensor(channel_std).view(1, 3, 1, 1))
        self.encoder: nn.Module
        if is_timm(params.architecture):
            self.encoder = timm_network(params.architecture, params.embedding_dim, size, weights)
        else:
            check_image_size(params.architecture, size)
            build = ARCHITECTURES[params.architecture].build
            self.encoder = build(params.width, params.embedding_dim, size)

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
            embeddings = self.mean_of(embeddings, self._embed(images.flip(3)))
        return embeddings

    def features(self, images: Tensor) -> Tensor:
        """Compute what the head of a network of timm gets; other networks have no such features.

        Args:
            images: uint8 `[B, 3, H, W]`; no mirror image is looked at.

        Returns:
            float32 `[B, n_features]`.
        """
        return self._headed().backbone(self._standardised(images)).float()

    def embed_features(self, features: Tensor) -> Tensor:
        """Embed what `features` returned, by the head alone.

        Args:
            features: float32 `[B, n_features]`.

        Returns:
            float32 `[B, embedding_dim]`; of length 1 if the network normalises.
        """
        return self._finished(self._headed().head(features))

    def mean_of(self, own: Tensor, mirrored: Tensor) -> Tensor:
        """Return the mean of the embeddings of images and of their mirror images.

        Args:
            own: float32 `[B, embedding_dim]`.
            mirrored: float32 of the same shape.

        Returns:
            float32 of the same shape; of length 1 if the network normalises.
        """
        return self._finished((own + mirrored) / 2)

    @property
    def head(self) -> nn.Linear:
        """The linear layer after the features of a network of timm."""
        return self._headed().head

    def drop_head(self) -> None:
        """Let a network of timm embed by its features alone, for good; no other network can."""
        encoder = self._headed()
        self.embedding_dim = encoder.head.in_features
        self.encoder = encoder.backbone

    def _headed(self) -> HeadedBackbone:
        assert isinstance(self.encoder, HeadedBackbone), "not a network of timm"
        return self.encoder

    def _embed(self, images: Tensor) -> Tensor:
        return self._finished(self.encoder(self._standardised(images)))

    def _standardised(self, images: Tensor) -> Tensor:
        standardised = (images.float() / 255 - self.channel_mean) / self.channel_std
        return standardised.contiguous(memory_format=torch.channels_last)

    def _finished(self, embeddings: Tensor) -> Tensor:
        embeddings = embeddings.float()  # lengths and distances are never taken in half precision
        return functional.normalize(embeddings, dim=1) if self.normalize else embeddings

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Embed any number of batches, uint8 `[B_i, 3, H, W]` each, in one pass.

        Returns:
            One tensor per input, float32 `[B_i, embedding_dim]`, in the order of the inputs.
        """
        joined = self.encode(torch.cat(inputs))
        return torch.split(joined, [len(images) for images in inputs])


def build_network(
    params: NetworkParams,
    image_size: int | Size,
    channel_mean: Sequence[float],
    channel_std: Sequence[float],
    weights: Weights | None = None,
) -> SiameseNetwork:
    """Make the untrained network: the same `params.seed` gives the same initial weights.

    With pretrained weights its images are standardised as those of the pretraining were.

    Raises:
        InputError: see `SiameseNetwork`; or only a network of timm could start from the weights.
    """
    if weights:
        check_source(params.architecture, weights.origin.source)
        channel_mean, channel_std = statistics_of(params.architecture, weights)
    # Built on the CPU: the random states of GPUs are neither saved, which would wake them, nor set.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(params.seed)
        network = SiameseNetwork(params, image_size, channel_mean, channel_std, weights)
    return network.to(memory_format=torch.channels_last)


def check_training_size(params: NetworkParams, image_size: Size, training_size: int) -> None:
    """Refuse to train on images of another size than a network was made for, if it takes no other.

    Args:
        params: of the network.
        image_size: that it was made for.
        training_size: the shorter side of the images to train on, in pixels; 0: the same.

    Raises:
        InputError: it takes no such images, or is one of timm's and cannot be had.
    """
    if not training_size:
        return
    with torch.device("meta"), torch.inference_mode():  # shapes alone, which takes little time
        network = SiameseNetwork(params, image_size).eval()
        try:
            network.encoder(torch.zeros(1, 3, *with_shorter(image_size, training_size)))
        except Exception:  # timm asserts; a layer may have too little left of the image
            raise InputError(
                f"params.yaml: `train.augment.resized_to` is {training_size}, but"
                f" `network.architecture` {params.architecture}, made for images of"
                f" {written(image_size)} pixels, takes none of that size; set it to 0, for images"
                " as they are"
            ) from None


def check_source(architecture: str, source: str) -> None:
    """Refuse pretrained weights for a network that is not one of timm's.

    Raises:
        InputError: it is not, and `weights.source` is not `none`.
    """
    if source != NONE and not is_timm(architecture):
        raise InputError(
            f"params.yaml: `weights.source` is {source}, but `network.architecture` {architecture}"
            " starts from random weights alone; set `weights.source` to none, or"
            " `network.architecture` to the network of timm that the weights are of, timm/NAME"
        )


def check_image_size(architecture: str, image_size: int | Size) -> None:
    """Refuse images of a size that an architecture cannot take.

    Raises:
        InputError: it cannot, or it is one of timm's and cannot be had.
    """
    if is_timm(architecture):
        count_features(architecture, sides(image_size))
        return
    halvings = ARCHITECTURES[architecture].halvings
    if min(sides(image_size)) < 2**halvings:
        raise InputError(
            f"params.yaml: `data.image_size` is {written(image_size)}; `network.architecture`"
            f" {architecture} halves the image {halvings} times and needs {2**halvings} or more"
        )
