"""Where a difference comes from, and whether results are stale: dvc.lock against code and DVC."""

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from hypothesis import given
from hypothesis import strategies as st

from siamese.comparison.provenance import Stage, dvc_hash, outrun, read_lock, stale
from siamese.comparison.revisions import find_revision
from siamese.comparison.text_formats import as_text
from tests.support.made_up_results import MadeUp, Repository, folder_md5, md5
from tests.support.workspace import Workspace

MODULE = "src/siamese/training/augment.py"


@pytest.mark.parametrize("lists_files", [False, True], ids=["folders", "old lock of files"])
def test_what_differs_is_told_stage_by_stage(repository: Repository, lists_files: bool) -> None:
    params = {"train.margin": 0.5, "train.seed": 0}
    repository.commit(MadeUp(0.7, luck=1, lists_files=lists_files), "unchanged")
    changed = MadeUp(0.7, luck=1, params=params, code="second\n", lists_files=lists_files)
    repository.commit(changed, "changed")
    comparison = repository.compare("unchanged", "changed")
    train, evaluate = comparison.changes
    assert [(c.name, c.base, c.head) for c in train.params] == [("train.margin", 1.0, 0.5)]
    assert [c.name for c in train.code] == [MODULE if lists_files else str(Path(MODULE).parent)]
    assert [change.name for change in train.outputs] == ["data/model"]
    assert not evaluate.is_cause
    [code] = comparison.code
    assert code.name == MODULE
    assert (code.base, code.head) == (md5(b"first version\n"), md5(b"second\n"))
    text = as_text(comparison)
    assert "train.margin 1.0 -> 0.5" in text
    assert "code in src/siamese/training" in text
    assert f"code        {MODULE} (changed)" in text
    assert "and so      evaluate" in text


def test_an_old_lock_of_files_is_compared_with_a_new_one_of_folders(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=1, lists_files=True), "old")
    (repository.root / "src/siamese/training/new.py").write_text("new\n")
    repository.commit(MadeUp(0.7, luck=1), "new")
    comparison = repository.compare("old", "new")
    assert [change.name for change in comparison.code] == ["src/siamese/training/new.py"]
    assert not comparison.stale


def test_new_and_missing_files_of_a_folder_are_named(repository: Repository) -> None:
    folder = repository.root / "src/siamese/training"
    (folder / "inner").mkdir()
    (folder / "inner/new.py").write_text("new\n")
    run = MadeUp(0.7, luck=1, code="second\n")
    repository.commit(run, "more")
    text = as_text(repository.compare("good", "more"))
    assert "src/siamese/training/inner/new.py (new)" in text
    assert "src/siamese/training/inner/new.py (gone)" in as_text(repository.compare("more", "good"))


def test_files_of_a_folder_changed_after_the_run_are_not_guessed(repository: Repository) -> None:
    run = MadeUp(0.7, luck=1, code="second\n")
    run.write(repository.root)
    (repository.root / MODULE).write_text("third\n")
    comparison = repository.compare("good")
    assert [change.name for change in comparison.code] == ["src/siamese/training"]
    assert comparison.stale == {"the workspace": ["src/siamese/training"]}


def test_figures_that_are_no_longer_the_revisions_own_are_pointed_out(
    repository: Repository,
) -> None:
    root = repository.root
    repository.git("checkout", "-q", "other-seed")
    (root / "params.yaml").write_text("train: {margin: 0.9, seed: 1}\n")
    (root / MODULE).write_text("edited\n")
    (root / "src/siamese/training/untracked.py").write_text("new\n")
    (root / "src/siamese/training/__pycache__").mkdir()
    (root / "src/siamese/training/__pycache__/augment.pyc").write_bytes(b"compiled")
    (root / ".dvcignore").write_text("__pycache__/\n")
    text = as_text(repository.compare("good"))
    careful = text.partition("Careful: the workspace has changed since its figures were made")[2]
    assert "train.margin (made with 1.0, now 0.9)" in careful
    assert MODULE in careful
    assert "src/siamese/training/untracked.py" in careful
    assert "__pycache__" not in careful
    # Committed, only the folder is known to differ from the one recorded.
    repository.git("add", "src")
    repository.git("commit", "-qm", "without a run")
    revision = find_revision("HEAD", root)
    assert stale(revision, read_lock(revision)) == ["src/siamese/training"]
    assert "Careful" not in as_text(repository.compare("good", "better"))


def test_equal_inputs_with_another_outcome_are_pointed_out(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=9), "elsewhere")
    (repository.root / "metrics/ran_on.json").write_text('{"device": "cuda", "torch": "2.14.1"}')
    repository.git("commit", "-qam", "on a GPU")
    text = as_text(repository.compare("good", "HEAD"))
    assert "equal parameters, code and data gave other results" in text
    assert "ran on      device cpu -> cuda" in text


def stage(inputs: dict[str, str], outputs: dict[str, str], **n_files: int) -> Stage:
    return Stage({}, {}, inputs, outputs, {f"data/{name}": n for name, n in n_files.items()})


def test_what_was_written_anew_and_not_read_since_is_found() -> None:
    """As dvc.lock stands after a `dvc repro` that stopped halfway."""
    contents = {"a": b"first", "b": b"second"}
    hashes = {f"data/prepared/{name}": md5(content) for name, content in contents.items()}
    folder = {"data/prepared": folder_md5(contents)}
    a, b = ({name: hash_} for name, hash_ in hashes.items())
    later = {"data/prepared": folder_md5({"a": b"first", "b": b"third"})}
    of_later = {"data/prepared/b": md5(b"third")}

    def found(*stages: Stage) -> list[str]:
        return outrun({str(number): one for number, one in enumerate(stages)})

    assert found(stage({}, folder, prepared=2), stage(a | b, {}), stage(a, {})) == []
    assert found(stage({}, folder), stage(folder, {})) == []
    assert found(stage({}, later), stage(folder, {})) == ["data/prepared"]
    assert found(stage({}, later, prepared=2), stage(a, {}), stage(b, {})) == ["data/prepared"]
    assert found(stage({}, later, prepared=3), stage(of_later, {}), stage(a | b, {})) == [
        "data/prepared"
    ]
    # A file that no stage reads may be the one that has changed.
    assert found(stage({}, later, prepared=3), stage(a, {}), stage(b, {})) == []


def test_a_finished_pipeline_is_of_one_run(finished: Workspace) -> None:
    assert outrun(read_lock(find_revision("HEAD", finished.path))) == []


# DVC's hash of a folder.


@given(
    st.dictionaries(
        st.lists(st.text("aZ_0é.-", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_the_hash_of_a_folder_is_dvcs(contents: dict[str, bytes]) -> None:
    files = {f"folder/{name}": md5(content) for name, content in contents.items()}
    others = {"folder-2/a": md5(b""), "folde": md5(b"")}
    assert dvc_hash("folder", files | others) == folder_md5(contents)
    assert dvc_hash("nowhere", files) is None


def test_dvc_itself_records_the_hashes_that_are_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real `dvc repro` of one stage, whose code is a folder and a file."""
    workspace = Workspace(tmp_path)
    workspace.git("init", "-q")
    Repo.init(str(tmp_path)).close()
    (tmp_path / ".dvcignore").write_text("__pycache__/\n")
    for name in ("src/b.py", "src/inner/é x.py", "src/Z", "src/__pycache__/b.pyc", "stages/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    stage = {
        "cmd": "mkdir metrics && touch metrics/a",
        "deps": ["src", "stages/a.py"],
        "outs": [{"metrics/a": {"cache": False}}],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"a": stage}}))
    monkeypatch.chdir(tmp_path)
    with Repo() as repo:
        repo.reproduce()
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    workspace.commit("a run")
    for name in ("workspace", "HEAD"):
        revision = find_revision(name, tmp_path)
        assert stale(revision, read_lock(revision)) == []
    (tmp_path / "src/inner/é x.py").write_text("edited")
    (tmp_path / "stages/a.py").unlink()
    revision = find_revision("workspace", tmp_path)
    assert stale(revision, read_lock(revision)) == ["src/inner/é x.py", "stages/a.py"]


@pytest.mark.slow
def test_results_of_the_real_pipeline_are_stale_only_after_an_edit(workspace: Workspace) -> None:
    revisions = [find_revision(name, workspace.path) for name in ("HEAD", "workspace")]
    locks = [read_lock(revision) for revision in revisions]
    assert [stale(*pair) for pair in zip(revisions, locks, strict=True)] == [[], []]
    with (workspace.path / "src/siamese/training/trainer.py").open("a") as file:
        file.write("# edited\n")
    assert stale(revisions[1], locks[1]) == ["src/siamese/training/trainer.py"]
