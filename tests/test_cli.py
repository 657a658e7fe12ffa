"""The console command, and the demo's workspace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from siamese.cli import main
from siamese.demo import make_workspace, override
from siamese.errors import InputError
from tests.conftest import ROOT, Workspace


def test_help_is_quick_since_nothing_heavy_is_imported() -> None:
    code = "import sys, siamese.cli; print(sorted({'torch', 'pandas', 'dvc'} & set(sys.modules)))"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "src", text=True)
    assert output.strip() == "[]"


def test_show_lays_the_figures_beside_the_floors(
    finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(finished.path)]) == 0
    output = capsys.readouterr().out
    evaluation = json.loads((finished.path / "metrics/evaluation.json").read_text())
    floor = json.loads((finished.path / "metrics/floor.json").read_text())
    for label, value in [
        ("k = 20", evaluation["knn"]["k20"]),
        ("raw pixels", floor["pixels"]),
        ("untrained", floor["untrained"]),
        ("equal error rate", evaluation["verification"]["eer"]),
    ]:
        line = next(line for line in output.splitlines() if label in line)
        assert f"{value:.2%}" in line
    assert str(finished.path / "data/pictures/neighbours.png") in output


def test_show_without_results_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "training.json: no such file; `make repro` or `make demo` makes it" in error


def test_check_names_the_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "params.yaml")]) == 0
    broken = tmp_path / "params.yaml"
    broken.write_text((ROOT / "params.yaml").read_text().replace("patience: 5", "patience: 0"))
    assert main(["check", str(broken)]) == 1
    assert "`train.patience` is 0; input should be greater than or equal to 1" in (
        capsys.readouterr().err
    )


def test_the_demo_changes_what_its_file_says_and_nothing_else(tmp_path: Path) -> None:
    make_workspace(ROOT, tmp_path)
    found = yaml.safe_load((tmp_path / "params.yaml").read_text())
    expected = yaml.safe_load((ROOT / "params.yaml").read_text())
    changes = yaml.safe_load((ROOT / "demo.yaml").read_text())
    assert found != expected
    override(expected, changes, "demo.yaml")
    assert found == expected
    assert main(["check", str(tmp_path / "params.yaml")]) == 0
    assert (tmp_path / "stages/train.py").is_file()


def test_making_the_demos_workspace_again_keeps_its_results(tmp_path: Path) -> None:
    make_workspace(ROOT, tmp_path)
    (tmp_path / "dvc.lock").write_text("results")
    (tmp_path / "src/siamese/removed_since.py").touch()
    make_workspace(ROOT, tmp_path)
    assert (tmp_path / "dvc.lock").read_text() == "results"
    assert not (tmp_path / "src/siamese/removed_since.py").exists()


def test_an_override_of_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"demo\.yaml: unknown key `train\.margni`"):
        override({"train": {"margin": 1}}, {"train": {"margni": 2}}, "demo.yaml")
