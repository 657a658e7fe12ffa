"""Forms are read the same way however they arrive, and not at all if they are damaged."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from siamese.service.errors import Refused
from siamese.service.settings import Settings
from siamese.service.uploads import Fields, Upload, read_form


class Known(Fields):
    """One field."""

    label: str | None = None


def part(name: str, content: bytes, file: str | None = None) -> bytes:
    named = "" if file is None else f'; filename="{file}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def read(chunks: list[bytes]) -> tuple[list[Upload], Known]:
    messages = iter(
        [
            *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
            {"type": "http.request", "body": b"", "more_body": False},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        "app": SimpleNamespace(state=SimpleNamespace(settings=Settings())),
    }
    return asyncio.run(read_form(Request(scope, receive), Known))


@given(
    st.lists(st.binary(max_size=40).filter(lambda content: b"--b" not in content), max_size=3),
    st.text("abä/.", max_size=9),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_a_form_is_the_same_in_one_piece_and_in_many(
    files: list[bytes], label: str, cuts: list[int]
) -> None:
    files = [*files, b"\r\n--\r\n"]
    parts = [part("images", content, f"{n}.png") for n, content in enumerate(files)]
    body = b"".join([*parts, part("label", label.encode())]) + b"--b--\r\n"
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in pairwise(places)]
    uploads, fields = read(chunks)
    assert uploads == [Upload(f"{n}.png", content) for n, content in enumerate(files)]
    assert fields == Known(label=label)


@given(st.data())
def test_a_form_that_was_cut_off_is_refused_wherever_that_was(data: st.DataObject) -> None:
    body = part("images", b"one", "1.png") + part("images", b"two", "2.png") + b"--b--"
    length = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Refused) as refused:
        read([body[:length]])
    assert refused.value.status_code == 400
