"""The commands about the project itself: `check`, `show`, `adopt`."""

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from siamese.cli.arguments import add


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
    # What is given here goes to params.yaml under the name in `dest`.
    data = adopt.add_argument_group("data", "which images there are, and of which classes")
    add(data, "--label-level", dest="data.label_level")
    data.add_argument(
        "--drop-labels",
        dest="data.drop_labels",
        type=_names,
        metavar="A,B,...",
        help="leave out the classes of these names",
    )
    data.add_argument(
        "--min-images",
        dest="data.min_images",
        type=int,
        metavar="N",
        help="leave out classes of fewer images",
    )
    data.add_argument(
        "--unreadable",
        dest="data.unreadable",
        choices=("stop", "leave_out"),
        help="what to do about files that cannot be read (default: stop)",
    )
    table = adopt.add_argument_group(
        "table", "how it is written; separator and encoding are found if they are not given"
    )
    table.add_argument(
        "--images", type=Path, metavar="FOLDER", help="the folder that its file names start from"
    )
    for key, what in (
        ("file", "the image's file (default: file)"),
        ("label", "its class (default: label)"),
        ("split", "train, validation or test (default: split, if there is one)"),
        ("group", "what no split may divide (default: group, if there is one)"),
        ("coarse", "the superclass (default: coarse, if there is one)"),
    ):
        table.add_argument(f"--{key}-column", dest=f"data.table.{key}", metavar="NAME", help=what)
    table.add_argument(
        "--suffix",
        dest="data.table.suffix",
        metavar="SUFFIX",
        help="what to add to each file's name, such as .jpg",
    )
    table.add_argument(
        "--no-header",
        dest="data.table.header",
        action="store_false",
        default=None,
        help="the first line is an image too; columns are called 1 (file), 2 (label), 3, ...",
    )
    table.add_argument(
        "--separator",
        dest="data.table.separator",
        type=_separator,
        metavar="CHARACTER",
        help="between columns; tab for a tab",
    )
    table.add_argument(
        "--encoding", dest="data.table.encoding", metavar="NAME", help="such as utf-8 or cp1252"
    )
    choices = adopt.add_argument_group("choices", "how to cut splits, and what to train on")
    choices.add_argument(
        "--image-size",
        dest="data.image_size",
        type=int,
        metavar="PIXELS",
        help="height and width",
    )
    choices.add_argument(
        "--split-by",
        dest="prepare.split_by",
        choices=("sample", "group", "class"),
        help="what a cut keeps on one side: each image, group or class",
    )
    choices.add_argument(
        "--test",
        dest="prepare.test",
        type=float,
        metavar="SHARE",
        help="share of the test split",
    )
    choices.add_argument(
        "--validation",
        dest="prepare.validation",
        type=float,
        metavar="SHARE",
        help="share of what is left, to watch training",
    )
    choices.add_argument(
        "--novel-classes",
        dest="data.novel_classes",
        type=int,
        metavar="N",
        help="classes to keep out of training",
    )
    choices.add_argument(
        "--mirror",
        dest="network.mirror",
        action=argparse.BooleanOptionalAction,
        help="is a mirror image the same thing? (default: yes)",
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
    from siamese.cli.params_file import changed_lines

    given = {name: value for name, value in vars(options).items() if value is not None}
    wanted = {name: value for name, value in given.items() if "." in name}
    if "network.mirror" in wanted:
        wanted["train.augment.flip"] = wanted["network.mirror"]
    adopted = adopt(options.path, options.images, wanted)
    for line in adopted.found:
        print(line)
    for line in changed_lines(adopted.changes):
        print(line)
    for note in adopted.notes:
        print(note)
    print("Next: dvc repro, and siamese show")


def _names(text: str) -> list[str]:
    """Return names with commas between them; one that holds a comma stands in double quotes."""
    try:
        return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read as names ({error})") from None


def _separator(text: str) -> str:
    return {"tab": "\t", r"\t": "\t"}.get(text, text)
