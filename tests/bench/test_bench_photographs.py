"""The benchmark on photographs runs every contestant, and measures what it says it does."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.neighbors import KNeighborsClassifier

from siamese.base.dataset import Classes, Dataset, save_dataset
from siamese.base.params import read_document
from siamese.base.weights_folder import save_weights
from siamese.cli.profiles import override
from siamese.evaluation.params import EvaluateParams
from siamese.pairs.drawing import draw_fixed
from siamese.pairs.params import PairsParams
from tests.support.workspace import ROOT

SIZE, KNOWN, NOVEL, PER_SPLIT = 32, 4, 2, 6
SMALL: dict[str, Any] = {
    "network": {"architecture": "timm/test_efficientnet", "embedding_dim": 8, "width": 2},
    "train": {
        "optimizer": "adamw",
        "freeze": "statistics",
        "monitor_k": 3,
        "augment": {"crop": 0, "resized_crop": 0.5, "jitter": 0.2, "policy": "trivial"},
    },
    "pairs": {
        **{"batch_size": 8, "classes_per_batch": 4, "batches_per_epoch": 1, "epochs": 2},
        **{"validation": 12, "test": 12},
    },
    "evaluate": {"k": [1, 3], "vote_k": 3},
    "compute": {"threads": 1},
}


def photographs() -> Dataset:
    """Four classes of two superclasses that differ in colour, and two more that only test has."""
    rng = np.random.default_rng(0)
    split = np.repeat(["train", "validation", "test"], KNOWN * PER_SPLIT)
    fine = np.tile(np.arange(KNOWN), 3 * PER_SPLIT)
    split = np.append(split, ["test"] * NOVEL * PER_SPLIT)
    fine = np.append(fine, np.repeat(KNOWN + np.arange(NOVEL), PER_SPLIT))
    colours = rng.integers(0, 196, (KNOWN + NOVEL, 1, 1, 3))
    noise = rng.integers(0, 60, (len(fine), SIZE, SIZE, 3))
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(fine)),
            "split": split,
            "fine": fine,
            "coarse": pd.array(fine // 2, dtype="Int64"),
            "file": "made-up",
            "duplicate_of": pd.array([pd.NA] * len(fine), dtype="Int64"),
            "enrolled": (fine >= KNOWN) & (np.arange(len(fine)) % 2 == 0),
        }
    )
    images = (colours[fine] + noise).astype(np.uint8)
    return Dataset(images, samples, Classes(tuple("abcdef"), tuple("xyz")))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmark's code."""
    pytest.importorskip("timm")
    monkeypatch.syspath_prepend(ROOT / "bench")
    yield importlib.import_module("photographs")
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A workspace of made-up photographs, as the stages `pairs` and `weights` leave it."""
    params = read_document(ROOT / "params.yaml")
    override(params, SMALL, "SMALL")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("prepared", "pairs", "weights"):
        (tmp_path / "data" / name).mkdir(parents=True)
    dataset = photographs()
    save_dataset(dataset, tmp_path / "data/prepared")
    save_weights(None, tmp_path / "data/weights")
    fixed = draw_fixed(dataset, "validation", PairsParams(**params["pairs"]))
    fixed.to_parquet(tmp_path / "data/pairs/validation.parquet", index=False)
    return tmp_path


def call(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["photographs.py", *map(str, arguments)])
    bench.main()


def test_every_contestant_is_tuned_and_measured(
    bench: ModuleType,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = prepared / "results.jsonl"
    where = ("--workspace", prepared, "--results", results, "--images", 32)
    call(bench, monkeypatch, "tune", *where, "--rates", "0.001")
    tuned = [json.loads(line) for line in results.read_text().splitlines()]
    names = ["frozen", "ours", "scratch", "pml", "pml", "cross-entropy"]
    assert [record["contestant"] for record in tuned] == names
    assert not any("test" in record for record in tuned), "test is read when asked for"

    call(bench, monkeypatch, "run", *where, "--seeds", "1")
    run = [json.loads(line) for line in results.read_text().splitlines()][len(tuned) :]
    assert [record["contestant"] for record in run] == [*bench.CONTESTANTS]
    for record in run:
        name, figures = record["contestant"], record["test"]
        assert ("logits" in figures) == (name == "cross-entropy")
        assert all(
            0 <= figures[part] <= 1 for part in ("top1", "coarse", "novel_recall", "novel_map")
        )
        assert set(record["validation"]) == {"k1", "k3"}
        best = max(record["validation"].values())
        assert record["validation"][f"k{figures['k']}"] == best
        assert record["threads"] == 1
        if name == "untouched":
            assert (record["images_seen"], record["seconds"]) == (0, 0)
        elif name != "scratch-equal-time":
            settings = record["settings"]
            # One batch in each epoch at the least.
            least = 2 * settings["pairs.batch_size"] * settings["pairs.epochs"]
            assert record["images_seen"] == max(32, least)
            assert record["settings"]["train.freeze"] == (
                {"frozen": "backbone", "scratch": "none"}.get(name, "statistics")
            )

    capsys.readouterr()
    call(bench, monkeypatch, "run", *where, "--seeds", "1", "--contestants", "ours", "untouched")
    assert capsys.readouterr().out.count("done before") == 2
    assert len(results.read_text().splitlines()) == len(tuned) + len(run)

    call(bench, monkeypatch, "table", "--results", results)
    printed = capsys.readouterr().out
    assert "84 images of 32 pixels, 6 classes, 2 of them never seen in training; 30 q" in printed
    ours = next(record for record in run if record["contestant"] == "ours")
    assert f"| ours: fine-tuned | {100 * max(ours['validation'].values()):.1f} %" in printed


def test_a_rate_is_chosen_on_validation_among_runs_of_these_parameters(
    bench: ModuleType, prepared: Path
) -> None:
    results = prepared / "results.jsonl"
    tried = [("a", 1.0, 0.6, 0.1), ("a", 1.0, 0.2, 0.1), ("b", 1.0, 0.1, 0.3), ("b", 2.0, 0.5, 0.0)]
    inputs = bench.Inputs.read(prepared)
    with results.open("w") as file:
        for name in ("ours", "cross-entropy"):
            for loss, rate, k1, k3 in tried:
                case = bench.Case(inputs, name, None, "validation", loss, rate)
                file.write(json.dumps(case.key | {"validation": {"k1": k1, "k3": k3}}) + "\n")
    assert bench.best_of(inputs, "ours", results, None) == ("b", 2.0), "a: 0.4 on average"
    with pytest.raises(bench.InputError, match="as many images"):
        bench.best_of(inputs, "ours", results, 1000)

    params = read_document(prepared / "params.yaml")
    params["train"] |= {"margin": 0.7, "learning_rate": 0.7, "seed": 7}
    (prepared / "params.yaml").write_text(yaml.safe_dump(params))
    inputs = bench.Inputs.read(prepared)
    assert bench.best_of(inputs, "cross-entropy", results, None) == ("b", 2.0)
    with pytest.raises(bench.InputError, match="run `tune --contestants ours`"):
        bench.best_of(inputs, "ours", results, None)


def test_the_figures_are_those_of_other_libraries(bench: ModuleType) -> None:
    dataset, rng = photographs(), np.random.default_rng(1)
    vectors = rng.normal(size=(len(dataset.images), 3)).astype(np.float32)
    fine, split = dataset.fine(), dataset.samples["split"].to_numpy()
    is_query = (split == "test") & ~dataset.samples["enrolled"].to_numpy()

    def score(labels: np.ndarray, gallery: np.ndarray, queries: np.ndarray) -> float:
        nearest = KNeighborsClassifier(1).fit(vectors[gallery], labels[gallery])
        return float(nearest.score(vectors[queries], labels[queries]))

    params = EvaluateParams(**read_document(ROOT / "params.yaml")["evaluate"] | {"k": [1]})
    train = np.flatnonzero(split == "train")
    accuracy = bench.validation_top1(vectors.__getitem__, dataset, train, params)
    assert accuracy == {1: score(fine, split == "train", split == "validation")}

    figures = bench.test_figures(vectors.__getitem__, dataset, params, 1)
    novel = AccuracyCalculator(include=("mean_average_precision_at_r",), k="max_bin_count")
    embeddings, labels = map(torch.from_numpy, (vectors[fine >= KNOWN], fine[fine >= KNOWN]))
    assert figures.pop("novel_map") == pytest.approx(
        novel.get_accuracy(embeddings, labels)["mean_average_precision_at_r"]
    )
    assert figures == {
        "top1": score(fine, ~is_query, is_query),
        "coarse": score(dataset.samples["coarse"].to_numpy(int), ~is_query, is_query),
        "novel_recall": leave_one_out(vectors[fine >= KNOWN], fine[fine >= KNOWN]),
    }


def leave_one_out(vectors: np.ndarray, labels: np.ndarray) -> float:
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(labels[distances.argmin(axis=1)] == labels))
