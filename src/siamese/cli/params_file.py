"""Changing values in a parameter file; its comments stay."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarstring import (
    DoubleQuotedScalarString,
    PlainScalarString,
    SingleQuotedScalarString,
)
from yaml import YAMLError, safe_load

from siamese.base.errors import InputError
from siamese.base.files import new_file
from siamese.base.params import PARAMS_FILE, read_document


@contextmanager
def rewriting(file: Path) -> Iterator[tuple[Any, Callable[[], Path]]]:
    """Yield the content of a parameter file, and a function that writes it to a file to check.

    If the block succeeds, the file written last replaces the original, with its line ends and its
    permissions.
    """
    read_document(file)  # says what is wrong with it, if anything is
    check_keys(file)
    yaml = YAML()
    yaml.width = 1000
    yaml.preserve_quotes = True  # stages read YAML 1.1, where `no` without them is not text
    newline = "\r\n" if b"\r\n" in file.read_bytes() else "\n"
    document = yaml.load(file.read_text(encoding="utf-8"))
    with new_file(file) as partial:

        def save() -> Path:
            with partial.open("w", encoding="utf-8", newline=newline) as stream:
                yaml.dump(document, stream)
            shutil.copymode(file, partial)
            return partial

        try:
            yield document, save
        except InputError as error:
            raise InputError(str(error).replace(str(partial), str(file))) from None


def check_keys(file: Path) -> None:
    """Refuse a YAML file in which a key stands twice: which value counts, nobody could tell.

    Raises:
        InputError: naming the key and its line.
    """
    try:
        YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        key = str(error.problem).partition('"')[2].partition('"')[0]
        raise InputError(
            f"{file}: line {error.problem_mark.line + 1}: the key `{key}` is there twice; remove"
            " one of them"
        ) from None
    except MarkedYAMLError:
        pass  # YAML 1.1, which stages read, has let it pass


def value_of(document: Any, name: str) -> Any:
    """Return the value of a parameter, given by dotted name; a list as a copy.

    Raises:
        InputError: there is no such parameter.
    """
    value = _section(document, name)[name.split(".")[-1]]
    return list(value) if isinstance(value, list) else value


def set_values(document: Any, values: Mapping[str, Any]) -> None:
    """Set parameters, given by dotted name."""
    for name, value in values.items():
        content, key = _section(document, name), name.split(".")[-1]
        old = content[key]
        if old == value:
            continue
        if isinstance(value, list):
            listed = old if isinstance(old, CommentedSeq) else CommentedSeq()
            if not listed or not value:  # ruamel.yaml puts what is empty on a line of its own
                listed.fa.set_flow_style()
            listed[:] = [_quoted(one) for one in value]  # in place: it stays on one line, if it was
            content[key] = listed
        else:
            content[key] = _quoted(value)


def changed_lines(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return a line for each changed parameter: its dotted name, the old and the new value."""
    return [
        f"  {name:<25} {_visible(old)} -> {_visible(new)}" for name, (old, new) in changes.items()
    ]


def _visible(value: Any) -> Any:
    """Return a value as it is printed: text without a letter or digit in quotes."""
    is_bare = not isinstance(value, str) or any(map(str.isalnum, value))
    return value if is_bare else repr(value)


def _section(document: Any, name: str) -> dict[str, Any]:
    """Return the mapping that holds a parameter, given by dotted name."""
    content = document
    *sections, key = name.split(".")
    for section in sections:
        content = content.get(section) if isinstance(content, dict) else None
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{PARAMS_FILE}: key `{name}` is missing")
    return content


def _quoted(value: Any) -> Any:
    """Return text with quotes if it needs them in YAML 1.1, which stages read."""
    if not isinstance(value, str):
        return value
    if not value.isprintable():
        return DoubleQuotedScalarString(value)
    with suppress(YAMLError):
        # In a list, where more is not text than elsewhere.
        if safe_load(f"[{value}]") == [value]:
            return PlainScalarString(value)  # a plain `str` would get the quotes of the old value
    return SingleQuotedScalarString(value)
