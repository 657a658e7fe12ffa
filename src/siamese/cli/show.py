"""The command `siamese show`."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the parser of `show` to those of `siamese`."""
    show = commands.add_parser("show", help="show the figures, their intervals and the pictures")
    show.add_argument("workspace", nargs="?", type=Path, default=Path())
    show.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> None:
    from siamese.cli.results import results_table

    print(results_table(options.workspace))
