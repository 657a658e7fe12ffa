"""Arguments that several commands have in common."""

import argparse
from pathlib import Path
from typing import Any

from siamese.gallery.defaults import ADDRESS, MODEL

ARGUMENTS: dict[str, dict[str, Any]] = {
    "paths": {
        "nargs": "+",
        "metavar": "PATH",
        "help": "image files, folders (all in them), or globs",
    },
    "--gallery": {
        "default": ADDRESS,
        "metavar": "ADDRESS",
        "help": f"a folder, or an object store as LanceDB names it (default: {ADDRESS})",
    },
    "--model": {"type": Path, "default": MODEL, "metavar": "FOLDER", "help": f"(default: {MODEL})"},
    "--json": {"action": "store_true", "help": "for programs, one object per line"},
}


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add some of `ARGUMENTS`, by name, to a command."""
    for name in names:
        parser.add_argument(name, **ARGUMENTS[name])
