"""The stage scripts: thin, and standing in their own workspace before anything else."""

import ast
from pathlib import Path

import pytest

STAGES = sorted((Path(__file__).resolve().parents[2] / "stages").glob("*.py"))


@pytest.mark.parametrize("file", STAGES, ids=lambda file: file.stem)
def test_the_workspace_comes_before_every_other_import(file: Path) -> None:
    """Else a Python without the packages would fail before it can be told what to do."""
    if file.stem == "workspace":
        pytest.skip("the module itself")
    imports = [
        node
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    first = imports[0]
    assert isinstance(first, ast.Import)
    assert first.names[0].name == "workspace"
