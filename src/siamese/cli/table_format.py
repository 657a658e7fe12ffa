"""How a table is written: its encoding and its separator, told from its content.

What is found is written to `params.yaml`, so that no stage guesses.
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError
from siamese.preparation.table import REQUIRED
from siamese.preparation.table_text import decoded, rows_of

# In this order: of those that explain a table equally well, the first is taken. A blank separates
# only if nothing else does, since it is in names as well.
SEPARATORS = (",", ";", "\t", "|", " ")
# Latin-1 has a character for every byte, and so comes last.
ENCODINGS = ("utf-8", "cp1252", "latin-1")
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
LOOKED_AT = 1000  # rows


def found_format(
    path: Path, values: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return encoding and separator of a table of text, by dotted name.

    Args:
        path: the table.
        values: parameters by dotted name, with those of the table's columns and its header.
        wanted: what was asked for; it is not looked for.

    Raises:
        InputError: the table cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = wanted.get("data.table.encoding") or _encoding(content)
    text = decoded(path, content, encoding)
    columns = {values[f"data.table.{key}"] for key in REQUIRED}
    has_header = values["data.table.header"]

    def score(separator: str) -> tuple[bool, bool, bool, bool, int]:
        rows: list[list[str]] = []
        with suppress(InputError):
            rows += islice(rows_of(path, text, separator), LOOKED_AT)
        if not rows:
            return False, False, False, False, 0
        width = len(rows[0])
        is_even = all(len(row) == width for row in rows)
        has_columns = has_header and columns <= {name.strip() for name in rows[0]}
        return has_columns, width > 1, is_even, separator != " ", width

    separator = wanted.get("data.table.separator") or max(SEPARATORS, key=score)
    return {"data.table.encoding": encoding, "data.table.separator": separator}


def _encoding(content: bytes) -> str:
    if content.startswith(BYTE_ORDER_MARKS):
        return "utf-16"
    for encoding in ENCODINGS:
        with suppress(UnicodeDecodeError):
            content.decode(encoding)
            return encoding
    raise AssertionError("Latin-1 decodes every byte")
