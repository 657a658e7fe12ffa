"""The `weights` section of `params.yaml`."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from siamese.base.params import Section
from siamese.base.weights_folder import NONE
from siamese.weights.sources import repository


class WeightsParams(Section):
    """Which weights training starts from, and what their file must be."""

    source: str = Field(min_length=1)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    license: str

    @field_validator("source")
    @classmethod
    def _is_one(cls, source: str) -> str:
        repository(source)
        return source

    @model_validator(mode="after")
    def _verified(self) -> Self:
        if self.source != NONE and not (self.bytes and self.sha256):
            raise ValueError(
                f"`weights.source` is {self.source!r}, but `weights.bytes` and `weights.sha256` do"
                f" not say what that file must be; `siamese weights --source {self.source}` finds"
                " out and sets them"
            )
        return self
