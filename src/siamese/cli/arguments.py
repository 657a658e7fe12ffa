"""Arguments that several commands have in common."""

import argparse
from pathlib import Path
from typing import Any

from siamese.gallery.defaults import ADDRESS, MODEL


def _label_level(text: str) -> str | int:
    if text in ("top", "leaf"):
        return text
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected top, leaf or a number from 1 on")


ARGUMENTS: dict[str, dict[str, Any]] = {
    "paths": {
        "nargs": "+",
        "metavar": "PATH",
        "help": "image files, folders (all in them), or globs",
    },
    "--label-level": {
        "type": _label_level,
        "metavar": "LEVEL",
        "help": "which of the folders below the one that is given names the class: top (the first;"
        " the default), leaf (all, as a path: birds/owl) or how many of them",
    },
    "--gallery": {
        "default": ADDRESS,
        "metavar": "ADDRESS",
        "help": f"a folder, or an object store as LanceDB names it (default: {ADDRESS})",
    },
    "--model": {"type": Path, "default": MODEL, "metavar": "FOLDER", "help": f"(default: {MODEL})"},
    "--json": {"action": "store_true", "help": "for programs, one object per line"},
}


def add(parser: argparse._ActionsContainer, *names: str, **settings: Any) -> None:
    """Add some of `ARGUMENTS`, by name, to a command; the settings are further ones of argparse."""
    for name in names:
        parser.add_argument(name, **ARGUMENTS[name], **settings)
