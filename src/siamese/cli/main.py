"""The console command `siamese`. Heavy modules are imported only by the command that needs them."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese import __version__
from siamese.base.errors import InputError
from siamese.cli import compare, gallery
from siamese.cli.results import results_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; wrong input ends it with a plain message and exit status 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        # A command that went on after an error has said so, and returns 1.
        status = options.command(options) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        print(f"siamese: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough, `head` for one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese", description="Siamese networks for image similarity, under DVC."
    )
    parser.add_argument("--version", action="version", version=f"siamese {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check the whole of params.yaml")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    check.set_defaults(command=_check)

    show = commands.add_parser("show", help="show the figures, their intervals and the pictures")
    show.add_argument("workspace", nargs="?", type=Path, default=Path())
    show.set_defaults(command=_show)

    adopt = commands.add_parser("adopt", help="set params.yaml to a folder of images of your own")
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

    demo = commands.add_parser("demo", help="run the pipeline on scikit-learn's digits, in demo/")
    demo.set_defaults(command=_demo)

    gallery.add_commands(commands)
    compare.add_commands(commands)
    return parser


def _check(options: argparse.Namespace) -> None:
    from siamese.cli.schema import check_params

    check_params(options.file)
    print(f"{options.file}: every section is sound")


def _show(options: argparse.Namespace) -> None:
    print(results_table(options.workspace))


def _adopt(options: argparse.Namespace) -> None:
    from siamese.cli.adopt import adopt

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


def _demo(options: argparse.Namespace) -> None:
    from siamese.cli.demo import make_workspace, reproduce

    workspace = Path("demo")
    make_workspace(Path(), workspace)
    reproduce(workspace)
    print()
    print(results_table(workspace))
    print(
        "\nThis was the whole pipeline on scikit-learn's digits. Next:\n"
        "  siamese show                            the committed figures of CIFAR-100\n"
        "  make repro                              rebuild them (downloads 169 MB)\n"
        "  dvc exp run -S train.margin=0.5         try a hyperparameter\n"
        "  dvc metrics diff                        compare with the last commit\n"
        "(`source .venv/bin/activate` puts siamese and dvc on the path.)"
    )


if __name__ == "__main__":
    sys.exit(main())
