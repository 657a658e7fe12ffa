"""Routes that change the gallery, for whoever sends the token."""

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from pydantic import Field, model_validator

from siamese.base.errors import InputError
from siamese.gallery.answers import Enrolment
from siamese.gallery.gallery import check_labels
from siamese.service.errors import Refused
from siamese.service.shared import TheEngine, TheSettings, TheWriter
from siamese.service.uploads import Fields, form_schema, names_of, read_form


class Label(Fields):
    """What `/enroll` takes besides images."""

    label: str = Field(description="The class of all images; it may be new.")

    @model_validator(mode="after")
    def _is_a_name(self) -> Self:
        check_labels([self.label])  # before anything is decoded
        return self


class Which(Fields):
    """What `/remove` takes: one of the three."""

    label: str | None = Field(None, description="Remove the enrolled rows of this class.")
    file: str | None = Field(None, description="Remove the enrolled rows from this file.")
    number: Annotated[int, Field(ge=0)] | None = Field(None, description="Remove this row.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise InputError("expected exactly one of label, file and number to remove by")
        return self


@dataclass(frozen=True)
class Removal:
    """How many rows were removed."""

    removed: int


async def may_write(request: Request, settings: TheSettings) -> None:
    """Let no one write who does not send the token, in a header that no form can send.

    Raises:
        Refused: no token is set, or another was sent.
    """
    if settings.token is None:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "this service does not write; started with SIAMESE_TOKEN in its environment, it does",
        )
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # As bytes: of text it takes ASCII alone. Starlette decodes headers as Latin-1.
    is_it = hmac.compare_digest(token.strip().encode("latin-1"), settings.token.encode())
    if scheme.lower() != "bearer" or not is_it:
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            "writing needs the header `Authorization: Bearer TOKEN` with this service's token",
            {"WWW-Authenticate": "Bearer"},
        )


router = APIRouter(tags=["change"], dependencies=[Depends(may_write)])
NEEDS_TOKEN: dict[str, Any] = {"security": [{"token": []}]}


@router.post("/enroll", response_model=Enrolment, openapi_extra=form_schema(Label) | NEEDS_TOKEN)
async def enroll(request: Request, engine: TheEngine, writer: TheWriter) -> Enrolment:
    """Add images of one class to the gallery, without training."""
    uploads, asked = await read_form(request, Label)
    return await writer.enroll(await engine.decode(uploads), asked.label, names_of(uploads))


@router.post(
    "/remove",
    response_model=Removal,
    openapi_extra=form_schema(Which, 0, 0) | NEEDS_TOKEN,
)
async def remove(request: Request, writer: TheWriter) -> Removal:
    """Remove enrolled rows: those of a class, those that came from a file, or one."""
    _, which = await read_form(request, Which, 0, 0)
    return Removal(await writer.remove(which.label, which.file, which.number))
