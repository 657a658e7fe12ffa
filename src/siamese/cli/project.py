"""The commands about the project itself: `check`, `show`, `adopt`."""

import argparse
import csv
import re
import shlex
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
        "--forged-suffix",
        dest="data.forged_suffix",
        metavar="SUFFIX",
        help="a folder X with it holds forgeries of the class X (default: _forg or the like, where"
        " each such folder has its X; '' for none)",
    )
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
        ("kind", "genuine or forged (default: kind, if it has these words)"),
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
    choices = adopt.add_argument_group("splits", "how they are cut")
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
    _add_training(adopt)
    adopt.set_defaults(command=_adopt)


def _add_training(adopt: argparse.ArgumentParser) -> None:
    """Add what `siamese adopt` proposes from what the images look like."""
    training = adopt.add_argument_group(
        "training", "what is not given is proposed from what the images look like"
    )
    training.add_argument(
        "--kind",
        choices=("photographs", "drawings", "writing", "small"),
        help="what they are: photographs are given a pretrained network, writing no mirror images",
    )
    training.add_argument(
        "--network",
        dest="network.architecture",
        metavar="NAME",
        help="resnet9, resnet18, conv4, or timm/NAME for a network of timm",
    )
    training.add_argument(
        "--weights",
        metavar="WHICH",
        help="none, pretrained (timm's), or where others are: hf:OWNER/NAME, a URL or a file",
    )
    training.add_argument(
        "--copy",
        type=Path,
        metavar="FILE",
        help="a copy of the weights, for a machine without a network",
    )
    freeze = training.add_mutually_exclusive_group()
    freeze.add_argument(
        "--fast",
        dest="train.freeze",
        action="store_const",
        const="backbone",
        help="train a linear layer alone, on features of the pretrained network: minutes",
    )
    freeze.add_argument(
        "--freeze",
        dest="train.freeze",
        choices=("none", "statistics", "backbone"),
        help="what of the pretrained network stays as it is",
    )
    training.add_argument(
        "--image-size",
        dest="data.image_size",
        type=_size,
        metavar="PIXELS",
        help="height and width: 64, or 64x192",
    )
    training.add_argument(
        "--fit",
        dest="data.fit",
        choices=("pad", "crop", "ink"),
        help="how they are brought to that: edges repeated, the middle, or what is written alone,"
        " black on white (default: ink for writing, crop for photographs, else pad)",
    )
    training.add_argument(
        "--mirror",
        dest="network.mirror",
        action=argparse.BooleanOptionalAction,
        help="is a mirror image the same thing? (default: yes, but for writing)",
    )
    training.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="change images at random in training, as proposed or not at all",
    )
    for name, kind, metavar, what in (
        ("resized-crop", float, "SHARE", "smallest of the area to cut out and enlarge; 1 for none"),
        ("resized-to", int, "PIXELS", "of the shorter side of that; 0 for as many as the image"),
        ("jitter", float, "SHARE", "how much brightness, contrast and colours change; 0 for none"),
        ("policy", str, "NAME", "none, trivial or rand"),
        ("erase", float, "SHARE", "of the images, of which a rectangle is set to grey"),
        ("rotate", float, "DEGREES", "how far to turn at most, either way"),
        ("scale", float, "SHARE", "how much to enlarge or shrink at most"),
        ("stroke", float, "PIXELS", "how much thicker or thinner lines get on each side, up to 1"),
        ("crop", int, "PIXELS", "how far to shift at most, in each direction"),
        ("cutout", int, "PIXELS", "side of a square that is set to grey; 0 for none"),
    ):
        training.add_argument(
            f"--{name}",
            dest=f"train.augment.{name.replace('-', '_')}",
            type=kind,
            metavar=metavar,
            help=what,
        )


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
    from siamese.cli.proposals import NO_AUGMENT

    given = {name: value for name, value in vars(options).items() if value is not None}
    wanted = {name: value for name, value in given.items() if "." in name}
    if "network.mirror" in wanted:
        wanted["train.augment.flip"] = wanted["network.mirror"]
    if options.augment is False:
        wanted = NO_AUGMENT | wanted
    adopted = adopt(
        options.path,
        options.images,
        wanted,
        kind=options.kind,
        weights=options.weights,
        copy=options.copy,
    )
    for line in adopted.found:
        print(line)
    for line in changed_lines(adopted.changes):
        print(line)
    for note in adopted.notes:
        print(note)
    copy = options.copy if adopted.is_pretrained else None
    with_copy = f"SIAMESE_WEIGHTS={shlex.quote(str(copy))} " if copy else ""
    print(f"Next: {with_copy}dvc repro, and siamese show")


def _names(text: str) -> list[str]:
    """Return names with commas between them; one that holds a comma stands in double quotes."""
    try:
        return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read as names ({error})") from None


def _size(text: str) -> int | list[int]:
    """Return a size as `params.yaml` has it, of `64` or `64x192`."""
    if not re.fullmatch(r"\d+(x\d+)?", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; expected pixels as 64, or height and width as 64x192"
        )
    sides = [int(side) for side in text.split("x")]
    return sides[0] if sides[0] == sides[-1] else sides


def _separator(text: str) -> str:
    return {"tab": "\t", r"\t": "\t"}.get(text, text)
