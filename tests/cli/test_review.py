"""A review, started where Git and the user's configuration get in the way: real Git, real DVC."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.workspace import ROOT

STAGE = {
    "cmd": "mkdir -p metrics && cp params.yaml metrics/seen.json && cp params.yaml data/seen",
    "params": ["train"],
    "outs": [{"metrics/seen.json": {"cache": False}}, "data/seen"],
}
# Each of these made a review fail, or write into the user's own repository.
CONFIGURATION = """\
[commit]
    gpgSign = true
[tag]
    gpgSign = true
    forceSignAnnotated = true
[gpg]
    program = false
[core]
    hooksPath = {home}/hooks
    excludesFile = {home}/everything
    attributesFile = {home}/crlf
    autocrlf = true
    fsmonitor = false-program
[init]
    templateDir = {home}/template
[user]
    useConfigOnly = true
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose Git configuration signs, ignores and converts all, and runs hooks that fail."""
    folder = tmp_path / "home"
    (folder / "hooks").mkdir(parents=True)
    (folder / ".gitconfig").write_text(CONFIGURATION.format(home=folder))
    (folder / "everything").write_text("*\n")
    (folder / "crlf").write_text("* text eol=crlf\n")
    (folder / ".config/git").mkdir(parents=True)
    (folder / ".config/git/ignore").write_text("*\n")
    failing = folder / "template/hooks/commit-msg"
    failing.parent.mkdir(parents=True)
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run Git as a person who has these settings, and may not sign."""
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")
    unsigned = ("-c", "commit.gpgsign=false", "-c", "core.excludesFile=", "-c", "core.fsmonitor=")
    command = ["git", *identity, *unsigned, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_project(folder: Path) -> None:
    """Write a pipeline of one stage, with the files that a review copies."""
    for name in (".dvcignore", "data/none", "stages/stage.py", "src/module.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n")
    (folder / "data/.gitignore").write_text("/seen\n")
    (folder / ".gitignore").write_text("/.review\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"stage": STAGE}}))
    (folder / "params.yaml").write_text("train: {margin: 1.0}\n")
    (folder / "demo.yaml").write_text("train: {margin: 1.0}\n")
    (folder / "metrics").mkdir()
    (folder / "metrics/.gitkeep").touch()


@pytest.mark.slow
def test_a_review_in_a_hook_touches_no_repository_but_its_own(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_project(project)
    git(project, "init", "-q", "-b", "main", "--template=")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "before")
    before = git(project, "rev-parse", "HEAD")

    review = "from pathlib import Path; from siamese.cli.review import rebuild_both as both"
    review += "; both('HEAD', Path(), Path('.review'))"
    hook = home / "hooks/pre-commit"
    source = shlex.quote(str(ROOT / "src"))
    hook.write_text(
        f"#!/bin/sh\nPYTHONPATH={source} {shlex.quote(sys.executable)} -c {shlex.quote(review)}\n"
    )
    hook.chmod(0o755)
    (project / "demo.yaml").write_text("train: {margin: 0.5}\n")
    (project / "src/module.py").write_text("changed\n")
    # Of some files only, so that Git gives the hook an index of its own.
    git(project, "commit", "-qm", "the user's", "demo.yaml")

    assert git(project, "rev-parse", "HEAD^") == before
    assert git(project, "log", "-1", "--format=%s") == "the user's\n"
    assert git(project, "diff", "--name-only", "HEAD^", "HEAD") == "demo.yaml\n"
    assert git(project, "status", "--porcelain") == " M src/module.py\n"
    assert git(project, "tag") == ""
    own = project / ".review"
    assert not (own / ".git/hooks").exists()
    for tag, margin, module in (("base", 1.0, "text\n"), ("head", 0.5, "changed\n")):
        seen = git(own, "show", f"{tag}:metrics/seen.json")
        assert yaml.safe_load(seen) == {"train": {"margin": margin}}
        assert "\r" not in seen
        assert git(own, "show", f"{tag}:src/module.py") == module


def test_a_broken_repository_of_its_own_is_not_mistaken_for_the_one_above(
    home: Path, tmp_path: Path
) -> None:
    from siamese.base.errors import InputError
    from siamese.repository.git import own_git

    git(tmp_path, "init", "-q", "--template=")
    own = tmp_path / ".review"
    own.mkdir()
    with pytest.raises(InputError, match=r"git add: .*not a git repository"):
        own_git(own, "add", "--all")
    assert git(tmp_path, "ls-files") == ""
