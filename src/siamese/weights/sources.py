"""Where weights can be: the file that a source names.

A source is what `weights.source` holds: `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, on Hugging
Face; a URL; or the path of a file.
"""

import os
import re
from dataclasses import dataclass

HUGGING_FACE = "hf:"
FILE_NAME = "model.safetensors"  # that a repository on Hugging Face keeps its weights in
_ON_HUGGING_FACE = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Repository:
    """A repository on Hugging Face.

    Attributes:
        name: `OWNER/NAME`.
        revision: a branch, a tag or a commit; None for the newest commit.
    """

    name: str
    revision: str | None = None

    @property
    def api(self) -> str:
        """The URL of what Hugging Face says of it."""
        revision = f"/revision/{_quoted(self.revision)}" if self.revision else ""
        return f"{_endpoint()}/api/models/{self.name}{revision}?blobs=true"

    @property
    def file(self) -> str:
        """The URL of its weights."""
        return f"{_endpoint()}/{self.name}/resolve/{_quoted(self.revision or 'main')}/{FILE_NAME}"


def repository(source: str) -> Repository | None:
    """Return the repository that a source names; None for a URL or a file.

    Raises:
        ValueError: the source begins as a repository's does, but is none.
    """
    if not source.startswith(HUGGING_FACE):
        return None
    match = _ON_HUGGING_FACE.fullmatch(source)
    if not match:
        raise ValueError("on Hugging Face, expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return Repository(match[1], match[2])


def place(source: str) -> str:
    """Return the URL or the path of the file that a source names."""
    found = repository(source)
    return found.file if found else source


def is_path(place: str) -> bool:
    """Tell a path from a URL."""
    return "://" not in place


def _quoted(revision: str) -> str:
    return revision.replace("/", "%2F")


def _endpoint() -> str:
    """Return the address of Hugging Face, or of the mirror that its own programs would ask too."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
