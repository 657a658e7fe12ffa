"""Experiments beside the commit that they began at: what each changes, and its main figures."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from siamese.base.errors import InputError
from siamese.comparison.provenance import (
    LOCK,
    Stage,
    all_params,
    changed_params,
    changes_between,
    is_seed,
    setting_of,
)
from siamese.comparison.revisions import Experiment, Revision, experiments, find_revision
from siamese.comparison.runs import EVALUATION, Run
from siamese.evaluation.figures import MAIN

WIDTH = 120
_LONGEST_NAME = 28
_NO_VALUES = ["none"] * len(MAIN)
# The seeds that make another run of one setting; the test pairs of a run depend on `pairs.seed`.
RUN_SEEDS = ("network.seed", "pairs.seed", "train.seed")


def experiment_table(root: Path, all_commits: bool = False) -> str:
    """Lay experiments out in at most 120 columns; see `experiment_rows`."""
    return "\n".join(_laid_out(experiment_rows(root, all_commits)))


def experiment_rows(root: Path, all_commits: bool = False) -> list[list[str]]:
    """Return experiments in rows of cells, each below the commit that it began at.

    The first row has the titles. Names of experiments are indented, those of commits are not. A
    figure that none of them has is left out; so are, unless `all_commits`, experiments that began
    at another commit than HEAD.

    Raises:
        InputError: there is no Git repository, or no experiment.
    """
    head = find_revision("HEAD", root)
    known = experiments(root)
    chosen = known if all_commits else [one for one in known if one.baseline == head.commit]
    if not chosen:
        elsewhere = f" ({len(known)} began at other commits: `--all`)" if known else ""
        raise InputError(
            f"no experiment began at {head}{elsewhere}; `dvc exp run -S train.margin=0.5` makes"
            " one, `dvc queue status` shows what is waiting or has failed"
        )
    rows = [["", *(name.partition(".")[2] for name in MAIN), "changes"]]
    for baseline in dict.fromkeys([head.commit, *(one.baseline for one in chosen)]):
        own = [one for one in chosen if one.baseline == baseline]
        rows += _rows_of(Revision(str(baseline), baseline, root), own)
    return _without_empty(rows)


def _without_empty(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Leave out the columns of figures that are empty but for their title."""
    columns = list(zip(*rows, strict=True))
    kept = [columns[0], *(column for column in columns[1:-1] if any(column[1:])), columns[-1]]
    return [list(row) for row in zip(*kept, strict=True)]


def _rows_of(baseline: Revision, own: Iterable[Experiment]) -> list[list[str]]:
    base: dict[str, Stage] = {}

    def of_baseline(run: Run) -> str:
        base.update(run.stages)
        made_with = [
            f"{change.name} {change.base}, not {change.head}"
            for change in changed_params(baseline, base)
        ]
        return f"careful: made with {', '.join(made_with)}" if made_with else ""

    rows = [_row(baseline.short, baseline, of_baseline)]
    for one in own:
        name = f"  {one.revision.name}"
        rows.append(_row(name, one.revision, lambda run: _changed(base, run.stages)))
    return rows


def _row(name: str, revision: Revision, remark: Callable[[Run], str]) -> list[str]:
    """Return the cells of a run; where its results are damaged, the remark says so."""
    try:
        run = _run_of(revision)
        remarks = remark(run)
        return [name, *_values(run), remarks]
    except InputError as error:
        return [name, *_NO_VALUES, str(error)]


def _run_of(revision: Revision) -> Run:
    """Read a run; without a lock, nothing is known of what it was made from."""
    return Run.of(revision) if revision.has(LOCK) else Run(revision, {})


def _values(run: Run) -> list[str]:
    if not run.revision.has(EVALUATION):
        return _NO_VALUES
    metrics = run.metrics
    return [f"{100 * metrics[name]:.2f}" if name in metrics else "" for name in MAIN]


def _changed(base: dict[str, Stage], other: dict[str, Stage]) -> str:
    """Say what an experiment changes: parameters by their new values, seeds together, files."""
    params = {
        change.name: change.head for change in changes_between(all_params(base), all_params(other))
    }
    words = [
        f"{name}={str(value).replace(' ', '')}"
        for name, value in params.items()
        if not is_seed(name)
    ]
    seeds = {name: value for name, value in params.items() if is_seed(name)}
    if set(seeds) == set(RUN_SEEDS) and len(set(seeds.values())) == 1:
        words.append(f"seeds={seeds['train.seed']}")
    else:
        words += [f"{name}={value}" for name, value in seeds.items()]
    before, after = setting_of(base), setting_of(other)
    files = [change.name for change in changes_between(before, after) if "/" in change.name]
    return ", ".join([*words, *files])


def _laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns; the last is wrapped, so that no line is too long."""
    rows = [[_shortened(row[0]), *row[1:]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = []
    for row in rows:
        start = "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)]
        )
        first, *rest = textwrap.wrap(row[-1], WIDTH - len(start) - 2) or [""]
        lines.append(f"{start}  {first}".rstrip())
        lines += [" " * (len(start) + 2) + more for more in rest]
    return lines


def _shortened(name: str) -> str:
    """Cut a long name off, and keep its indent."""
    indent = name[: len(name) - len(name.lstrip())]
    return indent + textwrap.shorten(name.strip(), _LONGEST_NAME, placeholder="…")
