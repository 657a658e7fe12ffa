"""The `train` section of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from siamese.network.compute import Precision
from siamese.training.augment_params import AugmentParams
from siamese.training.objective import ObjectiveParams


class TrainParams(ObjectiveParams):
    """The `train` section of `params.yaml`, where each value is explained."""

    optimizer: Literal["muon", "adamw"]
    learning_rate: float = Field(gt=0)
    learning_rate_rest: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    freeze: Literal["none", "statistics", "backbone"]
    images_at_once: Literal["all"] | Annotated[int, Field(ge=2)]
    warmup: float = Field(gt=0, lt=1)
    precision: Precision
    augment: AugmentParams
    monitor: Literal["knn", "loss", "eer"]
    monitor_k: int = Field(ge=1)
    monitor_gallery: int = Field(ge=1)
    patience: int = Field(ge=1)
    min_delta: float = Field(ge=0)
    processes: int = Field(ge=1, le=4096)
