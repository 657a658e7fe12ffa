"""The command `siamese adopt`."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the parser of `adopt` to those of `siamese`."""
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
