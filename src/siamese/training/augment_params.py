"""The `train.augment` part of `params.yaml`."""

from typing import Literal

from pydantic import Field

from siamese.base.params import Section


class AugmentParams(Section):
    """The `train.augment` part of `params.yaml`, where each value is explained."""

    flip: bool
    crop: int = Field(ge=0, le=64)
    cutout: int = Field(ge=0, le=256)
    resized_crop: float = Field(gt=0, le=1)
    resized_to: int = Field(ge=0, le=4096)
    jitter: float = Field(ge=0, le=1)
    policy: Literal["none", "trivial", "rand"]
    erase: float = Field(ge=0, le=1)
    rotate: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, le=0.5)
    stroke: float = Field(ge=0, le=1)

    @property
    def changes_writing(self) -> bool:
        """Whether there is a change that leaves writing what it is."""
        return max(self.rotate, self.scale, self.stroke) > 0

    @property
    def changes_photographs(self) -> bool:
        """Whether there is a change that the host decides about, image by image."""
        is_drawn = self.jitter > 0 or self.policy != "none" or self.erase > 0
        return self.resized_crop < 1 or self.resized_to > 0 or is_drawn
