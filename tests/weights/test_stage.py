"""The stage `weights` under DVC, in a real Git repository, on the digits."""

import sys
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from safetensors.numpy import save

from siamese.base import files
from siamese.base.weights_folder import Origin, read_weights
from tests.support.pipeline_output import stages_run
from tests.support.workspace import Workspace

GOOD = save({"weight": np.arange(100, dtype=np.float32)})


def changes(source: Path | str, file: Path, license: str = "mit") -> dict:
    size, sha256 = file.stat().st_size, files.sha256(file)
    return {"weights": {"source": str(source), "bytes": size, "sha256": sha256, "license": license}}


def out_of_date(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.chdir(workspace.path)
    with Repo() as repo:  # `dvc status`, without a process
        return set(repo.status())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(GOOD)
    return file


def test_other_weights_re_run_what_starts_from_them_and_none_again_nothing(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = workspace.path / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("weights:", "weights:  # none of them"))
    assert out_of_date(workspace, monkeypatch) == set()
    workspace.change_params(changes(file, file))
    assert stages_run(workspace.dvc("repro", "weights")) == {"weights"}
    weights = read_weights(workspace.path / "data/weights")
    assert weights is not None
    assert weights.file.read_bytes() == GOOD
    assert weights.origin == Origin(str(file), files.sha256(file), "mit")
    assert out_of_date(workspace, monkeypatch) == {"train", "floor"}
    params.write_text(before)
    assert stages_run(workspace.dvc("repro", "weights")) == set(), "DVC remembers the result"
    assert out_of_date(workspace, monkeypatch) == set()


def test_a_copy_is_looked_for_where_the_user_stands(workspace: Workspace, file: Path) -> None:
    workspace.change_params(changes("hf:me/mine", file))
    stage = (sys.executable, str(workspace.path / "stages/weights.py"))
    outside = Workspace(file.parent)
    outside.run("env", f"SIAMESE_WEIGHTS={file.name}", *stage)
    weights = read_weights(workspace.path / "data/weights")
    assert weights is not None
    assert weights.origin == Origin("hf:me/mine", files.sha256(file), "mit")
    before = weights.file.read_bytes()
    output = outside.run("env", "SIAMESE_WEIGHTS=nothing", *stage, fails=True)
    assert output.startswith(f"weights: {file.parent / 'nothing'}: no such file; SIAMESE_WEIGHTS ")
    assert len(output.splitlines()) == 1
    assert weights.file.read_bytes() == before
