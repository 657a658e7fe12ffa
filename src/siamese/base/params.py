"""Reading sections of `params.yaml` into typed, checked, frozen objects.

Each section has one schema, a subclass of `Section`, kept in the module that the section serves. A
stage reads its own sections only, so that a new key in one section re-runs no other stage.
"""

import difflib
import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from siamese.base.errors import InputError, no_such_file

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of the schemas: strict types, no unknown keys, no defaults, frozen once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Sections = TypeVar("Sections", bound=Section)


def read_sections(wanted: type[Sections], file: Path = PARAMS_FILE) -> Sections:
    """Read and check some sections of a parameter file.

    Args:
        wanted: a class with one field per section: the section's name, and its schema as the type.
        file: a YAML file, one mapping per section.

    Returns:
        An instance of `wanted`.

    Raises:
        InputError: the file cannot be read, or a section or key is unknown, missing, of the wrong
            type or out of range. All faults found are listed, a line each.
    """
    document = read_document(file)
    faults: list[str] = []
    sections: dict[str, Section] = {}
    for name, field in wanted.model_fields.items():
        schema: Any = field.annotation
        if name not in document:
            faults.append(f"{file}: section `{name}` is missing{nearest_name(name, document)}")
            continue
        try:
            sections[name] = schema.model_validate(document[name])
        except ValidationError as error:
            faults += _describe(error, file, name, schema)
    if faults:
        raise InputError("\n".join(faults))
    return wanted.model_validate(sections)


def read_document(file: Path) -> dict[str, Any]:
    """Parse a parameter file into a mapping from section name to the section's raw content.

    Raises:
        InputError: the file is missing, or is not a mapping in YAML.
    """
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except FileNotFoundError:
        raise no_such_file(file, "run from the folder that holds dvc.yaml") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 30 February, say
        raise InputError(f"{file}: cannot be parsed as YAML: {_why(text, error)}") from None
    if not isinstance(document, dict):
        raise InputError(
            f"{file}: expected one mapping per section, found {type(document).__name__}"
        )
    return document


def _why(text: str, error: Exception) -> str:
    """Say why a text is no YAML, in a line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            return f"line {number} is a mark of a merge conflict; resolve it"
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return f"line {number} is indented by a tab; YAML wants spaces"
    return " ".join(str(error).split())


def _describe(error: ValidationError, file: Path, name: str, schema: type[Section]) -> list[str]:
    """Turn pydantic's list of faults into one line each: key, value, what is allowed."""
    lines = []
    for fault in error.errors():
        key = ".".join([name, *map(str, fault["loc"])])
        message = fault["msg"].removeprefix("Value error, ")
        match fault["type"]:
            case "extra_forbidden":
                group = _group(schema, fault["loc"][:-1])
                hint = nearest_name(str(fault["loc"][-1]), group.model_fields)
                lines.append(f"{file}: unknown key `{key}`{hint}")
            case "missing":
                lines.append(f"{file}: key `{key}` is missing")
            case _ if not fault["loc"] and isinstance(fault["input"], dict):
                # A rule over several keys: its message names them and their values.
                lines.append(f"{file}: {message}")
            case "float_type" | "int_type" if isinstance(fault["input"], str) and (
                number := _written_out(fault["input"], whole=fault["type"] == "int_type")
            ):
                lines.append(f"{file}: `{key}` is {fault['input']!r}, text to YAML; write {number}")
            case _:
                lines.append(f"{file}: `{key}` is {fault['input']!r}; {_lower_first(message)}")
    return lines


def _group(schema: Any, path: Iterable[int | str]) -> type[Section]:
    """Follow the names of nested groups down to the schema of the innermost."""
    for name in path:
        if get_origin(schema) is dict:
            schema = get_args(schema)[1]  # of the values; the names are free
        else:
            schema = schema.model_fields[name].annotation
    return schema


def _written_out(text: str, whole: bool) -> str | None:
    """Say how to write a number that YAML has read as text; None if it is no such number."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or (whole and not value.is_integer()):
        return None
    if "e" not in text.lower():
        return f"{value:.0f} without quotes" if whole else f"{Decimal(text):f} without quotes"
    if whole:
        return f"{value:.0f}"
    # PyYAML knows an exponent only by its sign, and only after a decimal point.
    digits, _, exponent = f"{Decimal(text):e}".partition("e")
    point = "" if "." in digits else ".0"
    return f"{digits}{point}e{exponent}, with a decimal point and a signed exponent"


def nearest_name(word: str, allowed: Iterable[object]) -> str:
    """Return the end of a message on an unknown name: the allowed one most like it, or all."""
    names = list(map(str, allowed))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known here: {', '.join(f'`{name}`' for name in names)}"


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
