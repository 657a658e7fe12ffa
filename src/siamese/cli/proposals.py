"""Which network, image size and augmentation suit a data set, and why.

Photographs are what networks are pretrained on: one of those is fitted to them. For everything else
a network is trained from random weights, as CIFAR-100's is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from siamese.base.errors import InputError
from siamese.base.image_size import Size, in_words, sides, written
from siamese.base.weights_folder import NONE
from siamese.cli.defaults import DEFAULTS
from siamese.cli.looks import KINDS, LARGE, Kind, Look
from siamese.cli.photographs import (
    AUGMENT,
    FINE_TUNING,
    HEAD_ALONE,
    NETWORK,
    OF_TIMM,
    training_size,
)
from siamese.network.timm_networks import is_timm, timm_config

PRETRAINED = "pretrained"  # of `--weights`: those that timm names for the network
# The size for a network of ours, where the images are LARGE.
SIZE = 64
# For writing: what is written alone, and changes that leave it what it is.
WRITING: dict[str, Any] = {
    "data.fit": "ink",
    "network.width": 16,
    "network.mirror": False,
    "train.augment.flip": False,
    "train.augment.rotate": 5.0,
    "train.augment.scale": 0.1,
    "train.augment.stroke": 0.3,
}
# Where some images are forged. The nearest neighbour is soon always right, so it says nothing; the
# equal error rate of the validation pairs goes up and down, so all epochs are tried. Forgeries that
# are pushed far from what they imitate are learned by heart: a small margin does for other writers.
FORGED: dict[str, Any] = {
    "pairs.forged": 0.75,
    "train.margin": 0.5,
    "train.monitor": "eer",
    "train.patience": DEFAULTS["pairs.epochs"],
}
# Of a network from random weights.
FORGED_FROM_NOTHING: dict[str, Any] = {"pairs.epochs": 15}
# Of classes, if splits are cut by class: their thresholds are to hold for other classes.
FORGED_VALIDATION = 0.2
# At most so many times as wide as high, or the other way round: images cost by their pixels.
LONGEST = 4
NO_AUGMENT: dict[str, Any] = {
    "train.augment.flip": False,
    "train.augment.crop": 0,
    "train.augment.cutout": 0,
    "train.augment.resized_crop": 1.0,
    "train.augment.resized_to": 0,
    "train.augment.jitter": 0.0,
    "train.augment.policy": "none",
    "train.augment.erase": 0.0,
    "train.augment.rotate": 0.0,
    "train.augment.scale": 0.0,
    "train.augment.stroke": 0.0,
}

SEEN: dict[Kind, str] = {
    "photographs": f"colourful, of many shades, and {LARGE} pixels or larger",
    "drawings": f"of few colours, and {LARGE} pixels or larger",
    "writing": "grey, and of two tones",
    "small": f"smaller than {LARGE} pixels",
}


@dataclass(frozen=True)
class Proposal:
    """What suits a data set.

    Attributes:
        kind: what the images were taken for.
        values: parameters by dotted name. The section `weights` is not among them.
        weights: `none`, `pretrained`, or where the weights are.
    """

    kind: Kind
    values: dict[str, Any]
    weights: str

    @property
    def is_pretrained(self) -> bool:
        """Whether training starts from weights."""
        return self.weights != NONE


def propose(
    look: Look, kind: Kind | None, weights: str | None, wanted: Mapping[str, Any]
) -> Proposal:
    """Propose a network and what goes with it.

    Args:
        look: what the images look like.
        kind: what they are, if that was said.
        weights: `none`, `pretrained` or where they are, if that was said.
        wanted: parameters that were asked for, by dotted name.

    Raises:
        InputError: what was asked for does not go together.
    """
    taken_for = kind or look.kind or "small"
    freeze = wanted.get("train.freeze", "none")
    network = wanted.get("network.architecture")
    if network is None:
        fits = taken_for == "photographs" or weights is not None or freeze != "none"
        network = NETWORK if fits and weights != NONE else DEFAULTS["network.architecture"]
    if weights is None:
        weights = PRETRAINED if is_timm(network) else NONE
    if weights != NONE and not is_timm(network):
        raise InputError(
            f"network.architecture is {network!r}, which is trained from random weights; weights"
            f" (`--weights {weights}`) are for networks of timm, such as `--network {NETWORK}`"
        )
    if weights == NONE and freeze != "none":
        raise InputError(
            f"train.freeze is {freeze!r}, but {network} starts from random weights, of which"
            f" nothing is worth keeping; expected pretrained weights, as of `--network {NETWORK}`"
        )
    values: dict[str, Any] = {"network.architecture": network}
    if is_timm(network):
        values |= OF_TIMM
    elif look.longer >= LARGE and taken_for != "small":
        values["data.image_size"] = SIZE
    if weights != NONE:
        values |= HEAD_ALONE if freeze == "backbone" else FINE_TUNING
    if is_timm(network) and taken_for == "photographs" and freeze != "backbone":
        values |= AUGMENT
        # Transformers take images of one size alone.
        if not timm_config(network).fixed_input_size:
            size = wanted.get("data.image_size") or values["data.image_size"]
            values["train.augment.resized_to"] = training_size(min(sides(size)))
    if taken_for == "writing":
        values |= WRITING
        if not is_timm(network) and look.longer:
            side = values.get("data.image_size", DEFAULTS["data.image_size"])
            values["data.image_size"] = written(_shape(look, side))
    return Proposal(taken_for, values, weights)


def _shape(look: Look, side: int) -> Size:
    """Return the size in steps of `side`, the shorter of its sides, that images come nearest to."""
    times = min(LONGEST, round(look.longer / min(look.width, look.height))) * side
    return (side, times) if look.width >= look.height else (times, side)


def reasons(
    look: Look, kind: Kind | None, proposal: Proposal, values: Mapping[str, Any], n_train: int
) -> list[str]:
    """Say what the images were taken for, and what follows.

    Args:
        look: what they look like.
        kind: what they are, if that was said.
        proposal: what was proposed for them.
        values: what was set in the end, by dotted name.
        n_train: how many images there are to train on.
    """
    count, of = look.share
    others = "|".join(other for other in KINDS if other != proposal.kind)
    if kind:
        what = f"taken for {kind}, as asked for"
    elif look.kind:
        what = (
            f"taken for {look.kind}: {count} of the {of} images that were opened are"
            f" {SEEN[look.kind]} (if they are not: `--kind {others}`)"
        )
    else:
        what = (
            f"taken for nothing in particular: {count} of the {of} images that were opened are"
            f" grey, of many tones (if you know better: `--kind {others}`)"
        )
    network, size = values["network.architecture"], values["data.image_size"]
    ink = ", of what is written alone, black on white" if values["data.fit"] == "ink" else ""
    mirror = "" if values["network.mirror"] else ", and no mirror images"
    at = f"at {in_words(size)} pixels{ink}{mirror}"
    if values["train.freeze"] == "backbone":
        return [
            what,
            f"so {network} stays as it was pretrained, and a linear layer is trained on its"
            f" features, which are computed once, {at}",
        ]
    how = "is trained from random weights"
    if proposal.is_pretrained:
        how = "is fitted to them, from pretrained weights (`--fast`: its last layer alone)"
    n_images = 2 * values["pairs.batch_size"] * values["pairs.batches_per_epoch"]
    n_images *= values["pairs.epochs"]
    return [
        what,
        f"so {network} {how}, {at}: training computes {n_images:,} images at most, each about"
        f" {max(1, round(n_images / n_train)):,} times",
    ]
