"""Writing files and folders so that nobody ever meets half of one, even after a killed run.

And reading them so that one that is missing or damaged is named.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError, no_such_file


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, and put it in `target`'s place if the block succeeds.

    If the block fails, what it wrote is removed and `target` stays as it was. What a killed process
    left there is removed by the next call.
    """
    partial = _partial(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`, and rename what was written there if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_json(target: Path, content: Any) -> None:
    """Write readable JSON, ending with a newline, in one rename."""
    with new_file(target) as partial:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


@contextmanager
def reading(file: Path, stage: str) -> Iterator[Path]:
    """Yield a file of the pipeline to a block that reads it, checks its content and does no more.

    Args:
        file: what the block reads.
        stage: the stage that makes the file, for the message.

    Raises:
        InputError: the file is missing, or the block raised an exception of another kind.
        MemoryError: there is too little memory.
        PermissionError: this user may not read it.
    """
    try:
        yield file
    except FileNotFoundError:
        raise no_such_file(file, f"`dvc repro {stage}` makes it") from None
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # a decoder trips over damaged bytes in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{file}: cannot be read ({reason}); delete it and run `dvc repro {stage}`, which makes"
            " it again"
        ) from None


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _partial(target: Path) -> Path:
    # Begins with a dot and ends in .partial: data/.gitignore and .dvcignore know the pattern.
    return target.with_name(f".{target.name}.partial")
