"""The pipeline as people use it: real `dvc` commands in a real Git repository, on the digits."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from dvc.repo import Repo

from siamese.embeddings.embedding_file import load_embeddings
from tests.support.pipeline_output import metrics, stages_run
from tests.support.workspace import Workspace

EXPECTED_FILES = [
    "data/prepared/images.npy",
    "data/prepared/samples.parquet",
    "data/prepared/classes.json",
    "data/duplicates/near_duplicates.parquet",
    "data/duplicates/near_duplicates.png",
    "data/pairs/train.parquet",
    "data/pairs/validation.parquet",
    "data/pairs/test.parquet",
    "data/model/model.safetensors",
    "data/embeddings/gallery.parquet",
    "data/embeddings/queries.parquet",
    "data/pictures/confusion.png",
    "data/pictures/mistakes.png",
    "data/pictures/neighbours.png",
    "data/training.png",
    "data/pictures/verification.png",
    "metrics/training.json",
    "metrics/training.csv",
    "metrics/ran_on.json",
    "metrics/floor.json",
    "metrics/evaluation.json",
    "metrics/details.json",
    "metrics/per_query.parquet",
    "metrics/per_pair.parquet",
    "metrics/classes.csv",
    "metrics/distances.csv",
    "metrics/roc.csv",
]

AFFECTED = {
    "src/siamese/training/augment.py": {"train"},
    "src/siamese/pairs/drawing.py": {"pairs"},
    "src/siamese/sources/cifar100.py": {"download"},
    "src/siamese/sources/fetch.py": {"download", "weights"},
    "src/siamese/weights/sources.py": {"weights"},
    "src/siamese/measures/manifest.py": {"train", "floor", "evaluate"},
    "src/siamese/measures/knn.py": {"train", "floor", "evaluate"},
    "src/siamese/evaluation/pictures.py": {"evaluate"},
    "src/siamese/evaluation/bootstrap.py": {"evaluate"},
    "src/siamese/duplicates/near_duplicates.py": {"duplicates"},
    "src/siamese/floor/floor.py": {"floor"},
    "src/siamese/network/siamese_network.py": {"train", "embed", "floor"},
    "src/siamese/cli/main.py": set(),
    "README.md": set(),
}


def test_writes_the_files_that_others_rely_on(finished: Workspace) -> None:
    for name in EXPECTED_FILES:
        assert (finished.path / name).stat().st_size > 0, name
    assert not finished.git("status", "--porcelain")


def test_learns_something_in_two_epochs(finished: Workspace) -> None:
    evaluation = metrics(finished, "evaluation")
    assert evaluation["knn"]["k20"] > 0.5, "chance is 0.1"
    assert evaluation["verification"]["auc"] > 0.7, "chance is 0.5"
    assert "coarse" not in evaluation["knn"], "digits have no superclasses"


def test_training_can_be_watched_in_a_log(finished: Workspace) -> None:
    watched = pd.read_csv(finished.path / "logs/training.csv")
    assert (watched.pop("images_per_second") > 0).all()
    pd.testing.assert_frame_equal(watched, pd.read_csv(finished.path / "metrics/training.csv"))


def test_dvc_is_told_of_no_more_metrics_than_a_table_carries(finished: Workspace) -> None:
    found = json.loads(finished.dvc("metrics", "show", "--json"))
    files = found[""]["data"]
    assert set(files) == {"metrics/training.json", "metrics/evaluation.json"}
    figures = [
        f"{group}.{name}" if isinstance(values, dict) else group
        for content in files.values()
        for group, values in content["data"].items()
        for name in (values if isinstance(values, dict) else [group])
    ]
    # CIFAR-100 has one more: the superclasses.
    assert len(figures) <= 16, figures
    assert {"knn.k20_no_copies", "knn.k20_clean", "retrieval.map_at_r"} <= set(figures)


def test_what_a_comparison_needs_is_tracked_by_git(finished: Workspace) -> None:
    tracked = set(finished.git("ls-files", "metrics").split())
    wanted = ("per_query.parquet", "per_pair.parquet", "details.json", "evaluation.json")
    assert tracked >= {f"metrics/{name}" for name in wanted}


def test_another_threshold_for_near_duplicates_trains_nothing(workspace: Workspace) -> None:
    workspace.change_params({"duplicates": {"threshold": 0.6}})
    assert stages_run(workspace.dvc("repro")) == {"duplicates", "evaluate"}
    before = json.loads(workspace.git("show", "HEAD:metrics/details.json"))["near_duplicates"]
    assert metrics(workspace, "details")["near_duplicates"]["queries"] > before["queries"]


def test_gallery_and_queries_are_the_splits(finished: Workspace) -> None:
    gallery = load_embeddings(finished.path / "data/embeddings/gallery.parquet")
    queries = load_embeddings(finished.path / "data/embeddings/queries.parquet")
    assert len(gallery.samples) + len(queries.samples) == 1797
    assert not set(gallery.samples) & set(queries.samples)
    assert gallery.vectors.shape[1] == 32


def test_a_second_repro_does_nothing(workspace: Workspace) -> None:
    assert stages_run(workspace.dvc("repro")) == set()
    assert not workspace.git("status", "--porcelain")


@pytest.mark.slow
def test_forcing_every_stage_gives_the_same_bytes(workspace: Workspace) -> None:
    workspace.change_params({"compute": {"threads": 2}})
    workspace.dvc("repro")
    workspace.commit("with two threads")
    before = (workspace.path / "dvc.lock").read_bytes()
    output = workspace.dvc("repro", "--force")
    assert len(stages_run(output)) == 9, "a forced run really runs"
    assert (workspace.path / "dvc.lock").read_bytes() == before
    assert not workspace.git("status", "--porcelain")


def test_an_experiment_with_another_margin_runs_train_embed_and_evaluate_alone(
    workspace: Workspace,
) -> None:
    before = metrics(workspace, "evaluation")
    output = workspace.dvc("exp", "run", "-S", "train.margin=0.4")
    assert stages_run(output) == {"train", "embed", "evaluate"}
    assert "margin: 0.4" in (workspace.path / "params.yaml").read_text()
    workspace.commit("margin 0.4")
    assert metrics(workspace, "evaluation") != before
    difference = workspace.dvc("metrics", "diff", "HEAD~1", "HEAD")
    assert "knn.k20" in difference
    assert "verification.auc" in difference
    assert "pixels" not in difference, "the floor has not changed"
    plots = workspace.dvc("plots", "diff", "HEAD~1", "HEAD")
    assert Path(plots.strip().removeprefix("file://")).stat().st_size > 0


def test_touching_a_file_affects_the_stages_that_use_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.path)
    for file, affected in AFFECTED.items():
        with (workspace.path / file).open("a") as stream:
            stream.write("\n# touched\n")
        with Repo() as repo:  # `dvc status`, without a process for each file
            assert set(repo.status()) == affected, file
        workspace.git("checkout", "--quiet", ".")


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_runs_that_copys_code(workspace: Workspace) -> None:
    with (workspace.path / "src/siamese/evaluation/evaluate.py").open("a") as stream:
        stream.write('\nprint("evaluation comes from", __file__)\n')
    # DVC commits what goes into the copy, and asks for an identity to do so.
    workspace.git("config", "user.name", "tester")
    workspace.git("config", "user.email", "tester@example.com")
    output = workspace.dvc("exp", "run", "--temp", "-S", "train.margin=0.5")
    source = Path(re.findall(r"evaluation comes from (\S+)", output)[-1])
    assert workspace.path / ".dvc" / "tmp" / "exps" in source.parents
    assert "0.5" in workspace.dvc("exp", "show", "--csv")
    assert "margin: 1.0" in (workspace.path / "params.yaml").read_text(), "workspace untouched"


def test_an_unknown_parameter_is_refused_by_dvc_and_by_the_stage(workspace: Workspace) -> None:
    workspace.dvc("exp", "run", "-S", "train.margni=0.5", fails=True)
    params = workspace.path / "params.yaml"
    params.write_text(params.read_text().replace("margin: 1.0", "margni: 1.0"))
    model = workspace.path / "data/model/model.safetensors"
    before = model.read_bytes()
    output = workspace.run(sys.executable, "stages/train.py", fails=True)
    assert "unknown key `train.margni`; did you mean `margin`?" in output
    assert "Traceback" not in output
    assert model.read_bytes() == before


def test_a_stage_runs_without_dvc_and_from_anywhere(workspace: Workspace, tmp_path: Path) -> None:
    pairs = workspace.path / "data/pairs/train.parquet"
    before = pairs.read_bytes()
    pairs.unlink()
    Workspace(tmp_path).run(sys.executable, str(workspace.path / "stages/pairs.py"))
    assert pairs.read_bytes() == before


def test_the_wrong_python_is_told_in_one_line(workspace: Workspace) -> None:
    # -S leaves out the installed packages, as a system Python would have none.
    output = workspace.run(sys.executable, "-S", "stages/pairs.py", fails=True)
    assert len(output.splitlines()) == 1
    assert "lacks matplotlib" in output
    assert "make repro" in output


def test_plots_are_drawn_from_the_declared_files(workspace: Workspace) -> None:
    page = Path(workspace.dvc("plots", "show").strip().removeprefix("file://")).read_text()
    for title in ("distances in training", "accuracy by k", "neighbours.png"):
        assert title in page


def test_outputs_hold_no_path_and_no_host(finished: Workspace) -> None:
    for name in ["dvc.lock", *EXPECTED_FILES]:
        content = (finished.path / name).read_bytes()
        assert str(finished.path).encode() not in content, name
