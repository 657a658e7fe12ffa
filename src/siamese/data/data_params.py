"""The `data` section of `params.yaml`, apart from the code that fetches and decodes.

`prepare` reads this section too, and should not run again because a decoder changed.
"""

from typing import Annotated, Literal

from pydantic import Field

from siamese.params import Section


class DataParams(Section):
    """Which data set the pipeline is built on, and where CIFAR-100's archive comes from."""

    name: Literal["cifar100", "digits"]
    image_size: int = Field(ge=8, le=256)
    urls: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
