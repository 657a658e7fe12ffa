"""The text of a table that is not Parquet: its characters, and its rows of fields."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from siamese.base.errors import InputError


def decoded(path: Path, content: bytes, encoding: str) -> str:
    """Return the text of a table, without a mark of its byte order.

    Raises:
        InputError: it is not written in that encoding, there is no such encoding, or it is no text.
    """
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        raise InputError(
            f"{path}: is not written in {encoding} (data.table.encoding): {error}; `siamese adopt`"
            " finds the encoding, or takes it by `--encoding`"
        ) from None
    except (LookupError, ValueError):
        raise InputError(
            f"data.table.encoding is {encoding!r}; expected the name of an encoding of text, such"
            " as utf-8 or cp1252"
        ) from None
    if "\0" in text:
        raise InputError(
            f"{path}: holds NUL characters, which no text has; save the table as CSV, in UTF-8"
        )
    return text.removeprefix("\ufeff")


def rows_of(path: Path, text: str, separator: str) -> Iterator[list[str]]:
    """Yield the fields of each row, blanks before them left out; empty rows are passed over.

    Raises:
        InputError: the separator is not one character that can be one, or quotes do not match.
    """
    try:
        # Strict: else a quote that is never closed makes one field of the rest of the file.
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
        )
    except (TypeError, ValueError):
        reader = None
    if reader is None or separator in '"\r\n':
        raise InputError(
            f"data.table.separator is {separator!r}; expected one character, such as ',' ';' or a"
            " tab"
        )
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield row
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num} cannot be read as fields of a table ({error}); text"
            " that holds a quote or a separator stands in double quotes, its own quotes doubled"
        ) from None
