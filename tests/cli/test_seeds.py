"""`make seeds`: whatever is set reaches DVC as it was typed, under a name that Git takes."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.cli.seeds import experiment_name, run_seeds
from tests.support.workspace import ROOT, Workspace


@given(st.text(max_size=150))
@example("evaluate.k=[1,5]")
@example("a/b:c~d^e'\"\\@{x}..lock.lock")
@example("x" * 99 + ".")
@example("é=ü")
def test_any_setting_gives_a_name_that_git_takes(setting: str) -> None:
    name = f"{experiment_name(setting)}-s1"
    assert "/" not in name
    reference = f"refs/exps/00/{'0' * 38}/{name}"
    assert subprocess.run(["git", "check-ref-format", reference]).returncode == 0
    assert len(name) < 120


def test_names_are_those_that_the_documentation_shows() -> None:
    assert experiment_name("") == "default"
    assert experiment_name("train.margin=0.5") == "train.margin-0.5"
    assert experiment_name("a.b=1e-3 c=[1,5]") == "a.b-1e-3-c-1-5"
    assert experiment_name("a=1e+3") != experiment_name("a=1e-3")


@pytest.mark.parametrize("setting", ["train.margin", "a='b", "train.margin 0.5"])
def test_a_setting_that_is_none_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"SET .* expected"):
        run_seeds([1], setting, "", tmp_path)


@pytest.mark.slow
def test_make_runs_a_setting_with_each_seed(tmp_path: Path) -> None:
    """Real DVC, and a stage that keeps its parameters."""
    workspace = Workspace(tmp_path)
    params: dict[str, dict] = {name: {"seed": 0} for name in ("network", "pairs", "train")}
    params |= {"evaluate": {"k": [1], "title": ""}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    stage = {
        "cmd": "mkdir -p metrics && cp params.yaml metrics/seen.yaml",
        "params": [*params],
        "outs": [{"metrics/seen.yaml": {"cache": False}}],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"stage": stage}}))
    workspace.git("init", "-q", "-b", "main")
    workspace.git("config", "user.name", "tester")
    workspace.git("config", "user.email", "tester@example.com")
    workspace.dvc("init", "-q")
    workspace.commit("the project")
    # `siamese` of this checkout.
    (tmp_path / "bin").mkdir()
    siamese = tmp_path / "bin/siamese"
    python, source = shlex.quote(sys.executable), shlex.quote(str(ROOT / "src"))
    siamese.write_text(f'#!/bin/sh\nPYTHONPATH={source} {python} -m siamese.cli.main "$@"\n')
    siamese.chmod(0o755)
    title = '~^: it\'s $HOME `date` "x" & *; a/b'
    setting = f"evaluate.k=[1,5] {shlex.quote(f'evaluate.title={yaml_text(title)}')}"
    workspace.run(
        *("make", "--file", str(ROOT / "Makefile"), "READY=", "BIN=bin"),
        *("seeds", "SEEDS=1 2", f"SET={setting}"),
    )
    refs = workspace.git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    found = {ref.rpartition("/")[2]: ref for ref in refs}
    for seed in (1, 2):
        ref = found[f"{experiment_name(setting)}-s{seed}"]
        seen = yaml.safe_load(workspace.git("show", f"{ref}:metrics/seen.yaml"))
        assert seen == {
            **{section: {"seed": seed} for section in ("network", "pairs", "train")},
            "evaluate": {"k": [1, 5], "title": title},
        }


def yaml_text(text: str) -> str:
    """Quote a text as DVC's parameters on the command line want it."""
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'
