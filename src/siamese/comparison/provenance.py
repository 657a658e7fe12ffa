"""What results were made from, by `dvc.lock`: parameters, data and code; and what differs.

`dvc.lock` says for each stage with which parameters, data and code its outputs were made. So two
revisions' locks say where a difference in their figures may come from; and a revision's own files,
held against its lock, whether its figures are still its own.

For a folder of code dvc.lock has one hash, which tells that something in it differs. Which files,
Git tells, as long as the folder at the revision still has that hash.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import Field, TypeAdapter
from ruamel.yaml import YAML

from siamese.comparison.result_files import Content, parsed
from siamese.comparison.revisions import Revision, find_revision

LOCK = "dvc.lock"
PARAMS = "params.yaml"
CODE = ("src/", "stages/")
KINDS = ("params", "code", "inputs", "outputs")  # of what a stage was run with


@dataclass(frozen=True)
class Stage:
    """What one stage was last run with.

    Attributes:
        params: by dotted name.
        code: DVC's hash of each file or folder of code that it depends on.
        inputs: DVC's hash of each file or folder of data that it read.
        outputs: DVC's hash of each file or folder that it wrote.
        n_files: how many files each folder that it wrote has.
    """

    params: dict[str, Any]
    code: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]
    n_files: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One thing that differs: its name, and what it is on each side; None where it is absent."""

    name: str
    base: Any
    head: Any


@dataclass(frozen=True)
class StageChanges:
    """What differs in one stage; see `Stage`."""

    stage: str
    params: list[Change]
    code: list[Change]
    inputs: list[Change]
    outputs: list[Change]

    @property
    def is_cause(self) -> bool:
        """Whether something was changed here, and not only in what the stage reads."""
        return bool(self.params or self.code)

    @property
    def is_unexplained(self) -> bool:
        """Whether equal parameters, code and inputs gave other outputs."""
        return bool(self.outputs) and not (self.is_cause or self.inputs)


class _Item(Content):
    path: str
    md5: str | None = None
    nfiles: int | None = None


class _LockedStage(Content):
    deps: list[_Item] = Field(default_factory=list)
    outs: list[_Item] = Field(default_factory=list)
    params: dict[str, dict[str, Any]] = Field(default_factory=dict)


class _Lock(Content):
    stages: dict[str, _LockedStage]


def read_lock(revision: Revision) -> dict[str, Stage]:
    """Return what each stage was last run with, in the order of dvc.lock.

    Raises:
        InputError: the revision has no dvc.lock, or another one than DVC writes.
    """
    # DVC writes YAML 1.2, where 5e-05 is a number and `no` is text.
    reader = YAML(typ="safe")
    lock = parsed(revision, LOCK, lambda text: _Lock.model_validate(reader.load(text)))
    return {name: _read_stage(stage) for name, stage in lock.stages.items()}


def read_params(revision: Revision) -> dict[str, Any]:
    """Return the parameters of params.yaml by dotted name; empty if the revision has no such file.

    Raises:
        InputError: it is no mapping in YAML.
    """
    if not revision.has(PARAMS):
        return {}
    mapping = TypeAdapter(dict[str, Any])
    return flatten(
        parsed(
            revision,
            PARAMS,
            lambda text: mapping.validate_python(_parsed(text)),
            advice="`siamese check` checks it when it is mended",
        )
    )


def _parsed(text: bytes) -> Any:
    # The parser in C is ten times as fast, where PyYAML was built with it.
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _read_stage(stage: _LockedStage) -> Stage:
    deps, outputs = (
        {item.path: str(item.md5) for item in items} for items in (stage.deps, stage.outs)
    )
    params: dict[str, Any] = {}
    for of_file in stage.params.values():
        params |= flatten(of_file)
    return Stage(
        params=params,
        code={path: md5 for path, md5 in deps.items() if f"{path}/".startswith(CODE)},
        inputs={path: md5 for path, md5 in deps.items() if not f"{path}/".startswith(CODE)},
        outputs=outputs,
        n_files={item.path: item.nfiles for item in stage.outs if item.nfiles is not None},
    )


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, its keys joined by dots."""
    if not isinstance(content, dict):
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differences(base: dict[str, Stage], head: dict[str, Stage]) -> list[StageChanges]:
    """Return the stages in which anything differs, in the pipeline's order."""
    empty = Stage({}, {}, {}, {})
    found = []
    for name in dict.fromkeys([*base, *head]):
        sides = vars(base.get(name, empty)), vars(head.get(name, empty))
        changes = StageChanges(
            name, **{kind: changes_between(*(side[kind] for side in sides)) for kind in KINDS}
        )
        if changes.is_cause or changes.inputs or changes.outputs:
            found.append(changes)
    return found


def changes_between(base: dict[str, Any], head: dict[str, Any]) -> list[Change]:
    """Return the names whose values differ, in the order of the base and then of the head."""
    return [
        Change(name, base.get(name), head.get(name))
        for name in dict.fromkeys([*base, *head])
        if base.get(name) != head.get(name)
    ]


def names_of(changes: Sequence[Change], most: int = 5) -> str:
    """Join the names of changes for a sentence; where there are many, the last are only counted."""
    shown = ", ".join(change.name for change in changes[:most])
    return shown if len(changes) <= most else f"{shown} and {len(changes) - most} more"


def all_params(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return the parameters of all stages by dotted name."""
    return {name: value for stage in stages.values() for name, value in stage.params.items()}


def all_code(stages: dict[str, Stage]) -> dict[str, str]:
    """Return DVC's hashes of the code of all stages by path."""
    return {path: md5 for stage in stages.values() for path, md5 in stage.code.items()}


def is_seed(parameter: str) -> bool:
    """Whether a parameter says only which of equally good draws is taken."""
    return parameter.rpartition(".")[2] == "seed"


def setting_of(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return what runs of one setting have in common: all but seeds and what follows from them.

    Returns:
        Parameters that are no seeds, code, and the data as downloaded, by name.
    """
    params = {name: value for name, value in all_params(stages).items() if not is_seed(name)}
    downloaded = stages["download"].outputs if "download" in stages else {}
    return params | all_code(stages) | downloaded


def seeds_of(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return the seeds of all stages by dotted name."""
    return {name: value for name, value in all_params(stages).items() if is_seed(name)}


def changed_code(
    base: tuple[Revision, dict[str, Stage]], head: tuple[Revision, dict[str, Stage]]
) -> list[Change]:
    """Return the files of code that differ between two revisions' runs, each once, by path.

    A folder stands for its files if one of the revisions no longer has it as it was in the run.
    """
    recorded = [all_code(stages) for _, stages in (base, head)]
    changed = changes_between(*recorded)
    names = [change.name for change in changed]
    sides: list[dict[str, str]] = []  # of each side, MD5 by file as of the run
    unknown = set()
    for (revision, _), then in zip((base, head), recorded, strict=True):
        now = revision.md5s(names)
        side: dict[str, str] = {}
        for path in filter(then.__contains__, names):
            files = _files(path, then[path], now)
            if files is None:
                unknown.add(path)
            else:
                side |= files
        sides.append(side)
    found = [change for change in changed if change.name in unknown]
    found += [
        change
        for change in changes_between(*sides)
        if not any(change.name.startswith(f"{folder}/") for folder in unknown)
    ]
    return sorted(found, key=lambda change: change.name)


def stale(revision: Revision, stages: dict[str, Stage]) -> list[str]:
    """Say what has changed at a revision since its figures were made; an empty list if nothing.

    Parameters and code are compared with the lock, and so are the outputs that Git tracks. Of a
    folder that has changed in the workspace, the files are named if the last commit has it as it
    was.
    """
    found = [
        f"{change.name} (made with {change.base}, now {change.head})"
        for change in changed_params(revision, stages)
    ]
    found += [f"{path} (made anew, and not read since)" for path in outrun(stages)]
    recorded = all_code(stages) | _metrics(stages)
    now = revision.md5s(recorded)
    changed = [path for path, md5 in recorded.items() if dvc_hash(path, now) != md5]
    if not changed or revision.commit:
        return found + changed
    before = find_revision("HEAD", revision.root).md5s(changed)
    for path in changed:
        if (files := _files(path, recorded[path], before)) is None:
            found.append(path)
        else:
            found += [change.name for change in changes_between(files, _inside(path, now))]
    return found


def changed_params(revision: Revision, stages: dict[str, Stage]) -> list[Change]:
    """Return the parameters that are others at a revision than its stages were run with.

    Args:
        revision: its params.yaml is read; without one there is nothing to say.
        stages: of its dvc.lock.

    Returns:
        By each as it was in the run and as it is now, in the order of params.yaml.
    """
    recorded, present = all_params(stages), read_params(revision)
    if not present:
        return []
    changed = changes_between(recorded, {name: present.get(name) for name in recorded})
    order = {name: position for position, name in enumerate(present)}
    return sorted(changed, key=lambda change: order.get(change.name, len(order)))


def changed_metrics(revision: Revision, stages: dict[str, Stage]) -> list[str]:
    """Return the files of `metrics/` at a revision that are others than its stages wrote.

    A file that is not there is none of them.
    """
    recorded = _metrics(stages)
    return [
        path
        for path, content in revision.read_all(recorded).items()
        if content is not None and _md5(content) != recorded[path]
    ]


def outrun(stages: dict[str, Stage]) -> list[str]:
    """Return the outputs that were written anew after stages that read them had run.

    That is how a `dvc repro` that stopped halfway leaves dvc.lock. A folder of which some file is
    read by no stage tells by the others alone, and where two stages have read other versions.
    """
    found = []
    for writer in stages.values():
        for path, written in writer.outputs.items():
            read: dict[str, set[str]] = {}
            for stage in stages.values():
                for name in (path, *_inside(path, stage.inputs)):
                    if name in stage.inputs:
                        read.setdefault(name, set()).add(stage.inputs[name])
            whole = read.pop(path, {written})
            one_each = {name: md5 for name, (md5, *_) in read.items()}
            is_complete = len(read) == writer.n_files.get(path) != 0
            if (
                whole != {written}
                or any(len(versions) > 1 for versions in read.values())
                or (is_complete and dvc_hash(path, one_each) != written)
            ):
                found.append(path)
    return found


def _metrics(stages: dict[str, Stage]) -> dict[str, str]:
    return {
        path: md5
        for stage in stages.values()
        for path, md5 in stage.outputs.items()
        if path.startswith("metrics/")
    }


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _files(path: str, recorded: str, md5s: dict[str, str]) -> dict[str, str] | None:
    """Return the MD5 of each file that a hash in dvc.lock stands for.

    None if that is a folder's, and the files in `md5s` are no longer those it was taken of.
    """
    if not recorded.endswith(".dir"):
        return {path: recorded}
    return _inside(path, md5s) if dvc_hash(path, md5s) == recorded else None


def dvc_hash(path: str, md5s: dict[str, str]) -> str | None:
    """Return the hash that dvc.lock has of a file or folder with these files; None without any.

    A folder's is the MD5 of DVC's list of its files. DVC has no public function that gives it
    without writing to its cache. `md5s` are by path, as `Revision.md5s` returns them.
    """
    if path in md5s:
        return md5s[path]
    inside = {name.removeprefix(f"{path}/"): md5 for name, md5 in _inside(path, md5s).items()}
    if not inside:
        return None
    listing = json.dumps([{"md5": inside[name], "relpath": name} for name in sorted(inside)])
    return f"{hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()}.dir"


def _inside(folder: str, md5s: dict[str, str]) -> dict[str, str]:
    return {name: md5 for name, md5 in md5s.items() if name.startswith(f"{folder}/")}
