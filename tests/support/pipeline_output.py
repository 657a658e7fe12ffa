"""What a pipeline printed and measured, for tests that run real `dvc` commands."""

import json
import re

from tests.support.workspace import Workspace


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '(\w+)'", output))


def stages_changed(status: str) -> set[str]:
    """The stages that `dvc status` lists: unindented, with a colon."""
    return set(re.findall(r"^(\w+):$", status, flags=re.MULTILINE))


def metrics(workspace: Workspace, name: str) -> dict:
    return json.loads((workspace.path / "metrics" / f"{name}.json").read_text())
