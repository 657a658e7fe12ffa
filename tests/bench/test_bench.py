"""The benchmarks run on small data and report what they say they do. No time is asserted."""

import json
import shutil
import sys

import pytest
import yaml

from tests.support.workspace import ROOT, Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def with_bench(workspace: Workspace) -> Workspace:
    """A finished pipeline on digits, the benchmarks beside it and nothing measured yet."""
    for file in (ROOT / "bench").glob("*.[py]*"):
        (workspace.path / "bench").mkdir(exist_ok=True)
        shutil.copyfile(file, workspace.path / "bench" / file.name)
    shutil.copyfile(ROOT / ".gitignore", workspace.path / ".gitignore")
    workspace.commit("with the benchmarks")
    return workspace


def forget(workspace: Workspace, folder: str) -> None:
    """Remove an output and its list of files from the cache, as on a machine that never ran it."""
    lock = yaml.safe_load((workspace.path / "dvc.lock").read_text())
    (out,) = [
        out for stage in lock["stages"].values() for out in stage["outs"] if out["path"] == folder
    ]
    cached = workspace.path / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]
    cached.unlink()
    shutil.rmtree(workspace.path / folder)


def test_every_contestant_is_measured_in_every_round(with_bench: Workspace) -> None:
    short = ("--rounds", "2", "--batches", "2", "--workers", "0", "1", "--widths", "4", "8")
    printed = with_bench.run(sys.executable, "bench/speed.py", *short)
    report = json.loads((with_bench.path / "bench" / "speed.json").read_text())
    assert [measured["width"] for measured in report["widths"]] == [4, 8]
    for measured in report["widths"]:
        assert set(measured["peer_workers"]["tried"]) == {"0", "1"}
        assert len(measured["rounds"]) == 2
        for figures in measured["rounds"]:
            assert all(figures[name] > 0 for name in ("trainer", "limit", "peer"))
            assert figures["trainer_memory_mb"] > 0
            assert figures["peer_memory_mb"] > 0
    assert report["machine"]["pytorch-metric-learning"]
    for words in ("| trainer |", "| limit |", "| peer |", "trainer / limit: ", "trainer / peer: "):
        assert words in printed


def test_the_gallery_is_measured_beside_others(with_bench: Workspace) -> None:
    small = ("--rounds", "2", "--rows", "2000", "--queries", "150", "--seconds", "0.2")
    printed = with_bench.run(sys.executable, "bench/gallery.py", *small)
    report = json.loads((with_bench.path / "bench" / "gallery.json").read_text())
    assert report["machine"]["lancedb"]
    assert report["machine"]["faiss-cpu"]
    assert report["data"]["queries"] == 150
    assert report["data"]["tuning_queries"] == 180, "half of the test images"
    assert report["data"]["jitter"] > 0
    [size] = report["sizes"]
    assert size["rows"] == 2000, "more than the pipeline's"
    assert len(size["rounds"]) == 2
    approximate = ("gallery-index", "held-index", "faiss-ivf")
    for contestants in size["rounds"]:
        exact = ("gallery", "held", "faiss-flat", "scikit-learn")
        assert {*contestants} == {*exact, *approximate}
        for name, figures in contestants.items():
            assert 1 <= figures.pop("asked") <= 150
            assert figures["disk_mb"] >= 2000 * report["data"]["dimensions"] * 4 / 1e6
            assert figures.pop("recall") >= (0.95 if name in approximate else 1.0)
            assert all(figure > 0 for figure in figures.values()), figures
    for words in ("| 2,000 rows |", "| gallery, exact |", "| FAISS IVF |", "| 1.0000 |"):
        assert words in printed
    assert with_bench.run("git", "status", "--porcelain").split() == ["??", "bench/gallery.json"]


def test_the_study_queues_runs_and_collects_what_they_measured(with_bench: Workspace) -> None:
    for folder in ("data/model", "data/embeddings", "data/pictures"):
        forget(with_bench, folder)  # the study needs none of them
    small = ("--set", "epochs=2", "images=800", "width=4")
    screened = ["default", "formula", "pml-supcon", "cross-entropy"]
    queue = (sys.executable, "bench/study.py", "queue", *small)
    with_bench.run(*queue, "--contestants", *screened)
    printed = with_bench.run(
        *queue, "--contestants", "default", "--split", "test", "--seeds", "1", "2"
    )
    runs = json.loads((with_bench.path / "bench" / "study.json").read_text())["runs"]
    assert [(run["contestant"], run["split"], run["seed"]) for run in runs] == [
        ("default", "test", 1),
        ("default", "test", 2),
        *((name, "validation", 0) for name in screened),
    ]
    for run in runs:
        assert 0.1 < run[f"{run['split']}_top1_k20"] <= 1, "better than chance among ten digits"
        assert 0.5 < run["validation_auc"] <= 1
        assert ("test_top1_k20" in run) == (run["split"] == "test"), "test is read when asked for"
        assert len(run["course"]) == 3, "a header and a row an epoch"
    first, second = (run["test_top1_k20"] for run in runs[:2])
    assert f"{50 * (first + second):.1f} % (" in printed
    assert with_bench.run("git", "status", "--porcelain").split() == ["??", "bench/study.json"]
