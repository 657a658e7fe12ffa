"""The console command, and the demo's workspace."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.cli.profiles import make_workspace, override
from tests.support.workspace import ROOT, Workspace

HEAVY = {"torch", "pandas", "lancedb", "pyarrow", "PIL", "numpy", "sklearn", "matplotlib"}
HEAVY |= {"dvc", "pydantic", "yaml", "tqdm"}


def test_help_imports_nothing_heavy() -> None:
    """So `siamese --help` takes a tenth of a second."""
    code = (
        "import sys; from siamese.cli.main import main\n"
        "for arguments in (['--help'], ['classify', '--help'], ['gallery', 'build', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        f"print('imported', sorted({HEAVY} & set(sys.modules)))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "src", text=True)
    assert "usage: siamese gallery build" in output
    assert output.endswith("imported []\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "siamese.cli.main", "show", str(ROOT)]
    done = subprocess.run(command, cwd=ROOT / "src", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 0


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
        ("network before training", floor["untrained"]),
        ("equal error rate", evaluation["verification"]["eer"]),
    ]:
        line = next(line for line in output.splitlines() if label in line)
        assert f"{value:.2%}" in line
    assert str(finished.path / "data/pictures/neighbours.png") in output
    assert str(finished.path / "data/duplicates/near_duplicates.png") in output
    details = json.loads((finished.path / "metrics/details.json").read_text())
    low, high = details["intervals"]["knn.k20"]
    headline = next(line for line in output.splitlines() if "embedding, k = 20 " in line)
    assert headline.endswith(f"{low:.2%} to {high:.2%}")
    assert f"{details['verification']['tar_at_far_0.1%']:.2%}" in output


def test_show_lists_the_best_and_worst_classes_and_the_most_confused(
    finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(finished.path)]) == 0
    output = capsys.readouterr().out
    per_query = pd.read_parquet(finished.path / "metrics/per_query.parquet")
    accuracy = per_query["k20"].groupby(per_query["fine"]).mean()
    best, worst = output.split("Best classes\n")[1].split("Worst classes")
    for part, chosen in ((best, accuracy.nlargest(5)), (worst, accuracy.nsmallest(5))):
        shown = [float(share) for share in re.findall(r"(\d+\.\d\d)%", part)[:5]]
        assert shown == pytest.approx((100 * chosen).round(2).tolist(), abs=0.006)
    wrong = per_query[per_query["predicted"] != per_query["fine"]]
    pairs = Counter(
        tuple(sorted(pair)) for pair in wrong[["fine", "predicted"]].itertuples(index=False)
    )
    most = max(pairs.values())
    first = output.split("in both directions\n")[1].splitlines()[0].split()
    assert int(first[-1]) == most
    assert pairs[tuple(sorted((int(first[0]), int(first[2]))))] == most


def test_show_without_results_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert (
        "metrics/training.json is not there, so there are no results; `dvc repro` makes it" in error
    )


def test_check_names_the_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "params.yaml")]) == 0
    broken = tmp_path / "params.yaml"
    broken.write_text((ROOT / "params.yaml").read_text().replace("patience: 5", "patience: 0"))
    assert main(["check", str(broken)]) == 1
    assert "`train.patience` is 0; input should be greater than or equal to 1" in (
        capsys.readouterr().err
    )


def test_the_demo_changes_what_its_file_says_and_nothing_else(tmp_path: Path) -> None:
    make_workspace(ROOT, tmp_path, Path("demo.yaml"))
    found = yaml.safe_load((tmp_path / "params.yaml").read_text())
    expected = yaml.safe_load((ROOT / "params.yaml").read_text())
    changes = yaml.safe_load((ROOT / "demo.yaml").read_text())
    assert found != expected
    override(expected, changes, "demo.yaml")
    assert found == expected
    assert main(["check", str(tmp_path / "params.yaml")]) == 0
    # Made again, it follows the project and keeps its results.
    (tmp_path / "dvc.lock").write_text("results")
    (tmp_path / "stages/train.py").unlink()
    (tmp_path / "src/siamese/removed_since.py").touch()
    make_workspace(ROOT, tmp_path, Path("demo.yaml"))
    assert (tmp_path / "dvc.lock").read_text() == "results"
    assert (tmp_path / "stages/train.py").is_file()
    assert not (tmp_path / "src/siamese/removed_since.py").exists()


def test_every_profile_is_sound(tmp_path: Path) -> None:
    for profile in ("demo", "gpu"):
        make_workspace(ROOT, tmp_path / profile, Path(f"{profile}.yaml"))
        assert main(["check", str(tmp_path / profile / "params.yaml")]) == 0


def test_a_profile_takes_no_folder_that_is_something_else(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace.path)
    (workspace.path / "data.yaml").write_text("train: {margin: 0.5}\n")
    before = sorted(workspace.path.rglob("data/**"))
    assert main(["profile", "data"]) == 1
    assert "data/: a folder that is no workspace of a profile is in its place" in (
        capsys.readouterr().err
    )
    assert sorted(workspace.path.rglob("data/**")) == before
    assert main(["profile", "none"]) == 1
    assert "none.yaml: no such file" in capsys.readouterr().err


def test_a_profile_of_own_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_workspace(ROOT, tmp_path, Path("gpu.yaml"))
    shutil.copyfile(ROOT / "gpu.yaml", tmp_path / "gpu.yaml")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["data"] |= {"name": "folder", "path": "photos"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "gpu"]) == 1
    assert "data.path is 'photos', images of your own" in capsys.readouterr().err


def test_the_demo_does_without_whatever_was_adopted(tmp_path: Path) -> None:
    make_workspace(ROOT, tmp_path / "project", Path("demo.yaml"))
    shutil.copyfile(ROOT / "demo.yaml", tmp_path / "project/demo.yaml")
    file = tmp_path / "project/params.yaml"
    params = yaml.safe_load(file.read_text())
    params["data"] |= {"name": "folder", "path": "photos", "images": "photos"}
    params["pairs"]["given"] = "pairs.csv"
    file.write_text(yaml.safe_dump(params))
    make_workspace(tmp_path / "project", tmp_path / "demo", Path("demo.yaml"))
    found = yaml.safe_load((tmp_path / "demo/params.yaml").read_text())
    read = (found["data"]["path"], found["data"]["images"], found["pairs"]["given"])
    assert read == ("data/none",) * 3, "DVC watches these paths, whatever data.name is"


def test_an_override_of_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"demo\.yaml: unknown key `train\.margni`"):
        override({"train": {"margin": 1}}, {"train": {"margni": 2}}, "demo.yaml")
