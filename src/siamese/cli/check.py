"""The command `siamese check`."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the parser of `check` to those of `siamese`."""
    check = commands.add_parser("check", help="check the whole of params.yaml")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> None:
    from siamese.cli.schema import check_params

    check_params(options.file)
    print(f"{options.file}: every section is sound")
