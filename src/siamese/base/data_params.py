"""The `data` section of `params.yaml`, apart from the code that fetches and decodes.

Several stages read parts of this section, and should not run again because a decoder changed.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from siamese.base.params import Section

# A file of the project that `data.path` and `data.images` name where the data set needs no folder:
# both are dependencies in `dvc.yaml`, and DVC wants a dependency to exist.
NONE = "data/none"
# What to do with images that are not square; see `siamese.images.images.fit_image`.
Fit = Literal["pad", "crop"]


class DataParams(Section):
    """Which data set the pipeline is built on, and where it comes from."""

    name: Literal["cifar100", "digits", "folder"]
    path: str = Field(min_length=1)
    images: str = Field(min_length=1)
    unreadable: Literal["stop", "leave_out"]
    image_size: int = Field(ge=8, le=256)
    fit: Fit
    novel_classes: int = Field(ge=0)
    urls: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _a_path_for_a_folder(self) -> Self:
        if self.name == "folder" and self.path == NONE:
            raise ValueError(
                f"`data.name` is 'folder', but `data.path` is {NONE!r}: set it to the folder that"
                " holds a folder a class, or to a table of files and labels; `siamese adopt PATH`"
                " does, and sets what else depends on the data"
            )
        return self
