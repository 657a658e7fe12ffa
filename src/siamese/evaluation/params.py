"""The `evaluate` section of `params.yaml`."""

from pydantic import Field, field_validator

from siamese.base.params import Section


class EvaluateParams(Section):
    """The `evaluate` section of `params.yaml`."""

    k: list[int] = Field(min_length=1)
    vote_k: int = Field(ge=1)
    temperature: float = Field(gt=0)
    curve_k: list[int] = Field(min_length=1)
    sheet_queries: int = Field(ge=1, le=100)
    sheet_neighbours: int = Field(ge=1, le=50)
    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("k", "curve_k")
    @classmethod
    def _positive(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or sorted(set(value)) != value:
            raise ValueError("expected whole numbers from 1 up, ascending, none twice")
        return value
