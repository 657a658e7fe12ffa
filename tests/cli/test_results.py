"""`siamese show`: whose figures these are comes first, and a damaged file is named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from siamese.cli.main import main
from siamese.cli.results import results_table
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import ROOT, Workspace

TABLE = "k-NN on the test split, top-1"


@pytest.fixture
def shown(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of what `siamese show` reads of the finished pipeline, outside Git."""
    for name in ("metrics", "dvc.lock", "params.yaml"):
        source = finished.path / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, tmp_path / name)
    return Workspace(tmp_path)


def told_first(workspace: Workspace) -> str:
    """Return what stands above the table, on one line."""
    above, found, _ = results_table(workspace.path).partition(TABLE)
    assert found
    return " ".join(above.split())


def test_nothing_stands_above_a_workspaces_own_figures(shown: Workspace) -> None:
    assert told_first(shown) == ""


def test_what_dvc_writes_is_read_as_dvc_reads_it(shown: Workspace) -> None:
    """DVC writes YAML 1.2, and params.yaml is read as YAML 1.1, which have other numbers."""
    lock = shown.path / "dvc.lock"
    text = lock.read_text()
    assert "weight_decay: 0.01\n" in text
    lock.write_text(text.replace("weight_decay: 0.01\n", "weight_decay: 5e-05\n"))
    shown.change_params({"train": {"weight_decay": 0.00005}})
    assert told_first(shown) == ""


def test_figures_made_with_other_parameters_say_so_first(shown: Workspace) -> None:
    shown.change_params({"train": {"margin": 0.25}})
    assert told_first(shown) == (
        "These figures were made with train.margin 1.0, not 0.25; `dvc repro` makes those of"
        " params.yaml."
    )
    # As `siamese adopt` does.
    adopted = {"data": {"name": "folder", "path": "photos"}, "pairs": {"test": 12}}
    shown.change_params(adopted)
    assert told_first(shown).startswith(
        "These figures were made with data.name digits, not folder (3 more parameters differ:"
        " data.path, pairs.test, train.margin);"
    )
    assert max(map(len, results_table(shown.path).splitlines()[:4])) <= 100


def test_figures_edited_by_hand_say_so_first(shown: Workspace) -> None:
    file = shown.path / "metrics/evaluation.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"knn": content["knn"] | {"k20": 0.99}}))
    assert told_first(shown) == (
        "metrics/evaluation.json is not what dvc.lock records: edited by hand, or of another run;"
        " `dvc repro` makes it anew."
    )


def test_without_a_lock_nothing_tells_what_the_figures_were_made_with(shown: Workspace) -> None:
    (shown.path / "dvc.lock").unlink()
    assert told_first(shown).startswith("There is no dvc.lock, so nothing tells")


@pytest.mark.slow
def test_figures_that_an_unfinished_repro_left_behind_say_so_first(workspace: Workspace) -> None:
    workspace.change_params({"prepare": {"seed": 5}})
    workspace.dvc("repro", "prepare")
    assert told_first(workspace).startswith("data/prepared: made anew after these figures")
    workspace.dvc("repro", "pairs")
    assert told_first(workspace).startswith("data/prepared, data/pairs: made anew")
    workspace.dvc("repro")
    assert told_first(workspace) == ""


CONFLICT = "<<<<<<< HEAD\n{}\n=======\n[]\n>>>>>>> branch\n"
ROWS = "class,accuracy,queries,confused_with,confused\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        *(
            (f"metrics/{name}", CONFLICT, "has merge conflict markers; `git checkout HEAD -- ")
            for name in ("classes.csv", *map("{}.json".format, ("training", "ran_on", "floor")))
        ),
        ("metrics/training.json", '{"epochs": 3', "cannot be read (invalid JSON: EOF"),
        ("metrics/training.json", '{"epochs": "many", "best_epoch": 1}', "has 'many' as `epochs`"),
        ("metrics/ran_on.json", "[]", "cannot be read"),
        ("metrics/floor.json", '{"pixels": NaN, "untrained": 0.1}', "has nan as"),
        ("metrics/details.json", '{"intervals": []}', "has [] as `intervals`"),
        ("metrics/classes.csv", "class\napple\n", "lacks `0.accuracy`"),
        ("metrics/classes.csv", f"{ROWS}apple,\t,1,,0\n", "has '\\t' as `0.accuracy`"),
        ("metrics/classes.csv", f"{ROWS}apple,0.5,1,,0,9\n", "cannot be read (a row has more"),
        ("dvc.lock", "stages:\n\ta: 1\n", "cannot be read (while scanning"),
        ("params.yaml", CONFLICT, "has merge conflict markers"),
    ],
)
def test_a_damaged_file_is_named(
    shown: Workspace,
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: str,
    message: str,
) -> None:
    (shown.path / file).write_text(content)
    assert main(["show", str(shown.path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"siamese: {shown.path / file} {message}")
    assert error.count("\n") == 1


def test_figures_are_shown_on_a_terminal_that_knows_ascii_alone(shown: Workspace) -> None:
    table = shown.path / "metrics/classes.csv"
    rows = [f"caf\xe9_{number},0.{number},9,caf\xe9_0,1\n" for number in range(4)]
    table.write_text(ROWS + "".join(rows), encoding="utf-8")
    (shown.path / "data/pictures").mkdir(parents=True)
    (shown.path / os.fsdecode(b"data/pictures/caf\xe9.png")).touch()
    output = in_ascii(shown.path, "show")
    assert r"caf\xe9 0" in output
    assert r"data/pictures/caf\udce9.png" in output


def test_a_comparison_is_printed_in_ascii_and_its_json_stays_json(
    tmp_path: Path,
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(MadeUp(params={"train.title": "caf\xe9", "train.seed": 0}), "first")
    repository.commit(MadeUp(params={"train.title": "caf\xe9", "train.seed": 1}, luck=1), "second")
    repository.commit(MadeUp(params={"train.title": "th\xe9", "train.seed": 0}, luck=2), "third")
    repository.commit(MadeUp(params={"train.title": "th\xe9", "train.seed": 1}, luck=3), "fourth")
    sides = ("compare", "first,second", "third,fourth")
    assert r" \xb1 " in in_ascii(repository.root, *sides)
    content = json.loads(in_ascii(repository.root, *sides, "--json"))
    [change] = [one for one in content["changes"] if one["stage"] == "train"]
    assert {"name": "train.title", "base": "caf\xe9", "head": "th\xe9"} in change["params"]


def in_ascii(folder: Path, *arguments: str) -> str:
    """Return what a command prints where output, file names and files are ASCII by default."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    environment |= {"PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "siamese.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("ascii")
