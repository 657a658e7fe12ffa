"""What Hugging Face says of the weights in a repository; none of them are fetched for that."""

from dataclasses import dataclass, replace
from typing import Any

import requests

from siamese.base.errors import InputError
from siamese.sources.fetch import CONNECT_SECONDS, STALL_SECONDS, reason
from siamese.weights.sources import FILE_NAME, Repository

BY_HAND = "fetch {} on another machine, and give that copy: `--copy FILE`"


@dataclass(frozen=True)
class Found:
    """The weights of a repository, as they are now.

    Attributes:
        repository: at the commit that holds them, which never changes.
        bytes: of their file.
        sha256: of their file.
        license: as the makers name it; empty if they do not say.
    """

    repository: Repository
    bytes: int
    sha256: str
    license: str


def ask(repository: Repository) -> Found:
    """Ask which weights a repository holds.

    Raises:
        InputError: there is no answer, no such repository, or it holds no safetensors.
    """
    answer = _answer(repository)
    try:
        files = {file["rfilename"]: file for file in answer["siblings"]}
        commit = answer["sha"]
        if FILE_NAME not in files:
            raise _none_there(repository, sorted(files))
        if "lfs" not in files[FILE_NAME]:
            raise InputError(
                f"{repository.api}: no checksum is given for {FILE_NAME}; then"
                f" {BY_HAND.format(repository.file)}"
            )
        size, sha256 = files[FILE_NAME]["size"], files[FILE_NAME]["lfs"]["sha256"]
    except (KeyError, TypeError) as error:
        raise _odd(repository, f"{error} is missing") from None
    return Found(replace(repository, revision=commit), size, sha256, _license(answer))


def _answer(repository: Repository) -> dict[str, Any]:
    advice = BY_HAND.format(repository.file)
    try:
        response = requests.get(repository.api, timeout=(CONNECT_SECONDS, STALL_SECONDS))
        if response.status_code in (401, 403, 404):
            raise InputError(
                f"{repository.api}: the server answers {response.status_code}: there is no such"
                " repository or revision, or it is only for those who are logged in; then"
                f" {advice}"
            )
        response.raise_for_status()
    except requests.RequestException as error:
        raise InputError(
            f"{repository.api}: {reason(error)}. Without a network, {advice}"
        ) from None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _odd(repository, "no JSON object")
    return answer


def _odd(repository: Repository, what: str) -> InputError:
    return InputError(
        f"{repository.api}: the answer is not Hugging Face's ({what}), perhaps that of a page"
        f" of your network; then {BY_HAND.format(repository.file)}"
    )


def _none_there(repository: Repository, files: list[str]) -> InputError:
    """Return the error of a repository without the file; it names those that may do instead."""
    others = [name for name in files if name.endswith(".safetensors")]
    there = f"; it has {', '.join(others)}: give one by its URL" if others else ""
    return InputError(
        f"hf:{repository.name} has no {FILE_NAME}{there}. Weights of another kind must be converted"
        " first, as docs/pretrained.md shows, and given by `--source FILE`"
    )


def _license(answer: dict[str, Any]) -> str:
    """Return a licence's name from a repository's card, or from its tags."""
    card = answer.get("cardData") or {}
    # `other` is the name of every licence that Hugging Face has no name for.
    named = card.get("license_name") or card.get("license")
    tags = [str(tag) for tag in answer.get("tags") or []]
    tagged = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return named if isinstance(named, str) else next(iter(tagged), "")
