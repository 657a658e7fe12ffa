"""Sharing: results through an ordinary DVC remote, and a review on two branches; real processes."""

import shutil
from pathlib import Path

import pytest

from siamese.base.params import read_document
from siamese.cli.review import rebuild_both
from siamese.comparison.compare import compare
from siamese.comparison.report import as_html
from siamese.comparison.revisions import find_revision
from tests.support.pipeline_output import stages_run
from tests.support.workspace import ROOT, Workspace

RESULTS = ("data/model/model.safetensors", "data/embeddings/queries.parquet", "data/raw/images.npy")


def test_a_clone_that_converts_ends_of_lines_has_the_same_bytes(tmp_path: Path) -> None:
    """Else every hash in dvc.lock would be another's."""
    project = Workspace(tmp_path / "project")
    shutil.copytree(ROOT / "metrics", project.path / "metrics")
    shutil.copytree(ROOT / "docs", project.path / "docs")
    for name in (".gitattributes", "dvc.lock", "dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, project.path / name)
    (project.path / "crlf.csv").write_bytes(b"a,b\r\n1,2\r\n")
    project.git("init", "-q")
    project.git("-c", "core.autocrlf=true", "-c", "core.safecrlf=false", "add", "-A")
    project.git("commit", "-qm", "the project")
    clone = tmp_path / "clone"
    project.git("clone", "-q", "-c", "core.autocrlf=true", str(project.path), str(clone))
    files = [file for file in project.path.rglob("*") if file.is_file()]
    kept = [file.relative_to(project.path) for file in files if ".git" not in file.parts]
    assert {".json", ".csv", ".parquet", ".lock", ".yaml", ".png"} <= {f.suffix for f in kept}
    for file in kept:
        assert (clone / file).read_bytes() == (project.path / file).read_bytes(), file


@pytest.mark.slow
def test_what_is_pushed_to_a_directory_is_pulled_into_a_fresh_clone(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.dvc("remote", "add", "--default", "shared", str(tmp_path / "remote"))
    workspace.commit("a remote")
    workspace.dvc("push")
    clone = tmp_path / "clone"
    workspace.git("clone", "-q", str(workspace.path), str(clone))
    there = Workspace(clone)
    assert not (clone / "data/model").exists()
    there.dvc("pull")
    for name in RESULTS:
        assert (clone / name).read_bytes() == (workspace.path / name).read_bytes()
    assert stages_run(there.dvc("repro")) == set()
    assert not there.git("status", "--porcelain")


@pytest.mark.slow
def test_without_access_to_a_remote_everything_is_rebuilt(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.dvc("remote", "add", "--default", "shared", str(tmp_path / "nowhere"))
    workspace.commit("a remote that nobody can reach")
    clone = tmp_path / "clone"
    workspace.git("clone", "-q", str(workspace.path), str(clone))
    there = Workspace(clone)
    # All but `floor`, whose one output is in Git.
    expected = "download prepare duplicates pairs weights train embed evaluate"
    assert stages_run(there.dvc("repro")) == set(expected.split())
    assert not there.git("status", "--porcelain"), "the same figures, the same hashes"
    model = "data/model/model.safetensors"
    assert (clone / model).read_bytes() == (workspace.path / model).read_bytes()


@pytest.mark.slow
def test_a_review_rebuilds_both_branches_and_tells_what_the_change_does(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.git("branch", "-m", "main")
    # As in the project itself, the digits are what demo.yaml makes of params.yaml: here, nothing.
    (workspace.path / "demo.yaml").write_text("train: {margin: 1.0}\n")
    workspace.commit("the demo")
    workspace.git("checkout", "-qb", "change")
    (workspace.path / "demo.yaml").write_text("train: {margin: 0.1}\n")
    workspace.commit("a smaller margin")

    folder = tmp_path / "review"
    base, head = rebuild_both("main", workspace.path, folder)
    comparison = compare([base], [head])
    (train,) = [changes for changes in comparison.changes if changes.is_cause]
    assert [(c.name, c.base, c.head) for c in train.params] == [("train.margin", 1.0, 0.1)]
    committed = workspace.git("show", "main:metrics/evaluation.json")
    assert base.read("metrics/evaluation.json").decode() == committed
    page = as_html(comparison)
    for name in ("base", "head"):
        assert f'alt="neighbours.png of {name}" src="data:image/png' in page
    assert "neither in the workspace nor" not in page
    # Once more from the other side: the same revisions, nothing left of the earlier results.
    again = rebuild_both("change", workspace.path, folder)
    assert again[0].read("metrics/evaluation.json") == head.read("metrics/evaluation.json")
    assert find_revision("base", folder).commit == again[0].commit


@pytest.mark.slow
def test_a_profile_runs_in_its_own_folder_and_prepares_nothing_twice(workspace: Workspace) -> None:
    (workspace.path / "narrow.yaml").write_text("train: {margin: 0.5}\n")
    workspace.commit("a profile")
    assert stages_run(workspace.siamese("profile", "narrow")) == {
        "train",
        "embed",
        "evaluate",
        "floor",
    }
    assert not workspace.git("status", "--porcelain"), "the project's own results are as they were"
    assert "narrow" not in workspace.dvc("status"), "and DVC does not take it for a part of them"
    params = read_document(workspace.path / "narrow/params.yaml")
    assert params["train"]["margin"] == 0.5
    ours, narrow = (
        (workspace.path / folder / "metrics/evaluation.json").read_text()
        for folder in ("", "narrow")
    )
    assert ours != narrow
    again = workspace.siamese("profile", "narrow.yaml")
    assert stages_run(again) == set(), "what is up to date stays"
