"""The console command `siamese`. Heavy modules are imported only by the command that needs them."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese import __version__
from siamese.cli_gallery import add_commands
from siamese.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; wrong input ends it with a plain message and exit status 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        # A command that went on after an error has said so, and returns 1.
        return options.command(options) or 0
    except InputError as error:
        print(f"siamese: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese", description="Siamese networks for image similarity, under DVC."
    )
    parser.add_argument("--version", action="version", version=f"siamese {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check the whole of params.yaml")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    check.set_defaults(command=_check)

    show = commands.add_parser("show", help="show the metrics beside the floors, and the pictures")
    show.add_argument("workspace", nargs="?", type=Path, default=Path())
    show.set_defaults(command=_show)

    demo = commands.add_parser("demo", help="run the pipeline on scikit-learn's digits, in demo/")
    demo.set_defaults(command=_demo)
    add_commands(commands)
    return parser


def _check(options: argparse.Namespace) -> None:
    from siamese.schema import check_params

    check_params(options.file)
    print(f"{options.file}: every section is sound")


def _show(options: argparse.Namespace) -> None:
    print(results_table(options.workspace))


def _demo(options: argparse.Namespace) -> None:
    from siamese.demo import make_workspace, reproduce

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


def results_table(workspace: Path) -> str:
    """Lay out the figures of a workspace that has run, and name its pictures.

    Raises:
        InputError: the metrics are not there.
    """
    training, ran_on, floor, evaluation = (
        _read_metrics(workspace / "metrics" / f"{name}.json")
        for name in ("training", "ran_on", "floor", "evaluation")
    )
    labels = {
        "weighted": "weighted vote",
        "top5": "among the five classes with most votes",
        "coarse": "superclass",
    }
    lines = ["k-NN on the test split, top-1"]
    lines += [_row("raw pixels (floor)", floor["pixels"])]
    lines += [_row("untrained network (floor)", floor["untrained"])]
    for name, value in evaluation["knn"].items():
        label = labels.get(name) or f"embedding, k = {name.removeprefix('k')}"
        lines.append(_row(label, value))
    lines.append("Verification of test pairs")
    titles = {"auc": "area under the ROC", "eer": "equal error rate", "accuracy": "accuracy"}
    for name, value in evaluation["verification"].items():
        lines.append(_row(titles.get(name, name), value))
    lines.append(
        f"Trained {training['epochs']} epochs on {ran_on['device']} in {ran_on['precision']};"
        f" the weights are epoch {training['best_epoch']}'s"
    )
    pictures = sorted((workspace / "data" / "pictures").glob("*.png"))
    if pictures:
        lines.append("Pictures")
        lines += [f"  {picture}" for picture in pictures]
    return "\n".join(lines)


def _row(label: str, fraction: float) -> str:
    return f"  {label:<42}{fraction:8.2%}"


def _read_metrics(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; `make repro` or `make demo` makes it") from None


if __name__ == "__main__":
    sys.exit(main())
