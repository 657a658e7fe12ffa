"""Networks of the library timm (R. Wightman, *PyTorch Image Models*), with an embedding head.

`network.architecture: timm/NAME` names one. Its features, pooled as timm does it for that network,
go through a linear layer, the head.
"""

from pathlib import Path

from torch import Tensor, nn

PREFIX = "timm/"


class HeadedBackbone(nn.Module):
    """A network that makes features of images, and a linear layer that makes embeddings of them.

    Args:
        backbone: from float32 `[B, 3, H, W]` to `[B, features]`.
        n_features: how many.
        embedding_dim: of the head.
    """

    def __init__(self, backbone: nn.Module, n_features: int, embedding_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(n_features, embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings, float `[B, embedding_dim]`, of standardised images."""
        return self.head(self.backbone(images))


def is_timm(architecture: str) -> bool:
    """Tell whether `network.architecture` names a network of timm."""
    return architecture.startswith(PREFIX)


def timm_network(
    architecture: str, embedding_dim: int, image_size: int, weights: Path | None = None
) -> HeadedBackbone:
    """Build a network of timm with an embedding head.

    Args:
        architecture: `timm/NAME`; NAME may have a tag, `resnet50.a1_in1k`.
        embedding_dim: of the head, whose weights are random.
        image_size: height and width, in pixels.
        weights: safetensors that the backbone starts from; without, it is random too.
    """
    import timm  # it takes two seconds, and other architectures do not need it
    from safetensors.torch import load_file

    overlay = {"state_dict": load_file(weights)} if weights else None
    backbone = timm.create_model(
        architecture.removeprefix(PREFIX),
        pretrained=weights is not None,
        pretrained_cfg_overlay=overlay,
        num_classes=0,
    )
    return HeadedBackbone(backbone, backbone.num_features, embedding_dim)


def statistics_of(architecture: str) -> tuple[list[float], list[float]]:
    """Return the channel means and deviations that timm's weights of a network want."""
    import timm

    config = timm.get_pretrained_cfg(architecture.removeprefix(PREFIX))
    return list(config.mean), list(config.std)
