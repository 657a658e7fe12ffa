"""A comparison as plain text for a terminal, as Markdown and as values for JSON."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from siamese.comparison.change_sections import (
    WIDTH,
    Section,
    as_lines,
    change_sections,
    stale_sections,
)
from siamese.comparison.compare import Compared, Comparison
from siamese.comparison.conclusions import METHOD, conclusions
from siamese.comparison.provenance import KINDS
from siamese.comparison.runs import Run

# Of the columns; the first and the last speak for themselves.
HEADER = ["", "base", "head", "points", "95 % interval", "p", ""]
HEADINGS = {
    "models": "Do these two models differ? One run each, the same test images",
    "setting": "Does the setting make a difference? Several seeds of each",
}


def as_text(comparison: Comparison) -> str:
    """Lay a comparison out for a terminal of 100 columns."""
    lines = [f"base   {side(comparison.base)}", f"head   {side(comparison.head)}", ""]
    if stale := stale_sections(comparison):
        lines += [*as_lines(stale), ""]
    changes = as_lines(change_sections(comparison))
    lines += ["What differs", *(f"  {line}" for line in changes), ""]
    lines += [HEADINGS[comparison.claim]]
    rows = [HEADER, *(row(compared) for compared in comparison.metrics)]
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
        *(_fenced(stale) if (stale := stale_sections(comparison)) else []),
        *(f"- {sentence}" for sentence in conclusions(comparison)),
        "",
        f"#### {HEADINGS[comparison.claim]}",
        "",
    ]
    lines += [_markdown_row(HEADER), _markdown_row(["---", *["--:"] * (len(HEADER) - 2), "---"])]
    for compared in comparison.metrics:
        cells = row(compared)
        cells = [f"**{cell}**" if compared.differs and cell else cell for cell in cells]
        lines.append(_markdown_row(cells))
    lines += ["", f"<sub>{METHOD[comparison.claim]}</sub>", "", "#### What differs", ""]
    return "\n".join([*lines, *_fenced(change_sections(comparison))])


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; fractions stay fractions."""
    return {
        "claim": comparison.claim,
        **{
            name: [{"name": run.revision.name, "commit": run.revision.commit} for run in runs]
            for name, runs in (("base", comparison.base), ("head", comparison.head))
        },
        "conclusions": conclusions(comparison),
        "method": METHOD[comparison.claim],
        "metrics": [_metric_json(compared) for compared in comparison.metrics],
        "changes": [
            {
                "stage": changes.stage,
                **{kind: [vars(one) for one in getattr(changes, kind)] for kind in KINDS},
            }
            for changes in comparison.changes
        ],
        "code": [vars(change) for change in comparison.code],
        "ran_on": [vars(change) for change in comparison.ran_on],
        "stale": comparison.stale,
    }


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


def _fenced(sections: Sequence[Section]) -> list[str]:
    return ["```text", *as_lines(sections), "```", ""]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
