"""Arguments that several commands have in common."""

import argparse
from pathlib import Path

from siamese.gallery.defaults import ADDRESS, MODEL


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add `--gallery`."""
    parser.add_argument(
        "--gallery",
        default=ADDRESS,
        metavar="ADDRESS",
        help=f"a folder, or an object store as LanceDB names it (default: {ADDRESS})",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`."""
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FOLDER", help=f"(default: {MODEL})"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="for programs, one object per line")


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Add the paths of images."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="image files, folders (all in them), or globs"
    )
