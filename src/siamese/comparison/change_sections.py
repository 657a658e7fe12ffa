"""What differs between two sides, for a reader: by stage, then the code; and what is stale."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from siamese.comparison.compare import Comparison
from siamese.comparison.provenance import Change, StageChanges, is_seed

WIDTH = 100
INDENT = 14
LONG = 8


@dataclass(frozen=True)
class Section:
    """Some of what differs: lines of one thing each, under a stage or what they are about.

    `are_files` says that the lines are files, of which there may be many.
    """

    title: str
    lines: list[str]
    are_files: bool = False

    @property
    def is_long(self) -> bool:
        """Whether a page should fold the lines away."""
        return self.are_files and len(self.lines) > LONG


def change_sections(comparison: Comparison) -> list[Section]:
    """Say what differs: stages in which something was changed, those that follow, then files."""
    causes = [one for one in comparison.changes if one.is_cause or one.is_unexplained]
    followers = [one.stage for one in comparison.changes if one not in causes]
    hide_seeds = comparison.claim == "setting"
    sections = [Section(one.stage, _stage_lines(one, hide_seeds)) for one in causes]
    if followers:
        sections.append(
            Section("and so", [f"{', '.join(followers)} (read what the stages above wrote)"])
        )
    if comparison.ran_on:
        lines = [f"{change.name} {_arrow(change)}" for change in comparison.ran_on]
        sections.append(Section("ran on", lines))
    if comparison.code:
        lines = [f"{change.name} {_existence(change)}" for change in comparison.code]
        sections.append(Section("code", lines, are_files=True))
    if sections:
        return sections
    if comparison.stale:
        return [Section("the same parameters, data and code when the figures were made", [])]
    return [Section("nothing: the same parameters, data and code", [])]


def stale_sections(comparison: Comparison) -> list[Section]:
    """Say which revision's figures are not its own, and by what: a reader must know that first."""
    return [
        Section(
            f"Careful: {name} has changed since its figures were made:", changed, are_files=True
        )
        for name, changed in comparison.stale.items()
    ]


def as_lines(sections: Sequence[Section]) -> list[str]:
    """Lay sections out as plain lines, each title beside its first line if it is short."""
    lines = []
    for section in sections:
        if len(section.title) >= INDENT:
            lines.append(section.title)
        for position, line in enumerate(section.lines):
            is_beside = position == 0 and len(section.title) < INDENT
            lines.append(f"{section.title if is_beside else '':<{INDENT - 2}}{line}")
    return lines


def _stage_lines(changes: StageChanges, hide_seeds: bool) -> list[str]:
    lines = [
        f"{change.name} {_arrow(change)}"
        for change in changes.params
        if not (hide_seeds and is_seed(change.name))
    ]
    if hide_seeds and any(is_seed(change.name) for change in changes.params):
        lines.insert(0, "seeds")
    if changes.code:
        code = f"code in {', '.join(_folders(changes.code))}"
        lines += textwrap.wrap(code, WIDTH - INDENT, break_on_hyphens=False)
    data = [*changes.inputs, *changes.outputs]
    lines += [f"{change.name} {_arrow(change, 7)}" for change in data if change.name[:5] == "data/"]
    if changes.is_unexplained:
        lines.append("(equal parameters, code and data gave other results: another machine?)")
    return lines


def _folders(code: list[Change]) -> list[str]:
    """Return the folders of code that changed; a file that dvc.lock names stands for its folder."""
    folders = [
        str(PurePosixPath(change.name).parent) if change.name.endswith(".py") else change.name
        for change in code
    ]
    return list(dict.fromkeys(folders))


def _arrow(change: Change, most: int | None = None) -> str:
    """Show both sides, of each the first characters."""
    base, head = (
        "absent" if side is None else side if most is None else side[:most]
        for side in (change.base, change.head)
    )
    return f"{base} -> {head}"


def _existence(change: Change) -> str:
    if change.base is None:
        return "(new)"
    return "(gone)" if change.head is None else "(changed)"
