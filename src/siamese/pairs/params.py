"""The `pairs` section of `params.yaml`, separate from the code that draws."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from siamese.base.params import Section

Count = Annotated[int, Field(ge=2, multiple_of=2)]


class PairsParams(Section):
    """The `pairs` section: how many pairs of how many classes are drawn. Counts are of pairs.

    `given` is a table of pairs that take the place of drawn ones; see `siamese.pairs.given`.
    """

    batch_size: Count
    classes_per_batch: Annotated[int, Field(ge=2)]
    batches_per_epoch: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    validation: Count
    test: Count
    given: Annotated[str, Field(min_length=1)]
    forged: Annotated[float, Field(ge=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _a_like_pair_for_each_class(self) -> Self:
        if self.classes_per_batch > self.batch_size // 2:
            raise ValueError(
                f"`pairs.classes_per_batch` is {self.classes_per_batch} and `pairs.batch_size` is"
                f" {self.batch_size}; half of a batch are like pairs, at least one per class:"
                f" expected at most {self.batch_size // 2} classes, or a larger batch"
            )
        return self
