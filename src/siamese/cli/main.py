"""The console command `siamese`.

Each command stands in the module that adds its parser. Those modules import nothing heavy before a
command runs, so that `siamese --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from siamese import __version__
from siamese.base.errors import InputError, explained
from siamese.base.terminal import print_any_name
from siamese.cli import ask, compare, export, gallery, map, profiles, project, serve, weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; wrong input ends it with a plain message and exit status 1."""
    options = command_parser().parse_args(arguments)
    print_any_name()
    try:
        # A command that continues after an error has printed it, and returns 1.
        status = options.command(options) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        print(f"siamese: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the output has stopped, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        print(f"siamese: {explained(error)}", file=sys.stderr)
        return 1


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="siamese", description="Siamese networks for image similarity, under DVC."
    )
    parser.add_argument("--version", action="version", version=f"siamese {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (project, weights, profiles, gallery, map, ask, serve, export, compare):
        module.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
