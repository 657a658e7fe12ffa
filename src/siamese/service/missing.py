"""What a project does not have is no error of the request: it is said in the answer."""

from collections.abc import Callable
from typing import Any

from siamese.base.errors import InputError
from siamese.gallery.failures import Unreadable
from siamese.service.settings import Settings


def or_missing(settings: Settings, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a function reads of the project, or the sentence that says what is missing.

    Returns:
        The content, or `missing` alone.

    Raises:
        Unreadable: the gallery cannot be read.
    """
    try:
        return read()
    except Unreadable:
        raise
    except InputError as error:
        return {"missing": sentence(error, settings)}


def sentence(error: InputError, settings: Settings) -> str:
    """Return a message as a sentence, without the project's place on this machine."""
    text = str(error)
    for folder in (settings.workspace, settings.prepared.parent):
        if folder.is_absolute():
            text = text.replace(f"{folder}/", "")
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first.isalpha() else text  # a file keeps its name
