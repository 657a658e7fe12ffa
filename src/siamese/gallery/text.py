"""Text that a gallery can hold: file names and labels come from outside, and may be any bytes."""

import unicodedata

# Control characters, line ends, and halves of characters, which stand for bytes that are no text.
REFUSED = {"Cc", "Zl", "Zp", "Cs"}


def is_plain(text: str) -> bool:
    """Tell whether a text is one line, can be written as UTF-8, and has no control characters."""
    return not any(unicodedata.category(character) in REFUSED for character in text)


def one_line(text: str) -> str:
    r"""Return a text as it can be shown on one line: a line end becomes `\n`, and so on."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in REFUSED
        else character
        for character in text
    )


def storable(text: str) -> str:
    r"""Return a file name as UTF-8 can hold it: a byte that is no text becomes `\udc..`."""
    return text.encode("utf-8", "backslashreplace").decode()
