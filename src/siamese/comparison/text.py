"""A comparison as a person reads it, in a terminal or in Markdown, and as a program does."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from siamese.comparison.comparison import Compared, Comparison, Run
from siamese.comparison.provenance import Change, StageChanges, is_seed
from siamese.comparison.words import METHOD, conclusions

WIDTH = 100
HEADINGS = {
    "models": "Do these two models differ? One run each, the same test images",
    "setting": "Does the setting make a difference? Several seeds of each",
}


def as_text(comparison: Comparison) -> str:
    """Lay a comparison out for a terminal of 100 columns."""
    lines = [f"base   {side(comparison.base)}", f"head   {side(comparison.head)}", ""]
    lines += ["What differs", *(f"  {line}" for line in change_lines(comparison)), ""]
    lines += [HEADINGS[comparison.claim]]
    rows = [header(), *(row(compared) for compared in comparison.metrics)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells_of in rows:
        cells = [
            cell.ljust(width) if position in (0, len(widths) - 1) else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(cells_of, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    lines.append("")
    for paragraph in [*conclusions(comparison), METHOD[comparison.claim]]:
        lines += textwrap.wrap(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def as_markdown(comparison: Comparison) -> str:
    """Lay a comparison out for a pull request."""
    lines = [
        f"**base** {side(comparison.base)}, **head** {side(comparison.head)}",
        "",
        *(f"- {sentence}" for sentence in conclusions(comparison)),
        "",
        f"#### {HEADINGS[comparison.claim]}",
        "",
    ]
    names = header()
    lines += [_markdown_row(names), _markdown_row(["---", *["--:"] * (len(names) - 2), "---"])]
    for compared in comparison.metrics:
        cells = row(compared)
        cells = [f"**{cell}**" if compared.differs and cell else cell for cell in cells]
        lines.append(_markdown_row(cells))
    lines += ["", f"<sub>{METHOD[comparison.claim]}</sub>", "", "#### What differs", "", "```text"]
    return "\n".join([*lines, *change_lines(comparison), "```", ""])


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; fractions stay fractions."""
    return {
        "claim": comparison.claim,
        "base": [_run_json(run) for run in comparison.base],
        "head": [_run_json(run) for run in comparison.head],
        "conclusions": conclusions(comparison),
        "method": METHOD[comparison.claim],
        "metrics": [_metric_json(compared) for compared in comparison.metrics],
        "changes": [
            {
                "stage": changes.stage,
                **{
                    kind: [vars(change) for change in getattr(changes, kind)]
                    for kind in ("params", "code", "inputs", "outputs")
                },
            }
            for changes in comparison.changes
        ],
        "ran_on": [vars(change) for change in comparison.ran_on],
        "stale": comparison.stale,
    }


def _run_json(run: Run) -> dict[str, Any]:
    revision = run.results.revision
    return {"name": revision.name, "commit": revision.commit}


def _metric_json(compared: Compared) -> dict[str, Any]:
    outcome = compared.outcome
    return {
        "metric": compared.metric,
        "base": list(compared.base),
        "head": list(compared.head),
        "difference": outcome.difference if outcome else None,
        "interval": list(outcome.interval) if outcome else None,
        "test": outcome.test if outcome else None,
        "p": outcome.p if outcome else None,
        "p_corrected": compared.p,
        "differs": compared.differs,
    }


def side(runs: Sequence[Run]) -> str:
    """Name the runs of one side."""
    if len(runs) == 1:
        return str(runs[0])
    shown = ", ".join(str(run) for run in runs[:3])
    return f"{len(runs)} runs: {shown}" + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")


def header() -> list[str]:
    """Return the names of the columns; the first and the last speak for themselves."""
    return ["", "base", "head", "points", "95 % interval", "p", ""]


def row(compared: Compared) -> list[str]:
    """Return the cells of one metric: values in per cent, differences in points of per cent."""
    values = [_value(side) for side in (compared.base, compared.head)]
    if compared.outcome is None or compared.p is None:
        return [compared.metric, *values, "", "", "", "not tested: no common ground"]
    low, high = (100 * bound for bound in compared.outcome.interval)
    word = "no difference shown"
    if compared.differs:
        word = "better" if compared.is_better else "worse"
    return [
        compared.metric,
        *values,
        f"{100 * compared.difference:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        f"{compared.p:.3f}" if compared.p >= 0.001 else "< 0.001",
        word,
    ]


def _value(values: Sequence[float]) -> str:
    if not values:
        return "none"
    mean = f"{100 * np.mean(values):.2f} %"
    if len(values) == 1:
        return mean
    return f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f} %"


def change_lines(comparison: Comparison) -> list[str]:
    """Say what differs, a line each, the causes of a stage before what follows from them."""
    lines = []
    hidden_seeds = comparison.claim == "setting"
    followers = []
    for changes in comparison.changes:
        if not changes.is_cause and not changes.is_unexplained:
            followers.append(changes.stage)
            continue
        lines += _stage_lines(changes, hidden_seeds)
    if followers:
        lines.append(f"{'and so':<10}{', '.join(followers)} (read what the stages above wrote)")
    for change in comparison.ran_on:
        lines.append(f"{'ran on':<10}{change.name} {_arrow(change)}")
    for name, changed in comparison.stale.items():
        lines.append(f"Careful: {name} has changed since its figures were made:")
        lines += [f"{'':<10}{one}" for one in changed]
    return lines or ["nothing: the same parameters, data and code"]


def _stage_lines(changes: StageChanges, hidden_seeds: bool) -> list[str]:
    texts = [
        f"{change.name} {_arrow(change)}"
        for change in changes.params
        if not (hidden_seeds and is_seed(change.name))
    ]
    texts += [f"{change.name} {_existence(change)}" for change in changes.code]
    data = [*changes.inputs, *changes.outputs]
    texts += [f"{change.name} {_hashes(change)}" for change in data if change.name[:5] == "data/"]
    if changes.is_unexplained:
        texts.append("(equal parameters, code and data gave other results: another machine?)")
    if hidden_seeds and any(is_seed(change.name) for change in changes.params):
        texts.insert(0, "seeds")
    return [f"{changes.stage if not row else '':<10}{text}" for row, text in enumerate(texts)]


def _arrow(change: Change) -> str:
    base, head = ("absent" if side is None else side for side in (change.base, change.head))
    return f"{base} -> {head}"


def _existence(change: Change) -> str:
    if change.base is None:
        return "(new)"
    return "(gone)" if change.head is None else "(changed)"


def _hashes(change: Change) -> str:
    base, head = ("absent" if side is None else side[:7] for side in (change.base, change.head))
    return f"{base} -> {head}"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
