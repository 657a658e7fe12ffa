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
from siamese.gallery.defaults import FOUND, VOTERS
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


class Strictness(Fields):
    """What `/verify` takes besides images."""

    far: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of unlike pairs that may be called the same; without it, the threshold"
        " that decides most pairs right.",
    )


class Nothing(Fields):
    """What `/embed` takes besides images."""


@dataclass(frozen=True)
class ClassifiedFile(ClassifiedImage):
    """The answer about one file."""

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


@router.post("/verify", response_model=Verdict, openapi_extra=form_schema(Strictness, 2, 2))
async def verify(request: Request, engine: TheEngine) -> Response:
    """Tell whether two images show the same class, and how often that answer is wrong."""
    uploads, asked = await read_form(request, Strictness, 2, 2)
    pixels = await engine.decode(uploads)
    return as_json(await engine.ask(Question("verify", pixels, far=asked.far)))


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
