"""The `data` section of `params.yaml`, apart from the code that fetches and decodes.

Several stages read parts of this section, and should not run again because a decoder changed. So
the names of data sets are checked elsewhere, by `siamese.sources.registry`.
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from siamese.base.image_size import Size
from siamese.base.params import Section

# The name of a data set that is a folder of images, or a table of them: nothing is fetched.
FOLDER = "folder"
# A file of the project that `data.path` and `data.images` name where the data set needs no folder:
# both are dependencies in `dvc.yaml`, and DVC wants a dependency to exist.
NO_PATH = "data/none"
# How images are brought to `data.image_size`; see `siamese.images.fit.fit_image`.
Fit = Literal["pad", "crop", "ink"]
LEAST, MOST = 8, 768  # pixels a side


def _size(value: object) -> Size:
    """Return the height and width that a file says, as one number or two."""
    both = value if isinstance(value, list | tuple) else (value, value)
    if len(both) == 2 and all(type(one) is int and LEAST <= one <= MOST for one in both):
        return both[0], both[1]
    raise ValueError(f"expected a number of pixels from {LEAST} to {MOST}, or two, [height, width]")


class Archive(Section):
    """Where the archive of a data set can be fetched, and what it must be."""

    urls: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TableParams(Section):
    """How a table of images is written, and what it calls its columns.

    Columns of `split`, `group`, `coarse` and `kind` need not be there if they have the names they
    have by default, which are the keys here.
    """

    file: str = Field(min_length=1)
    label: str = Field(min_length=1)
    split: str = Field(min_length=1)
    group: str = Field(min_length=1)
    coarse: str = Field(min_length=1)
    kind: str = Field(min_length=1)
    header: bool
    separator: str = Field(min_length=1)
    encoding: str = Field(min_length=1)
    suffix: str


class DataParams(Section):
    """Which data set the pipeline is built on, and where it comes from."""

    name: str = Field(min_length=1)
    path: str = Field(min_length=1)
    images: str = Field(min_length=1)
    table: TableParams
    label_level: Literal["top", "leaf"] | Annotated[int, Field(ge=1)]
    forged_suffix: str
    drop_labels: list[str]
    min_images: int = Field(ge=1)
    unreadable: Literal["stop", "leave_out"]
    image_size: Annotated[Size, BeforeValidator(_size)]
    fit: Fit
    novel_classes: int = Field(ge=0)
    archives: dict[str, Archive]

    @model_validator(mode="after")
    def _a_path_for_a_folder(self) -> Self:
        if self.name == FOLDER and self.path == NO_PATH:
            raise ValueError(
                f"`data.name` is {FOLDER!r}, but `data.path` is {NO_PATH!r}: set it to a folder"
                " with one folder per class, or to a table of files and labels; `siamese adopt"
                " PATH` does that, and sets what else depends on the data"
            )
        return self
