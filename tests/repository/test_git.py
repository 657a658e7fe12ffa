"""Git in the folder it is given: apart from a hook's variables, whatever files are called."""

import os
import subprocess
from pathlib import Path

import pytest

from siamese.base.errors import InputError
from siamese.comparison.report import write_report
from siamese.comparison.revisions import find_revision
from siamese.repository.git import environment_of_nobody, git, own_git
from tests.support.made_up_results import MadeUp, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit(MadeUp(), "good")
    return made


@pytest.fixture
def _in_a_hook(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that Git sets for a hook of another repository."""
    other = Repository(tmp_path / "other")
    (other.root / "params.yaml").write_text("other\n")
    other.git("add", "-A")
    other.git("commit", "-qm", "another")
    listed = subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split()
    assert "GIT_DIR" in listed
    values = {"GIT_DIR": str(other.root / ".git"), "GIT_WORK_TREE": str(other.root)}
    values |= {"GIT_INDEX_FILE": str(other.root / ".git/index"), "GIT_PREFIX": "src/"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_in_a_hook")
def test_a_hook_of_another_repository_leads_nowhere(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    assert find_revision("good", repository.root).read("params.yaml").startswith(b"train:")
    assert "params.yaml" in git(repository.root, "ls-files")
    left = {name for name in environment_of_nobody() if name.startswith("GIT_")}
    assert left == {"GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"}
    own = repository.root / ".review"
    own.mkdir()
    own_git(own, "init", "--quiet", "--template=")
    own_git(own, "commit", "--quiet", "--allow-empty", "--message", "ours")
    assert git(own, "log", "--format=%s") == "ours\n"


def test_a_command_that_fails_is_quoted(repository: Repository) -> None:
    with pytest.raises(InputError, match=r"^git rev-parse: fatal: "):
        git(repository.root, "rev-parse", "--verify", "nowhere")


def test_names_that_are_not_utf_8_are_read_and_reported(
    repository: Repository, tmp_path: Path
) -> None:
    name = os.fsdecode(b"src/siamese/training/caf\xe9 [1].py")
    (repository.root / name).write_text("new\n")
    repository.commit(MadeUp(code="second\n"), "better")
    comparison = repository.compare("good", "better")
    assert name in [change.name for change in comparison.code]
    page, text = write_report(comparison, tmp_path / "report")
    for file in (page, text):
        assert r"caf\udce9 [1].py (new)" in file.read_text(encoding="utf-8")
