"""Experiments as the README shows them: real DVC in a real repository, on the digits."""

import json
import re
import sys
import time
from pathlib import Path

import pytest

from siamese.base.errors import InputError
from siamese.comparison.experiment_table import experiment_table
from siamese.comparison.revisions import find_revision
from siamese.comparison.runs import with_siblings
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import ROOT, Workspace


def make(workspace: Workspace, *arguments: str) -> str:
    """Run a target of this checkout's Makefile in a workspace, with the tests' Python."""
    bin_folder = Path(sys.executable).parent
    return workspace.run(
        *("env", f"PYTHONPATH={ROOT / 'src'}", "make", "--file", str(ROOT / "Makefile")),
        *("READY=", f"BIN={bin_folder}", *arguments),
    )


@pytest.fixture
def identified(workspace: Workspace) -> Workspace:
    """A workspace with a Git identity, which DVC asks for where it copies one."""
    workspace.git("config", "user.name", "tester")
    workspace.git("config", "user.email", "tester@example.com")
    return workspace


def names(workspace: Workspace) -> list[str]:
    return workspace.dvc("exp", "list", "--name-only").split()


@pytest.mark.slow
def test_a_grid_is_queued_worked_off_and_its_best_run_kept(identified: Workspace) -> None:
    margins = "train.margin=0.4,1.2"
    queued = identified.dvc("exp", "run", "--queue", "--name", "grid", "-S", margins)
    assert queued.count("Queued experiment") == 2
    assert identified.dvc("queue", "status").count("Queued") == 2
    identified.dvc("queue", "start", "--jobs", "1")
    # The worker runs by itself, and may have ended or not.
    deadline = time.monotonic() + 600
    while sorted(names(identified)) != ["grid-1", "grid-2"]:
        assert time.monotonic() < deadline, identified.dvc("queue", "status")
        time.sleep(1)

    table = identified.siamese("experiments")
    assert max(map(len, table.splitlines())) <= 120
    assert "train.margin=0.4" in table
    assert "train.margin=1.2" in table
    assert re.search(r"grid-1 .* \d\d\.\d\d ", table)

    identified.dvc("exp", "apply", "grid-1")
    assert "margin: 0.4" in (identified.path / "params.yaml").read_text()
    figures = json.loads((identified.path / "metrics/evaluation.json").read_text())
    assert f"{100 * figures['knn']['k20']:.2f}" in table
    identified.dvc("exp", "branch", "grid-2", "wider")
    shown = identified.git("show", "wider:params.yaml")
    assert "margin: 1.2" in shown
    identified.dvc("exp", "remove", "grid-1")
    assert names(identified) == ["grid-2"]


@pytest.mark.slow
def test_several_seeds_of_two_settings_are_run_and_compared(identified: Workspace) -> None:
    make(identified, "seeds", "SEEDS=1 2")
    make(identified, "seeds", "SEEDS=1 2", "SET=train.margin=0.1")
    found = names(identified)
    assert sorted(found) == [
        *("default-s1", "default-s2", "train.margin-0.1-s1", "train.margin-0.1-s2"),
    ]
    params = identified.git("show", f"{reference(identified, 'default-s2')}:params.yaml")
    assert params.count("seed: 2") == 3, "the network's, the pairs' and training's"
    table = make(identified, "experiments")
    assert "train.margin=0.1, seeds=2" in table

    # The committed run is of the seed 0: with the other two, three runs of this setting.
    output = identified.siamese("compare", "HEAD", "train.margin-0.1-s1", "--seeds", "--json")
    comparison = json.loads(output)
    assert comparison["claim"] == "setting"
    assert [len(comparison[side]) for side in ("base", "head")] == [3, 2]
    assert "train.margin is all that differs" in " ".join(comparison["conclusions"])
    refused = identified.siamese("compare", "HEAD,train.margin-0.1-s1", "default-*", fails=True)
    assert "they differ in train.margin" in refused


def reference(workspace: Workspace, name: str) -> str:
    listed = workspace.git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    return next(one for one in listed if one.endswith(f"/{name}"))


def test_without_experiments_the_table_says_how_to_make_one(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(MadeUp())
    with pytest.raises(InputError, match=r"`dvc exp run -S train\.margin=0\.5` makes one"):
        experiment_table(repository.root)
    repository.experiment(MadeUp(), "earlier")
    repository.commit(MadeUp(0.8))
    with pytest.raises(InputError, match=r"1 began at other commits: `--all`"):
        experiment_table(repository.root)
    assert "earlier" in experiment_table(repository.root, all_commits=True)


def test_a_row_tells_what_an_experiment_changes_in_at_most_120_columns(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    seeds = {"network.seed": 0, "pairs.seed": 0, "train.seed": 0}
    repository.commit(MadeUp(params={"train.margin": 1.0, **seeds}))
    changed = {f"train.parameter_{number}": number for number in range(12)}
    repository.experiment(
        MadeUp(0.8, params={"train.margin": 1.0, **changed, **seeds}), "a-long-name" * 5
    )
    repository.experiment(
        MadeUp(0.6, params={"train.margin": 0.5, **dict.fromkeys(seeds, 3)}), "seeded"
    )
    repository.experiment(
        MadeUp(0.6, params={"train.margin": 1.0, **seeds, "train.seed": 3}, code="new\n"), "coded"
    )
    lines = experiment_table(repository.root).splitlines()
    assert max(map(len, lines)) <= 120
    table = " ".join(" ".join(lines).split())
    for name, value in changed.items():
        assert f"{name}={value}" in table
    row = {line.split()[0]: line for line in lines}
    assert row["seeded"].endswith("train.margin=0.5, seeds=3")
    assert row["coded"].endswith("train.seed=3, src/siamese/training")
    assert "60.00" in row["seeded"]


def test_a_figure_that_no_row_has_is_left_out(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(MadeUp(is_classified=False))
    repository.experiment(MadeUp(0.8, is_classified=False), "better")
    titles = experiment_table(repository.root).splitlines()[0].split()
    assert titles == ["map_at_r", "auc", "eer", "changes"]
    repository.experiment(MadeUp(0.8), "classified")
    titles = experiment_table(repository.root).splitlines()[0].split()
    assert titles == ["k1", "k20", "map_at_r", "auc", "eer", "changes"]


def test_damaged_results_and_figures_of_other_parameters_are_told_in_their_rows(
    tmp_path: Path,
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(MadeUp(params={"train.margin": 1.0}))
    (repository.root / "params.yaml").write_text("train: {margin: 0.5}\n")
    repository.git("commit", "-qam", "parameters without a run")
    repository.experiment(MadeUp(0.8), "sound")
    for name, file in (("a", "metrics/evaluation.json"), ("b", "dvc.lock")):
        commit = repository.experiment(MadeUp(0.6), f"damaged-{name}")
        repository.git("checkout", "-q", commit)
        (repository.root / file).write_text("<<<<<<< HEAD\n\t{}\n")
        repository.git("commit", "-qam", "damaged")
        baseline = repository.git("rev-parse", "main")
        reference = f"refs/exps/{baseline[:2]}/{baseline[2:]}/damaged-{name}"
        repository.git("update-ref", reference, "HEAD")
        repository.git("checkout", "-q", "main")
    table = " ".join(experiment_table(repository.root).split())
    assert "70.00 " in table
    assert "careful: made with train.margin 1.0, not 0.5 damaged-a" in table
    for name, file in (("a", "metrics/evaluation.json"), ("b", "dvc.lock")):
        assert f"damaged-{name} none none none none none damaged-{name} (" in table
        assert f"{file} has merge conflict markers; `dvc repro`" in table
    assert " sound " in table
    # And none of them keeps the others from being found as runs of a setting.
    assert len(with_siblings(find_revision("main", repository.root))) >= 1
