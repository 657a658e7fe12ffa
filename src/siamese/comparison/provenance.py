"""What results were made from, by `dvc.lock`: parameters, data and code; and what differs.

`dvc.lock` says for each stage with which parameters, data and code its outputs were made. So two
revisions' locks say where a difference in their figures may come from; and a revision's own files,
held against its lock, whether its figures are still its own.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from siamese.base.errors import InputError
from siamese.comparison.revision_results import flatten
from siamese.comparison.revisions import Revision

LOCK = "dvc.lock"
PARAMS = "params.yaml"


@dataclass(frozen=True)
class Stage:
    """What one stage was last run with.

    Attributes:
        params: by dotted name.
        code: MD5 of each module and script it imports.
        inputs: MD5 of each data file or folder it read.
        outputs: MD5 of each file or folder it wrote.
    """

    params: dict[str, Any]
    code: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Change:
    """One thing that differs: its name and what it is on either side, None where it is absent."""

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
        return bool(self.outputs) and not (self.params or self.code or self.inputs)


def read_lock(revision: Revision) -> dict[str, Stage]:
    """Return what each stage was last run with, in the order of dvc.lock.

    Raises:
        InputError: the revision has no dvc.lock, or another one than DVC writes.
    """
    text = revision.read(LOCK)
    try:
        # The parser in C is ten times as fast, where PyYAML was built with it.
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {name: _read_stage(stage) for name, stage in content["stages"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{revision}: {LOCK} cannot be read ({error!r})") from None


def _read_stage(stage: dict[str, Any]) -> Stage:
    hashes = {item["path"]: str(item.get("md5")) for item in stage.get("deps", [])}
    params: dict[str, Any] = {}
    for of_file in stage.get("params", {}).values():
        params |= flatten(of_file)
    return Stage(
        params=params,
        code={path: md5 for path, md5 in hashes.items() if path.endswith(".py")},
        inputs={path: md5 for path, md5 in hashes.items() if not path.endswith(".py")},
        outputs={item["path"]: str(item.get("md5")) for item in stage.get("outs", [])},
    )


def differences(base: dict[str, Stage], head: dict[str, Stage]) -> list[StageChanges]:
    """Return the stages in which anything differs, in the pipeline's order."""
    empty = Stage({}, {}, {}, {})
    found = []
    for name in [*base, *(name for name in head if name not in base)]:
        one, other = base.get(name, empty), head.get(name, empty)
        changes = StageChanges(
            name,
            changes_between(one.params, other.params),
            changes_between(one.code, other.code),
            changes_between(one.inputs, other.inputs),
            changes_between(one.outputs, other.outputs),
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


def all_params(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return the parameters of all stages by dotted name."""
    return {name: value for stage in stages.values() for name, value in stage.params.items()}


def is_seed(parameter: str) -> bool:
    """Whether a parameter says only which of equally good draws is taken."""
    return parameter.rpartition(".")[2] == "seed"


def setting_of(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return what runs of one setting have in common: all but seeds and what follows from them.

    Returns:
        Parameters that are no seeds, the code, and the data as downloaded, by name.
    """
    params = {name: value for name, value in all_params(stages).items() if not is_seed(name)}
    code = {path: md5 for stage in stages.values() for path, md5 in stage.code.items()}
    downloaded = stages["download"].outputs if "download" in stages else {}
    return params | code | downloaded


def seeds_of(stages: dict[str, Stage]) -> dict[str, Any]:
    """Return the seeds of all stages by dotted name."""
    return {name: value for name, value in all_params(stages).items() if is_seed(name)}


def stale(revision: Revision, stages: dict[str, Stage]) -> list[str]:
    """Say what has changed at a revision since its figures were made; an empty list if nothing.

    Parameters and code are held against the lock, and so are the outputs that Git tracks.
    """
    text = revision.read_all([PARAMS])[PARAMS] or b"{}"
    present = flatten(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    found = [
        f"{name} (made with {value}, now {present.get(name)})"
        for name, value in all_params(stages).items()
        if present.get(name) != value
    ]
    recorded = {path: md5 for stage in stages.values() for path, md5 in stage.code.items()}
    recorded |= {
        path: md5
        for stage in stages.values()
        for path, md5 in stage.outputs.items()
        if path.startswith("metrics/")
    }
    now = revision.md5(recorded)
    return found + [path for path, md5 in recorded.items() if now[path] != md5]
