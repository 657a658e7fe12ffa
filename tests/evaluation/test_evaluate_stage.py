"""`stages/evaluate.py` on made-up data: the files it writes, and what `siamese show` prints."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import image as mpimg
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from siamese.base.dataset import Classes, Dataset, save_dataset
from siamese.base.errors import InputError
from siamese.base.files import write_json
from siamese.cli.results import results_table
from siamese.duplicates.near_duplicate_file import save_near_duplicates
from siamese.embeddings.embedding_file import Embeddings, load_embeddings, save_embeddings
from siamese.model.calibration import ClaimCalibration
from tests.support.made_up_embeddings import NOVEL, THRESHOLDS, embeddings, pairs_by_kind, params
from tests.support.workspace import ROOT


class StageOfMadeUpData:
    """A folder where `stages/evaluate.py` can run, on 110 made-up images."""

    def __init__(
        self,
        path: Path,
        split: list[str],
        enrolled: list[bool] | None,
        forged: list[bool] | None = None,
    ) -> None:
        """Write the inputs.

        Args:
            path: a folder.
            split: of each of the 110 samples.
            enrolled: whether each is enrolled; None leaves the column out.
            forged: whether each is a forgery; the same. The model then has thresholds for claims.
        """
        self.path = path
        shutil.copytree(ROOT / "stages", path / "stages")
        (path / "src").symlink_to(ROOT / "src")
        for name in ("prepared", "duplicates", "model", "embeddings", "pairs"):
            (path / "data" / name).mkdir(parents=True)
        (path / "metrics").mkdir()
        (path / "params.yaml").write_text(yaml.safe_dump({"evaluate": params().model_dump()}))
        everything = embeddings(110, 0, 1, has_coarse=False)
        samples = pd.DataFrame(
            {
                "sample": everything.samples,
                "split": split,
                "fine": everything.fine,
                "file": "made-up",
            }
        ).assign(coarse=pd.array([None] * 110, dtype="Int64"))
        # One test image is the copy of one in training.
        samples["duplicate_of"] = pd.array([None] * 109 + [split.index("train")], dtype="Int64")
        is_query = samples["split"].to_numpy() == "test"
        if enrolled is not None:
            samples["enrolled"] = enrolled
            is_query = is_query & ~np.array(enrolled)
        parts = {}
        if forged is not None:
            samples["forged"] = forged
            parts["forged"] = np.array(forged)
            is_query = is_query & ~np.array(forged)
        parts |= {"gallery": samples["split"].to_numpy() != "test", "queries": is_query}
        if enrolled is not None:
            parts["gallery"] = ~is_query
        images = np.random.default_rng(0).integers(0, 256, (110, 8, 8, 3), dtype=np.uint8)
        dataset = Dataset(images, samples, Classes(tuple("abcdef")))
        save_dataset(dataset, path / "data/prepared")
        for name, rows in parts.items():
            part = Embeddings.of(samples, np.flatnonzero(rows), everything.vectors[rows])
            save_embeddings(part, path / "data/embeddings" / f"{name}.parquet")
        queries = part
        near = pd.DataFrame({"sample": queries.samples, "near_duplicate": False})
        save_near_duplicates(near, path / "data/duplicates/near_duplicates.parquet")
        is_novel = np.isin(queries.fine, dataset.novel_classes())
        pairs = pairs_by_kind(queries, is_novel)
        thresholds = THRESHOLDS
        if forged is not None:
            row = pairs.index[~pairs["same"]][-1]
            of = everything.fine[pairs["left"][row]]
            pairs.loc[row, "right"] = np.flatnonzero(np.array(forged) & (everything.fine == of))[0]
            claims = ClaimCalibration("mean", (1, 3), (1.7, 1.6), (0.3, 0.2), (0.3, 0.25))
            thresholds = replace(THRESHOLDS, claims=claims)
        pairs.to_parquet(path / "data/pairs/test.parquet", index=False)
        write_json(path / "data/model/verification.json", thresholds.to_json())
        write_json(path / "metrics/training.json", {"epochs": 1, "best_epoch": 1})
        write_json(path / "metrics/ran_on.json", {"device": "cpu", "precision": "float32"})

    def run(self, fails: bool = False) -> str:
        """Run the stage; return what it wrote to stderr."""
        stage = [sys.executable, str(self.path / "stages" / "evaluate.py")]
        done = subprocess.run(stage, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr

    def shown(self, floor: dict[str, object]) -> str:
        write_json(self.path / "metrics/floor.json", floor)
        return results_table(self.path)

    def check_files(self) -> None:
        """Make sure that every output in dvc.yaml exists, and that the pictures are not blank."""
        stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]
        for output in [*stage["outs"], *stage["metrics"]]:
            name = output if isinstance(output, str) else next(iter(output))
            assert (self.path / name).exists(), name
        pictures = sorted((self.path / "data/pictures").iterdir())
        assert [file.stem for file in pictures] == [
            *("confusion", "mistakes", "neighbours", "verification")
        ]
        assert all(mpimg.imread(file).std() > 0.05 for file in pictures)


def test_the_stage_tells_seen_from_never_seen_classes_and_show_prints_both(tmp_path: Path) -> None:
    fine = embeddings(110, 0, 1).fine
    is_novel = np.isin(fine, NOVEL)
    is_test = is_novel | (np.arange(110) >= 70)
    enrolled = is_novel & (np.arange(110) < 70)
    split = np.where(is_test, "test", "train").tolist()
    stage = StageOfMadeUpData(tmp_path, split, enrolled.tolist())
    stage.run()
    stage.check_files()
    table = pd.read_parquet(tmp_path / "metrics/per_query.parquet")
    assert table["novel"].tolist() == np.isin(table["fine"], NOVEL).tolist()
    floors = {"pixels": 0.1234, "untrained": 0.2345}
    shown = stage.shown(floors | {"seen": {"pixels": 0.3456, "untrained": 0.4}, "novel": floors})
    seen, novel = shown.partition("Test images of classes never seen")[::2]
    assert "34.56%" in seen.partition("Test images of classes seen in training")[2]
    assert table["copied"].tolist() == (table["sample"] == 109).tolist()
    assert f"\n1 of {len(table)} test images have an exact copy in the gallery\n" in shown
    assert "embedding, k = 5, no exact copies" in shown
    n_enrolled, n_novel = int(enrolled.sum()), int((is_novel & ~enrolled).sum())
    assert novel.startswith(f": {n_novel} of 2 classes, {n_enrolled} more of them enrolled")
    for line in (
        "gallery of such classes alone, k = 1 ",
        "pairs: equal error rate",
        "12.34%",
        "MAP@R",
    ):
        assert line in novel
    with pytest.raises(InputError, match=r"floor\.json: of other splits than evaluation\.json"):
        stage.shown({"verification": floors})
    # Without floors of either kind, the figures stand alone.
    assert "34.56%" not in stage.shown(dict(floors))


def test_the_stage_writes_every_file_where_nothing_is_classified(tmp_path: Path) -> None:
    fine = embeddings(110, 0, 1).fine
    split = np.where(fine < 3, "train", "test").tolist()
    stage = StageOfMadeUpData(tmp_path, split, None)
    stage.run()
    stage.check_files()
    metrics = tmp_path / "metrics"
    assert (metrics / "accuracy_by_k.csv").read_text() == "k,top1\n"
    classes = (metrics / "classes.csv").read_text()
    assert classes == "class,accuracy,queries,confused_with,confused\n"
    table = pd.read_parquet(metrics / "per_query.parquet")
    queries = load_embeddings(tmp_path / "data/embeddings/queries.parquet")
    calculator = AccuracyCalculator(include=("precision_at_1", "mean_average_precision_at_r"))
    theirs = calculator.get_accuracy(queries.vectors.copy(), queries.fine.copy())
    written = json.loads((metrics / "evaluation.json").read_text())["retrieval"]
    assert written == pytest.approx(
        {
            "recall_at_1": theirs["precision_at_1"],
            "map_at_r": theirs["mean_average_precision_at_r"],
        },
        abs=5e-5,
    )
    for name, column in (("recall_at_1", "recall_at_1"), ("map_at_r", "average_precision")):
        assert written[name] == pytest.approx(table[column].mean(), abs=5e-5)
    assert len(pd.read_csv(metrics / "roc.csv")) > 10
    shown = stage.shown({"verification": {"pixels": 0.1234, "untrained": 0.2345}})
    assert "raw pixels (floor), ROC area                12.34%" in shown
    title = "Retrieval among test images of classes never seen"
    assert f"\n\n{title}   95 % interval\n" in shown, "the first topic"
    for label, share in (("recall@1", written["recall_at_1"]), ("MAP@R", written["map_at_r"])):
        assert f"  {label:<42}{share:8.2%}   " in shown
    for label in ("recall@10", "R-precision"):
        assert f"\n  {label} " in shown
    assert "no other of their class" not in shown
    details = json.loads((metrics / "details.json").read_text())
    details["findable"]["queries"] -= 2
    write_json(metrics / "details.json", details)
    shown = stage.shown({"verification": {"pixels": 0.1234, "untrained": 0.2345}})
    assert f"\n2 of {len(table)} test images of classes never seen have no other of" in shown
    with pytest.raises(InputError, match=r"floor\.json: of other splits than evaluation\.json"):
        stage.shown({"pixels": 0.1234, "untrained": 0.2345})
    assert "equal error rate" in shown
    for absent in ("k-NN", "Retrieval in", "near-duplicate in", "copy in", "Best classes"):
        assert absent not in shown


def test_the_stage_tells_forgeries_and_show_prints_them_and_claims(tmp_path: Path) -> None:
    fine = embeddings(110, 0, 1).fine
    split = np.where(fine < 2, "train", "test")
    forged = (split == "test") & (np.arange(110) % 3 == 0)
    stage = StageOfMadeUpData(tmp_path, split.tolist(), None, forged.tolist())
    stage.run()
    stage.check_files()
    metrics, details = (
        json.loads((tmp_path / f"metrics/{name}.json").read_text())
        for name in ("evaluation", "details")
    )
    pairs = pd.read_parquet(tmp_path / "metrics/per_pair.parquet")
    assert len(pairs) == 39, "without the one that has a forgery"
    shown = stage.shown({"verification": {"pixels": 0.1, "untrained": 0.2}})
    _, _, skilled = shown.partition("\nSkilled pairs, of a test image and a forgery of it\n")
    skilled, title, claims = skilled.partition(
        "\nClaims against R references by their mean distance, of 4 classes\n"
    )
    assert title
    claims, title, thresholds = claims.partition("\nThresholds, calibrated on validation ")
    assert title
    low, high = details["intervals"]["skilled.eer"]
    value = metrics["skilled"]["eer"]
    assert f"  skilled pairs: equal error rate{value:19.2%}   {low:.2%} to {high:.2%}\n" in skilled
    for name, label in (
        ("eer_forgeries", "EER of forgeries"),
        ("eer_strangers", "EER of strangers"),
        ("frr", "false rejects"),
        ("far_forgeries", "forgeries accepted"),
        ("far_strangers", "strangers accepted"),
    ):
        for number in details["claims"]["references"]:
            value = (metrics["claims"] | details["claims"])[f"{name}_{number}"]
            line = f"claims against {number}: {label}"
            assert f"  {line:<42}{value:8.2%}   " in f"{claims}\n"
    done = details["calibration"]["claims"]["3"]["done"]
    line = (
        f"  {'claims against 3':<44}{0.2:8.2%}{done['far']:10.2%}   {0.25:8.2%}{done['frr']:10.2%}"
    )
    assert f"\n{line}\n" in thresholds


def test_the_stage_names_the_file_that_it_misses(tmp_path: Path) -> None:
    stage = StageOfMadeUpData(tmp_path, ["train"] * 60 + ["test"] * 50, None)
    (tmp_path / "data/model/verification.json").unlink()
    assert stage.run(fails=True) == (
        "evaluate: data/model/verification.json: no such file; `dvc repro train` makes it\n"
    )
