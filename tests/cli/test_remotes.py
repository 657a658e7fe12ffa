"""`siamese check` names the remotes that DVC cannot reach as it is installed."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from siamese.cli import remotes
from siamese.cli.main import main
from siamese.cli.remotes import remote_notes
from tests.support.workspace import ROOT, Workspace


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    place = Workspace(tmp_path)
    place.git("init", "-q")
    place.dvc("init", "-q")
    # As where only what DVC itself brings is installed, whatever is installed here.
    monkeypatch.setattr(
        remotes, "find_spec", lambda name: find_spec(name) if name in ("dvc", "dvc_http") else None
    )
    return place


def test_a_remote_whose_package_is_missing_is_named(
    repository: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remote_notes(repository.path) == []
    repository.dvc("remote", "add", "here", str(repository.path / "remote"))
    repository.dvc("remote", "add", "web", "https://example.com/data")
    assert remote_notes(repository.path) == []
    repository.dvc("remote", "add", "--default", "shared", "s3://bucket/data")
    repository.dvc("remote", "add", "--local", "mine", "gs://bucket")
    in_s3 = (
        "note: the remote `shared` (s3://bucket/data) needs dvc-s3, which is not installed: pip"
        " install -c constraints.txt -e '.[s3]'"
    )
    in_gs = (
        "note: the remote `mine` (gs://bucket) needs dvc-gs, which is not installed: pip install"
        " dvc-gs"
    )
    assert remote_notes(repository.path) == [in_s3, in_gs]
    params = repository.path / "params.yaml"
    params.write_bytes((ROOT / "params.yaml").read_bytes())
    assert main(["check", str(params)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{params}: every section is sound\n"
    assert told.err.splitlines() == [in_s3, in_gs]


def test_what_is_installed_needs_no_note(
    repository: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.dvc("remote", "add", "shared", "s3://bucket/data")
    monkeypatch.setattr(remotes, "find_spec", lambda name: sys.__spec__)
    assert remote_notes(repository.path) == []


def test_settings_that_cannot_be_read_are_a_note(repository: Workspace) -> None:
    (repository.path / ".dvc/config").write_text("[core\nnothing")
    [note] = remote_notes(repository.path)
    assert note.startswith(f"note: DVC's settings in {repository.path / '.dvc'} cannot be read (")


def test_a_folder_without_dvc_needs_no_note(tmp_path: Path) -> None:
    assert remote_notes(tmp_path) == []
