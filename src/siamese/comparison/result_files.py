"""Files of results at a revision, read and checked; one that is damaged is named, with what to do.

They stand in Git, so a person, an editor or a merge may have left anything in them.
"""

import csv
import io
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from siamese.base.errors import InputError
from siamese.comparison.revisions import Revision

T = TypeVar("T")
_MARKERS = (b"<<<<<<< ", b">>>>>>> ")
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = dict[str, Number]
Figures = Annotated[dict[str, Numbers], Field(min_length=1)]


class Content(BaseModel):
    """Base of the schemas: what is read here must be right, other keys may be there."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Training(Content):
    """What is read of `metrics/training.json`."""

    epochs: int
    best_epoch: int


class RanOn(Content):
    """What is read of `metrics/ran_on.json`."""

    device: str
    precision: str


class Floors(Content):
    """What costs no learning."""

    pixels: float
    untrained: float


class Floor(Floors):
    """What is read of `metrics/floor.json`."""

    seen: Floors | None = None
    novel: Floors | None = None


class VerificationFloor(Content):
    """What is read of `metrics/floor.json` where nothing is classified."""

    verification: Floors


class AllPairs(Content):
    """Figures of all pairs of test images, the rates by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    threshold: float
    like_pairs: int
    unlike_pairs: int
    pairs: Literal["given"] | None = None

    @property
    def rates(self) -> dict[str, Any]:
        """What else is there, by key."""
        return self.__pydantic_extra__


class Claims(Content):
    """What claims were tried, by number of references, and their figures by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    references: list[int]
    classes: list[int]
    rule: str | None = None

    @property
    def figures(self) -> dict[str, Any]:
        """What else is there, by key."""
        return self.__pydantic_extra__


class Rates(Content):
    """Error rates at a threshold."""

    far: float
    frr: float


class Promised(Content):
    """What a threshold promised on validation, and what it does on test."""

    promised: Rates
    done: Rates


class Calibrated(Content):
    """What the thresholds promised: of pairs by name, of claims by number of references."""

    pairs: dict[str, Promised]
    claims: dict[str, Promised] = {}


class Novel(Content):
    """How many test images there are of classes never seen."""

    queries: int
    classes: int
    enrolled: int


class Counted(Content):
    """How many of some test images something is true of."""

    queries: int
    of: int


class Confused(Content):
    """Two classes that are taken for one another."""

    classes: tuple[str, str]
    queries: int


class Details(Content):
    """What is read of `metrics/details.json`."""

    intervals: dict[str, tuple[Number, Number]]
    verification: AllPairs
    knn: Numbers = {}
    retrieval: Numbers = {}
    novel: Novel | None = None
    claims: Claims | None = None
    calibration: Calibrated | None = None
    copies: Counted | None = None
    near_duplicates: Counted | None = None
    findable: Counted | None = None
    confused: list[Confused] | None = None


class ClassRow(BaseModel):
    """A row of `metrics/classes.csv`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str = Field(alias="class")
    accuracy: float
    queries: int
    confused_with: str
    confused: int


def read_json(revision: Revision, file: str, schema: Any) -> Any:
    """Return the content of a JSON file, an instance of `schema`.

    Args:
        revision: where it stands.
        file: path from the project's folder.
        schema: a class or a type that pydantic knows.

    Raises:
        InputError: the file is not there, or holds something else.
    """
    return parsed(revision, file, _adapter(schema).validate_json)


def read_csv(revision: Revision, file: str, schema: type[T]) -> list[T]:
    """Return the rows of a CSV file with a header, instances of `schema`; see `read_json`."""

    def rows(content: bytes) -> list[T]:
        found = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        if any(None in row for row in found):
            raise ValueError("a row has more fields than the header")
        return _adapter(list[schema]).validate_python(found)  # type: ignore[valid-type]

    return parsed(revision, file, rows)


def parsed(
    revision: Revision, file: str, parse: Callable[[bytes], T], advice: str | None = None
) -> T:
    """Return what a function makes of the content of a file.

    Args:
        revision: where it stands.
        file: path from the project's folder.
        parse: makes something of the bytes, checks it, and does no more.
        advice: what to do where `dvc repro` does not make the file.

    Raises:
        InputError: the file is not there, or the function raised an exception of any kind.
    """
    content = revision.read(file)
    try:
        return parse(content)
    except MemoryError:
        raise
    except Exception as error:  # parsers trip over damaged bytes in many ways
        has_markers = any(line.startswith(_MARKERS) for line in content.splitlines())
        fault = "has merge conflict markers" if has_markers else _fault(error)
        usual = "`dvc repro` in the workspace makes a sound one to commit"
        if revision.commit is None:
            usual = f"`git checkout HEAD -- {file}` takes the last commit's, then run `dvc repro`"
        raise InputError(f"{revision.place(file)} {fault}; {advice or usual}") from None


def _fault(error: Exception) -> str:
    """Say what is wrong with a file, after its name."""
    if not isinstance(error, ValidationError):
        return f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
    first = error.errors()[0]
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "json_invalid" or not first["loc"]:
        return f"cannot be read ({message})"
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"lacks `{name}`"
    return f"has {first['input']!r:.60} as `{name}`; {message}"


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
