"""Routes that ask about images: classify, search, verify, embed.

Answers are what `Gallery` answers, written as JSON once: they are not validated again on the way.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from siamese.gallery.answers import ClassifiedImage, Neighbour
from siamese.gallery.claims import ClaimVerdict
from siamese.gallery.defaults import FOUND, ONE_THRESHOLD, VOTERS
from siamese.gallery.verdict import Verdict
from siamese.service.engine import Engine, Question
from siamese.service.errors import Refused
from siamese.service.shared import TheEngine
from siamese.service.uploads import Fields, form_schema, read_form

router = APIRouter(tags=["ask"])

Exact = Annotated[bool, Field(description="Search without the index, if the gallery has one.")]


class Voters(Fields):
    """What `/classify` takes besides images."""

    k: int | None = Field(
        None, ge=1, description=f"Neighbours that vote; without it {VOTERS}, or all rows if fewer."
    )
    exact: Exact = False


class Found(Fields):
    """What `/search` takes besides images."""

    k: int | None = Field(
        None, ge=1, description=f"Neighbours to find; without it {FOUND}, or all rows if fewer."
    )
    exact: Exact = False


class Verified(Fields):
    """What `/verify` takes besides images."""

    label: str | None = Field(
        None,
        description="Compare each image with all that the gallery has under this label; without it,"
        " two images with each other.",
    )
    far: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of unlike pairs that may be called the same; without it, the threshold"
        " that decides most pairs right. Not with a label, which has a threshold of its own.",
    )


class Nothing(Fields):
    """What `/embed` takes besides images."""


@dataclass(frozen=True)
class ClassifiedFile(ClassifiedImage):
    """The answer about one file."""

    file: str


@dataclass(frozen=True)
class ClaimOfFile(ClaimVerdict):
    """The answer about one file and a label."""

    file: str


@dataclass(frozen=True)
class FoundForFile:
    """What resembles one file."""

    file: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class EmbeddedFile:
    """The embedding of one file."""

    file: str
    embedding: list[float]


def as_json(content: Any) -> Response:
    """Write plain values, and dataclasses of them, as JSON."""
    text = json.dumps(content, default=vars, ensure_ascii=False, separators=(",", ":"))
    return Response(text, media_type="application/json")


@router.post("/classify", response_model=list[ClassifiedFile], openapi_extra=form_schema(Voters))
async def classify(request: Request, engine: TheEngine) -> Response:
    """Name the class of each image, by a vote of the nearest rows of the gallery."""
    answers = await _answers("classify", Voters, request, engine)
    return as_json([{"file": name, **vars(answer)} for name, answer in answers])


@router.post("/search", response_model=list[FoundForFile], openapi_extra=form_schema(Found))
async def search(request: Request, engine: TheEngine) -> Response:
    """Find the rows of the gallery that resemble each image most."""
    answers = await _answers("search", Found, request, engine)
    return as_json([{"file": name, "neighbours": neighbours} for name, neighbours in answers])


@router.post(
    "/verify",
    response_model=Verdict | list[ClaimOfFile],
    openapi_extra=form_schema(Verified),
)
async def verify(request: Request, engine: TheEngine) -> Response:
    """Tell whether two images show the same class, or whether images are of the class claimed.

    And how often that answer is wrong.
    """
    uploads, asked = await read_form(request, Verified)
    _check_claim(len(uploads), asked)
    pixels = await engine.decode(uploads)
    if asked.label is None:
        return as_json(await engine.ask(Question("verify", pixels, far=asked.far)))
    verdicts = await engine.ask(Question("claim", pixels, label=asked.label))
    answers = zip(uploads, verdicts, strict=True)
    return as_json([{"file": upload.name, **vars(verdict)} for upload, verdict in answers])


@router.post("/embed", response_model=list[EmbeddedFile], openapi_extra=form_schema(Nothing))
async def embed(request: Request, engine: TheEngine) -> Response:
    """Return the embedding of each image, of length 1."""
    uploads, _ = await read_form(request, Nothing)
    embeddings = await engine.ask(Question("embed", await engine.decode(uploads)))
    return as_json(
        [
            {"file": upload.name, "embedding": embedding.tolist()}
            for upload, embedding in zip(uploads, embeddings, strict=True)
        ]
    )


async def _answers(
    kind: Literal["classify", "search"],
    fields: type[Voters] | type[Found],
    request: Request,
    engine: Engine,
) -> "zip[tuple[str, Any]]":
    """Ask about the images of a request; return the name of each file, and its answer."""
    uploads, asked = await read_form(request, fields)
    _check_neighbours(request, len(uploads), asked.k)
    pixels = await engine.decode(uploads)
    answers = await engine.ask(Question(kind, pixels, asked.k, asked.exact))
    return zip((upload.name for upload in uploads), answers, strict=True)


def _check_claim(n_images: int, asked: Verified) -> None:
    """Refuse what is neither a question about two images nor one about a label.

    Raises:
        Refused: there is no label and not two images, or a false-accept rate for a label.
    """
    if asked.label is None and n_images != 2:
        too_many = n_images > 2
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_many else HTTPStatus.UNPROCESSABLE_ENTITY,
            f"images: expected exactly 2 image files, or the field `label`; found {n_images}",
        )
    if asked.label is not None and asked.far is not None:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"far: {ONE_THRESHOLD}")


def _check_neighbours(request: Request, n_images: int, k: int | None) -> None:
    """Refuse a question whose answer would keep all others waiting.

    Raises:
        Refused: too many neighbours are asked for.
    """
    most = request.app.state.settings.neighbours_per_request
    if k is not None and n_images * k > most:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"k: {k} neighbours of {n_images} image{'s' * (n_images != 1)}; expected at most"
            f" {most:,} in a request, all its images together",
        )
