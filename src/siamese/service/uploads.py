"""Reading a form while it arrives: images and fields, within limits that hold before anything else.

Files stay in memory: nothing is written to disk, and nothing is decoded here. The whole body has a
limit in bytes, which `siamese.service.protection` counts; files and fields have one in number.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from siamese.service.errors import Refused, first_problem
from siamese.service.settings import Settings

# The field whose files are the images.
IMAGES = "images"
MOST_FIELDS = 20
# Of all fields together; a label is far shorter.
FIELD_BYTES = 2**16
FORM, PARTS = b"application/x-www-form-urlencoded", b"multipart/form-data"


class Fields(BaseModel):
    """The fields of a form besides its images; a subclass names them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


FieldsT = TypeVar("FieldsT", bound=Fields)


@dataclass(frozen=True)
class Upload:
    """A file of a request: what the client calls it, and its bytes."""

    name: str
    content: bytes


@dataclass
class _Part:
    """A part of a form, which grows as it arrives."""

    name: str
    file: str | None
    content: bytearray = field(default_factory=bytearray)


async def read_form(
    request: Request,
    fields: type[FieldsT],
    least_images: int = 1,
    most_images: int | None = None,
) -> tuple[list[Upload], FieldsT]:
    """Read the form of a request.

    Args:
        request: whose body nobody has read.
        fields: what it may have besides images.
        least_images: how many images it must have.
        most_images: how many it may have; None for as many as the settings say.

    Returns:
        The images in order, and the fields.

    Raises:
        Refused: it is no form, does not end, has too many parts or too few images, or a field is
            unknown or has a value that cannot be.
    """
    settings: Settings = request.app.state.settings
    limit = settings.images_per_request if most_images is None else most_images
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == PARTS:
        parts = await _multipart(request, options.get(b"boundary", b""), limit)
    elif kind == FORM:
        parts = await _urlencoded(request)
    else:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "expected a form, with the content type multipart/form-data and images as files in"
            f" the field `{IMAGES}`",
        )
    uploads: list[Upload] = []
    values: dict[str, str] = {}
    for part in parts:
        if part.file is not None and part.name == IMAGES:
            uploads.append(Upload(part.file, bytes(part.content)))
        elif part.file is not None:
            raise _unprocessable(f"{part.name}: files are taken in the field `{IMAGES}` alone")
        elif part.name == IMAGES:
            raise _unprocessable(f"{IMAGES}: expected a file with a name, found text")
        elif part.name in values:
            raise _unprocessable(f"{part.name}: the field is given twice; expected it once")
        else:
            values[part.name] = _text(part)
    if len(uploads) < least_images:
        raise _unprocessable(
            f"{IMAGES}: expected {_files(least_images, most_images)}, found {len(uploads)}"
        )
    try:
        return uploads, fields.model_validate(values)
    except ValidationError as error:
        raise _unprocessable(first_problem(error.errors())) from None


def form_schema(fields: type[Fields], least_images: int = 1, most_images: int | None = None) -> Any:
    """Describe the form that `read_form` takes, for OpenAPI."""
    schema = fields.model_json_schema()
    schema.pop("description", None)
    if most_images != 0:
        images: dict[str, Any] = {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": least_images,
            "description": f"{_files(least_images, most_images)}: PNG, JPEG, WebP, GIF, BMP, TIFF,"
            " AVIF, JPEG 2000 or PPM",
        }
        if most_images is not None:
            images["maxItems"] = most_images
        schema["properties"] = {IMAGES: images, **schema.get("properties", {})}
        schema["required"] = [IMAGES, *schema.get("required", [])]
    kind = PARTS if most_images != 0 else FORM
    body = {"required": True, "content": {kind.decode(): {"schema": schema}}}
    return {"requestBody": body}


def _files(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} image file{'s' * (least != 1)} or more"
    return f"exactly {most} image file{'s' * (most != 1)}"


async def _multipart(request: Request, boundary: bytes, most_images: int) -> list[_Part]:
    """Read parts as they arrive.

    Raises:
        Refused: they are damaged, end too early, or are too many.
    """
    parts: list[_Part] = []
    headers: dict[bytes, bytes] = {}
    header_name, header_value = bytearray(), bytearray()
    n_files, n_field_bytes, has_ended = 0, 0, False

    def on_part_begin() -> None:
        headers.clear()

    def on_header_field(data: bytes, start: int, end: int) -> None:
        header_name.extend(data[start:end])

    def on_header_value(data: bytes, start: int, end: int) -> None:
        header_value.extend(data[start:end])

    def on_header_end() -> None:
        headers[bytes(header_name).lower()] = bytes(header_value)
        header_name.clear()
        header_value.clear()

    def on_headers_finished() -> None:
        nonlocal n_files
        _, options = parse_options_header(headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _bad("a part of the form has no name")
        file = options.get(b"filename")
        n_files += file is not None
        if n_files > most_images:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected at most {most_images} image{'s' * (most_images != 1)} in a request"
                if most_images
                else "expected no files in this request",
            )
        if len(parts) - n_files >= MOST_FIELDS:
            raise _too_many_fields()
        name = options[b"name"].decode(errors="replace")
        parts.append(_Part(name, None if file is None else file.decode(errors="replace")))

    def on_part_data(data: bytes, start: int, end: int) -> None:
        nonlocal n_field_bytes
        if parts[-1].file is None:
            n_field_bytes += end - start
            if n_field_bytes > FIELD_BYTES:
                raise _too_many_fields()
        parts[-1].content.extend(memoryview(data)[start:end])

    def on_end() -> None:
        nonlocal has_ended
        has_ended = True

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": on_part_begin,
                "on_header_field": on_header_field,
                "on_header_value": on_header_value,
                "on_header_end": on_header_end,
                "on_headers_finished": on_headers_finished,
                "on_part_data": on_part_data,
                "on_end": on_end,
            },
        )
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise _bad("the form is damaged: its parts cannot be told apart") from None
    if not has_ended:
        raise _bad("the form ends before its last part does: was it cut off?")
    return parts


async def _urlencoded(request: Request) -> list[_Part]:
    body = bytearray()
    async for chunk in request.stream():
        body.extend(chunk)
        if len(body) > FIELD_BYTES:
            raise _too_many_fields()
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except UnicodeDecodeError:
        raise _unprocessable("expected the fields of the form as text in UTF-8") from None
    except ValueError:
        raise _too_many_fields() from None
    return [_Part(name, None, bytearray(text.encode())) for name, text in pairs]


def _text(part: _Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise _unprocessable(f"{part.name}: expected text in UTF-8") from None


def _bad(sentence: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, sentence)


def _unprocessable(sentence: str) -> Refused:
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)


def _too_many_fields() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"expected at most {MOST_FIELDS} fields, of {FIELD_BYTES:,} bytes in all",
    )
