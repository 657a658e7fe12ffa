"""The commands of `siamese` on experiments. Nothing heavy is imported before one runs."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add `compare`, `report`, `review`, `experiments` and `seeds` to an argument parser."""
    compare = commands.add_parser(
        "compare",
        help="is the difference between two revisions real, and where does it come from?",
        description=(
            "Compare the results of Git revisions or DVC experiments. One run per side: do these"
            " two models differ? Several runs per side: does the setting make a difference?"
        ),
    )
    add_sides(compare)
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="as Markdown")
    form.add_argument("--json", action="store_true", help="as JSON, for programs")
    compare.set_defaults(command=_compare)

    report = commands.add_parser(
        "report", help="write a comparison, with curves and pictures, as HTML and Markdown"
    )
    add_sides(report)
    report.add_argument("--folder", type=Path, default=Path("report"), help="default: report/")
    report.set_defaults(command=_report)

    review = commands.add_parser(
        "review", help="rebuild the digits before and after a change, and report the difference"
    )
    review.add_argument("base", metavar="BASE", help="a Git revision, for example origin/main")
    review.add_argument("--folder", type=Path, default=Path("report"), help="default: report/")
    review.set_defaults(command=_review)

    experiments = commands.add_parser(
        "experiments", help="list experiments: what each changes, and its main figures"
    )
    experiments.add_argument(
        "--all", action="store_true", help="not only those that began at this commit"
    )
    experiments.set_defaults(command=_experiments)

    seeds = commands.add_parser("seeds", help="run a setting with several seeds, in DVC's queue")
    seeds.add_argument("seeds", nargs="+", type=int, metavar="SEED", help="one run for each")
    seeds.add_argument(
        "--set",
        default="",
        metavar="NAME=VALUE",
        help="parameters of the setting, separated by spaces and quoted as in a shell",
    )
    seeds.add_argument(
        "--name", default="", help="of the experiments, before -sSEED (default: from --set)"
    )
    seeds.set_defaults(command=_seeds)


def add_sides(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the two sides."""
    parser.add_argument(
        "base",
        metavar="BASE",
        help="a Git revision or an experiment; or several runs of one setting: a-1,a-2 or 'a-*'",
    )
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", default="workspace", help="the same (default: workspace)"
    )
    parser.add_argument(
        "--seeds",
        action="store_true",
        help="on each side, add the experiments that differ from the first run only in seeds",
    )


def compared_sides(options: argparse.Namespace) -> Any:
    """Return the `Comparison` that the arguments ask for.

    Raises:
        InputError: a name stands for nothing, or the results cannot be compared.
    """
    from siamese.comparison.compare import compare
    from siamese.comparison.revisions import find_revisions
    from siamese.comparison.runs import with_siblings

    sides = [find_revisions(names, Path()) for names in (options.base, options.head)]
    if options.seeds:
        sides = [with_siblings(side[0]) if len(side) == 1 else side for side in sides]
    return compare(*sides)


def _compare(options: argparse.Namespace) -> None:
    from siamese.comparison.text_formats import as_json, as_markdown, as_text

    comparison = compared_sides(options)
    if options.json:
        print(json.dumps(as_json(comparison), indent=2))  # ASCII: JSON whatever the output takes
    else:
        print(as_markdown(comparison) if options.md else as_text(comparison))


def _report(options: argparse.Namespace) -> None:
    from siamese.comparison.report import write_report

    for file in write_report(compared_sides(options), options.folder):
        print(file)


def _review(options: argparse.Namespace) -> None:
    from siamese.cli.review import REVIEW, rebuild_both
    from siamese.comparison.compare import compare
    from siamese.comparison.report import write_report
    from siamese.comparison.text_formats import as_text

    base, head = rebuild_both(options.base, Path(), REVIEW)
    comparison = compare([base], [head])
    print(as_text(comparison))
    for file in write_report(comparison, options.folder):
        print(file)


def _experiments(options: argparse.Namespace) -> None:
    from siamese.comparison.experiment_table import experiment_table

    print(experiment_table(Path(), options.all))


def _seeds(options: argparse.Namespace) -> None:
    from siamese.cli.seeds import run_seeds

    run_seeds(options.seeds, options.set, options.name, Path())
    _experiments(argparse.Namespace(all=False))
