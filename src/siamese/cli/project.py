"""The commands about the project itself: `check`, `show`, `adopt`."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to those of `siamese`."""
    check = commands.add_parser("check", help="check the whole of params.yaml")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    check.set_defaults(command=_check)

    show = commands.add_parser("show", help="show the figures, their intervals and the pictures")
    show.add_argument("workspace", nargs="?", type=Path, default=Path())
    show.set_defaults(command=_show)

    adopt = commands.add_parser("adopt", help="set params.yaml to a folder of your own images")
    adopt.add_argument(
        "path", type=Path, metavar="PATH", help="class folders, or a table of files and labels"
    )
    adopt.add_argument(
        "--images", type=Path, metavar="FOLDER", help="with a table: where its file names start"
    )
    adopt.add_argument("--image-size", type=int, metavar="PIXELS", help="set data.image_size")
    adopt.add_argument(
        "--split-by", choices=("sample", "group", "class"), help="set prepare.split_by"
    )
    adopt.add_argument("--novel-classes", type=int, metavar="N", help="set data.novel_classes")
    adopt.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="set train.augment.flip and network.mirror: is a mirror image the same thing?",
    )
    adopt.set_defaults(command=_adopt)


def _check(options: argparse.Namespace) -> None:
    from siamese.cli.remotes import remote_notes
    from siamese.cli.schema import check_params

    check_params(options.file)
    print(f"{options.file}: every section is sound")
    for note in remote_notes(options.file.parent):
        print(note, file=sys.stderr)


def _show(options: argparse.Namespace) -> None:
    from siamese.cli.results import results_table

    print(results_table(options.workspace))


def _adopt(options: argparse.Namespace) -> None:
    from siamese.cli.adoption import adopt

    wanted = {
        "data.image_size": options.image_size,
        "prepare.split_by": options.split_by,
        "data.novel_classes": options.novel_classes,
        "train.augment.flip": options.mirror,
        "network.mirror": options.mirror,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    adopted = adopt(options.path, options.images, wanted)
    for line in adopted.found:
        print(line)
    for name, (old, new) in adopted.changes.items():
        print(f"  {name:<26}{old} -> {new}")
    for note in adopted.notes:
        print(note)
    print("Next: dvc repro, and siamese show")
