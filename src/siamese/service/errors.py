"""What can go wrong with a request, and how it is said: one sentence as JSON, and no path.

Sentences of `InputError` are written for who runs the command and may name the gallery's folder.
Whoever asks over HTTP is told the rest of them. If the sentence is about the gallery's own files,
it goes to the log, and the answer says no more than that.
"""

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from siamese.base.errors import InputError
from siamese.gallery.address import canonical
from siamese.gallery.failures import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

log = logging.getLogger("siamese.service")

UNREADABLE = "the gallery cannot be read or changed at the moment; the service's log says why"
BROKEN = "the service has failed at this request; its log says where"


class Unavailable(InputError):
    """The service cannot answer now, through no fault of the request."""


class Refused(HTTPException):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 or more.
        sentence: what was wrong, and what to do.
        headers: to answer with.
    """

    def __init__(
        self, status: int, sentence: str, headers: "Mapping[str, str] | None" = None
    ) -> None:
        super().__init__(status, sentence, dict(headers or {}))

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse({"detail": self.detail}, self.status_code, headers=self.headers)


def answer_errors(app: FastAPI) -> None:
    """Let an application answer every error with one sentence."""
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


def first_problem(problems: "Sequence[Mapping[str, Any]]") -> str:
    """Return one sentence on the first thing that pydantic has found wrong."""
    first = problems[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}" if name else message


def public(message: str, address: str) -> str | None:
    """Return a sentence of `InputError` without the gallery's address.

    Args:
        message: written for who runs the command.
        address: of the gallery, in its canonical form.

    Returns:
        None if the sentence is about the gallery's files.
    """
    if message.startswith(f"{address}: "):
        return None
    hidden = re.sub(
        rf"(the gallery at |(?<= )){re.escape(address)}(?=[ ;,]|$)", "the gallery", message
    )
    # LanceDB and the system have their own ways to write it.
    return None if address.strip("/") in hidden else hidden


async def _input_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Unavailable):
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"}).response()
    sentence = public(str(error), canonical(request.app.state.settings.gallery))
    if isinstance(error, Unreadable) or sentence is None:
        log.error("%s", error)
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, UNREADABLE).response()
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, sentence).response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [{**one, "loc": one["loc"][1:]} for one in error.errors()]
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, first_problem(problems)).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = error.detail
    if isinstance(error, Refused):
        return error.response()
    if sentence == HTTPStatus(error.status_code).phrase:  # Starlette's own, with no sentence
        sentence = {
            404: f"there is nothing to {request.method} at this address; /docs lists what there is",
            405: f"this address does not take {request.method}; /docs lists what it takes",
        }.get(error.status_code, sentence)
    return Refused(error.status_code, sentence, error.headers).response()
