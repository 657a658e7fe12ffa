"""Labels and names of files may be any text, and bytes that are none."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.gallery.text import is_plain, one_line, storable

# Halves of characters, as Python has them for bytes that are no text, included.
ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@given(ANY_TEXT)
def test_any_text_can_be_stored_and_shown_on_a_line(text: str) -> None:
    storable(text).encode()
    shown = one_line(text)
    shown.encode()
    assert is_plain(shown)
    assert len(shown.splitlines()) <= 1
    assert (shown == text) == is_plain(text)


@pytest.mark.parametrize(
    ("text", "stored", "shown"),
    [
        ("zoë\u200c 🙂", "zoë\u200c 🙂", "zoë\u200c 🙂"),
        ("a\tb\nc\x85", "a\tb\nc\x85", r"a\tb\nc\x85"),
        ("a\u2028b", "a\u2028b", r"a\u2028b"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9", r"caf\udce9"),
    ],
)
def test_what_becomes_of_it(text: str, stored: str, shown: str) -> None:
    assert storable(text) == stored
    assert one_line(text) == shown
