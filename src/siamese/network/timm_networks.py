"""Networks of the library timm (R. Wightman, *PyTorch Image Models*), with an embedding head.

`network.architecture: timm/NAME` names one. Its features, pooled as timm does it for that network,
go through a linear layer, the head. Nothing is ever downloaded here: weights are in a file.
"""

import difflib
import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from siamese.base.errors import InputError
from siamese.base.files import reading
from siamese.base.image_size import Size, sides, written
from siamese.base.weights_folder import Weights

PREFIX = "timm/"
WIDTH = 120  # of what a message says of one kind of fault


class HeadedBackbone(nn.Module):
    """A network that makes features of images, and a linear layer that makes embeddings of them.

    Args:
        backbone: from float32 `[B, 3, H, W]` to `[B, n_features]`.
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
    architecture: str, embedding_dim: int, image_size: Size, weights: Weights | None = None
) -> HeadedBackbone:
    """Build a network of timm with an embedding head.

    Args:
        architecture: `timm/NAME`; NAME may have a tag, `resnet50.a1_in1k`.
        embedding_dim: of the head, whose weights are random.
        image_size: height and width, in pixels.
        weights: that the backbone starts from; without, it is random too.

    Raises:
        InputError: timm is not installed, has no such network, or that network cannot take such
            images or makes no features of them; or the weights are not those of this network.
    """
    n_features = count_features(architecture, image_size)
    backbone = _create(architecture, image_size, num_classes=0)
    network = HeadedBackbone(backbone, n_features, embedding_dim)
    if weights:  # after the head, which is then the same with any weights and without
        backbone.load_state_dict(_started_from(weights.file, architecture, image_size, backbone))
    return network


def count_features(architecture: str, image_size: Size) -> int:
    """Return how many features a network of timm makes of an image, having seen that it does.

    Raises:
        InputError: timm is not installed, has no such network, or that network cannot take such
            images or makes no vectors of them.
    """
    seen = _try(architecture, image_size)
    if seen is None:
        sizes = _sizes(architecture, image_size)
        raise InputError(
            f"params.yaml: `data.image_size` is {written(image_size)}; `network.architecture`"
            f" {architecture} takes {sizes}: set `data.image_size` to that"
        )
    _, features = seen
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise InputError(
            f"params.yaml: `network.architecture` {architecture} makes no vector of an image, which"
            " an embedding needs; choose another network of timm"
        )
    return features.shape[1]


def statistics_of(architecture: str, weights: Weights) -> tuple[list[float], list[float]]:
    """Return the channel means and deviations that weights of a network of timm want.

    They are those of the architecture's tag (without one, of timm's first choice), unless timm
    knows the weights' source under another.
    """
    config = timm_config(architecture)
    unpinned = weights.origin.source.partition("@")[0]
    for name in _tagged(architecture):
        if unpinned == f"hf:{timm_config(PREFIX + name).hf_hub_id}":
            config = timm_config(PREFIX + name)
    return list(config.mean), list(config.std)


def _started_from(
    file: Path, architecture: str, image_size: Size, backbone: nn.Module
) -> dict[str, Tensor]:
    """Return the state of a backbone that starts from a file, as timm makes it of that file.

    Raises:
        InputError: the file is damaged, or does not hold this network's weights, all of them.
    """
    from safetensors.torch import load_file

    with reading(file, "weights"):
        found = load_file(file)
    config = timm_config(architecture)
    # With a classifier as large as the file's, timm is strict: it leaves nothing out, nor random.
    classifier = config.classifier or "no classifier"
    first = classifier if isinstance(classifier, str) else classifier[0]
    n_classes = len(found.get(f"{first}.weight", ()))

    def loaded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        # Of an empty file timm would download its own weights, if it knew where they are.
        nowhere = {"url": None, "hf_hub_id": None}
        overlay = {"state_dict": tensors, "num_classes": n_classes, "label_offset": 0, **nowhere}
        try:
            network = _create(
                architecture,
                image_size,
                num_classes=n_classes,
                pretrained=True,
                pretrained_cfg_overlay=overlay,
            )
        except Exception as error:  # what converts other files for timm trips over these in any way
            raise _misfit(file, architecture, image_size, _reason(error)) from None
        state = network.state_dict()
        return {name: state[name] for name in backbone.state_dict()}

    # But for some networks timm is never strict: what comes from the file is not a number here.
    marks = {
        name: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
        for name, tensor in found.items()
    }
    random = [
        name
        for name, tensor in loaded(marks).items()
        if tensor.is_floating_point() and not tensor.isnan().all()
    ]
    if random:
        reason = textwrap.shorten(f"missing: {', '.join(random)}", WIDTH)
        raise _misfit(file, architecture, image_size, reason)
    return loaded(found)


def _misfit(file: Path, architecture: str, image_size: Size, reason: str) -> InputError:
    """Return the error of weights that are not those of a network."""
    config = timm_config(architecture)
    size = config.input_size[-1]
    advice = ""
    if config.fixed_input_size and sides(size) != image_size:
        advice = f", or set `data.image_size` to {size}: this network may take no other with them"
    return InputError(
        f"{file}: these are not the weights of `network.architecture` {architecture}"
        f" ({reason}); name the network that they are of{advice}"
    )


def _reason(error: Exception) -> str:
    """Return why timm cannot load a file: what PyTorch lists, the first of each kind."""
    text = str(error)
    for theirs, ours in (("Missing key(s)", "missing"), ("Unexpected key(s)", "not expected")):
        text = text.replace(f"{theirs} in state_dict:", f"{ours}:")
    listed = [textwrap.shorten(line, WIDTH) for line in text.splitlines()[1:4]]
    return "; ".join(listed) or textwrap.shorten(repr(error), WIDTH)


def _try(architecture: str, image_size: Size) -> tuple[nn.Module, Any] | None:
    """Return a network of timm and what it makes of one image; None if it cannot take the size.

    Both are on PyTorch's device without memory: shapes alone are computed, in little time.
    """
    config = timm_config(architecture)
    try:
        with torch.device("meta"), torch.inference_mode():
            backbone = _create(architecture, image_size, num_classes=0).eval()
            features = backbone(torch.zeros(1, 3, *image_size))
    except Exception:  # timm asserts, or a layer has too little left of the image for it
        return None
    # Many transformers would not see the pixels that are left over when an image is cut in patches.
    patches: list[Any] = [getattr(one, "patch_size", None) for one in backbone.modules()]
    patch = next(filter(None, patches), 1)
    side = patch if isinstance(patch, int) else max(patch)
    is_cut = any(pixels % side for pixels in image_size)
    return None if config.fixed_input_size and is_cut else (backbone, features)


def _sizes(architecture: str, image_size: Size) -> str:
    """Say which sizes a network of timm takes, of those near one that it does not take."""
    native = timm_config(architecture).input_size[-1]
    seen = _try(architecture, sides(native))
    info = getattr(seen[0], "feature_info", None) if seen else None
    if info:
        step = info[-1]["reduction"]
        high, wide = (max(1, round(pixels / step)) * step for pixels in image_size)
        if (high, wide) != image_size and _try(architecture, (high, wide)):
            return f"multiples of {step}, such as {written((high, wide))}"
    return f"{native} pixels"


def _create(architecture: str, image_size: Size, **settings: Any) -> nn.Module:
    """Create a network of timm for images of a size, its weights random unless they are given."""
    import timm

    if timm_config(architecture).fixed_input_size:  # then, and only then, it is made for one size
        high, wide = image_size
        settings["img_size"] = high if high == wide else image_size  # some know squares alone
    return timm.create_model(architecture.removeprefix(PREFIX), in_chans=3, **settings)


def timm_config(architecture: str) -> Any:
    """Return what timm knows of the weights of a network: its `PretrainedCfg`.

    Raises:
        InputError: timm is not installed, or has no such network.
    """
    try:
        import timm  # it takes two seconds, and other architectures do not need it
    except ModuleNotFoundError as error:
        raise InputError(
            f"`network.architecture` {architecture} needs more than is installed ({error.name});"
            " `pip install 'siamese[timm]'` brings it"
        ) from None

    name = architecture.removeprefix(PREFIX)
    tagged = _tagged(architecture)
    if name in (*tagged, name.partition(".")[0]) and (config := timm.get_pretrained_cfg(name)):
        return config
    near = difflib.get_close_matches(name, tagged or timm.list_models(), n=3)
    advice = f"did you mean {', '.join(f'`{PREFIX}{one}`' for one in near)}?"
    if not near:
        advice = "`python -c 'import timm; print(*timm.list_models())'` lists them"
    raise InputError(
        f"params.yaml: `network.architecture` is {architecture}; timm {timm.__version__} has no"
        f" such network; {advice}"
    )


def _tagged(architecture: str) -> list[str]:
    """Return the names with tags, one for each of timm's weights, that a network of timm has."""
    from timm import list_models

    name = architecture.removeprefix(PREFIX).partition(".")[0]
    return list_models(f"{name}.*", include_tags=True)
