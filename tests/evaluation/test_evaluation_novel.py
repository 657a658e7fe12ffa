"""The evaluation with classes that training never saw: some enrolled, or none in the gallery."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import image as mpimg
from sklearn.metrics import roc_auc_score

from siamese.base.dataset import Classes, Dataset, save_dataset
from siamese.base.errors import InputError
from siamese.base.files import write_json
from siamese.cli.results import results_table
from siamese.duplicates.near_duplicate_file import save_near_duplicates
from siamese.embeddings.embedding_file import Embeddings, save_embeddings
from siamese.evaluation.evaluate import (
    Evaluation,
    evaluate,
    hardest_pairs,
)
from siamese.evaluation.evaluate_params import EvaluateParams
from siamese.measures.knn import nearest_others
from siamese.measures.verification import equal_error_rate, error_rates
from tests.evaluation.test_evaluation import (
    N_CLASSES,
    THRESHOLDS,
    embeddings,
    params,
    plain_neighbours,
    plain_vote,
)
from tests.support.workspace import ROOT

NOVEL = [4, 5]
KINDS = {"seen": False, "novel": True}


def pairs_by_kind(queries: Embeddings, is_novel: np.ndarray, n: int = 40) -> pd.DataFrame:
    """Half the pairs alike and half unlike, all among seen or among novel classes."""
    rng = np.random.default_rng(5)
    wanted = {True: n // 2, False: n // 2}
    drawn = []
    while any(wanted.values()):
        left, right = rng.choice(len(queries.samples), 2, replace=False)
        same = bool(queries.fine[left] == queries.fine[right])
        if is_novel[left] == is_novel[right] and wanted[same]:
            wanted[same] -= 1
            drawn.append((int(queries.samples[left]), int(queries.samples[right]), same))
    return pd.DataFrame(drawn, columns=["left", "right", "same"])


class MadeUpTest:
    """60 gallery samples and 50 queries of six classes, of which some were never seen."""

    def __init__(self, novel: list[int] = NOVEL) -> None:
        self.gallery, self.queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
        self.is_novel = np.isin(self.queries.fine, novel)
        self.enrolled = np.isin(self.gallery.fine, novel)
        self.near_duplicate = np.arange(50) % 3 == 0
        self.pairs = pairs_by_kind(self.queries, self.is_novel)

    def evaluate(self, is_novel: np.ndarray | None = None, **changes: object) -> Evaluation:
        return evaluate(
            self.gallery,
            self.queries,
            self.near_duplicate,
            self.is_novel if is_novel is None else is_novel,
            self.pairs,
            THRESHOLDS,
            params(**changes),
        )


def test_the_figures_of_either_kind_equal_plain_loops() -> None:
    made = MadeUpTest()
    found = made.evaluate()
    right: dict[str, list[bool]] = {}
    alone = Embeddings(
        made.gallery.samples[made.enrolled],
        made.gallery.fine[made.enrolled],
        None,
        made.gallery.vectors[made.enrolled],
    )
    for query, label, is_novel in zip(
        made.queries.vectors, made.queries.fine.tolist(), made.is_novel, strict=True
    ):
        kind = "novel" if is_novel else "seen"
        for prefix, gallery in (("", made.gallery), *([("alone_", alone)] if is_novel else [])):
            rows = plain_neighbours(gallery, query)
            for k in (1, 5):
                is_right = plain_vote(gallery, rows[:k], [1.0] * k)[0] == label
                right.setdefault(f"{kind}.{prefix}k{k}", []).append(is_right)
    assert set(right) == {
        *("seen.k1", "seen.k5", "novel.k1", "novel.k5", "novel.alone_k1", "novel.alone_k5")
    }
    assert found.metrics["novel"]["alone_k5"] > found.metrics["novel"]["k5"]
    for figure, outcomes in right.items():
        group, _, name = figure.partition(".")
        assert found.metrics[group][name] == pytest.approx(np.mean(outcomes), abs=5e-5), figure

    vectors = dict(zip(made.queries.samples.tolist(), made.queries.vectors, strict=True))
    novel_samples = set(made.queries.samples[made.is_novel].tolist())
    for kind, is_novel in KINDS.items():
        chosen = [row for row in made.pairs.itertuples() if (row.left in novel_samples) == is_novel]
        assert len(chosen) >= 5
        distances = np.array([math.dist(vectors[row.left], vectors[row.right]) for row in chosen])
        same = np.array([row.same for row in chosen])
        rates = error_rates(distances, same, THRESHOLDS.accuracy_threshold)
        expected = {
            "auc": roc_auc_score(same, -distances),
            "eer": equal_error_rate(distances, same),
            "accuracy": 1 - sum(rates) / 2,
        }
        for name, value in expected.items():
            assert found.metrics[kind][name] == pytest.approx(value, abs=5e-5), (kind, name)


def test_the_figures_of_all_queries_are_those_without_novel_classes() -> None:
    made = MadeUpTest()
    found, plain = made.evaluate(), made.evaluate(np.zeros(50, dtype=bool))
    assert list(plain.metrics) == ["knn", "retrieval", "verification"]
    assert list(found.metrics) == [*plain.metrics, "seen", "novel"]
    for group, figures in plain.metrics.items():
        assert found.metrics[group] == figures
    for name, interval in plain.details["intervals"].items():
        assert found.details["intervals"][name] == interval, "the same draws"
    assert "novel" not in plain.details
    added = {"novel", "alone_k1", "alone_k5"}
    assert set(found.per_query) - set(plain.per_query) == added
    pd.testing.assert_frame_equal(found.per_query[list(plain.per_query)], plain.per_query)
    every = made.evaluate(np.ones(50, dtype=bool))
    assert every.metrics == plain.metrics, "all of one kind: nothing to tell apart"


def test_the_table_of_outcomes_gives_the_figures_of_either_kind_back() -> None:
    made = MadeUpTest()
    found = made.evaluate()
    table = found.per_query
    assert table["novel"].tolist() == made.is_novel.tolist()
    for kind, is_novel in KINDS.items():
        rows = table[table["novel"] == is_novel]
        for name in set(found.metrics[kind]) - {"auc", "eer", "accuracy"}:
            assert found.metrics[kind][name] == pytest.approx(rows[name].mean(), abs=5e-5)
    assert not table.loc[~table["novel"], ["alone_k1", "alone_k5"]].to_numpy().any()
    assert found.details["novel"] == {
        "classes": 2,
        "queries": int(made.is_novel.sum()),
        "enrolled": int(made.enrolled.sum()),
    }


def test_every_figure_of_either_kind_has_an_interval_of_the_same_draws() -> None:
    made = MadeUpTest()
    found = made.evaluate()
    figures = {
        f"{group}.{name}": value
        for group, values in found.metrics.items()
        for name, value in values.items()
    }
    intervals = found.details["intervals"]
    assert set(intervals) == {*figures, "retrieval.r_precision"}
    for name, value in figures.items():
        low, high = intervals[name]
        assert 0 <= low <= value <= high <= 1, name

    # Two of them over again, image by image.
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {"novel.alone_k5": [], "seen.auc": []}
    first = int(made.queries.samples[0])  # their numbers have no gaps
    seen = found.per_pair[~made.is_novel[found.per_pair["left"] - first]]
    left, right = seen["left"].to_numpy() - first, seen["right"].to_numpy() - first
    for _ in range(100):
        images = rng.integers(50, size=50)
        novel_images = [row for row in images.tolist() if made.is_novel[row]]
        outcomes = found.per_query["alone_k5"].to_numpy()
        drawn["novel.alone_k5"].append(float(np.mean([outcomes[row] for row in novel_images])))
        count = np.bincount(images, minlength=50)
        times = count[left] * count[right]
        same, distance = (np.repeat(seen[name].to_numpy(), times) for name in ("same", "distance"))
        drawn["seen.auc"].append(float(roc_auc_score(same, -distance)))
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert intervals[name] == pytest.approx([low, high], abs=6e-5), name


def test_a_vote_of_more_than_are_enrolled_is_left_out() -> None:
    made = MadeUpTest()
    few = np.flatnonzero(made.enrolled)[:3]
    kept = np.sort(np.append(np.flatnonzero(~made.enrolled), few))
    gallery = made.gallery
    made.gallery = Embeddings(
        gallery.samples[kept], gallery.fine[kept], None, gallery.vectors[kept]
    )
    found = made.evaluate()
    assert "alone_k1" in found.metrics["novel"]
    assert "alone_k5" not in found.metrics["novel"]
    assert "alone_k5" not in found.per_query
    assert found.details["novel"]["enrolled"] == 3


def test_a_single_novel_class_has_no_unlike_pairs_to_verify() -> None:
    made = MadeUpTest([5])
    found = made.evaluate()
    assert set(found.metrics["novel"]) == {"k1", "k5", "alone_k1", "alone_k5"}
    assert found.metrics["novel"]["alone_k1"] == 1, "there is no other class to take it for"
    assert set(found.metrics["seen"]) == {"k1", "k5", "auc", "eer", "accuracy"}
    assert "novel.auc" not in found.details["intervals"]


def test_a_pair_of_what_is_no_query_is_refused() -> None:
    made = MadeUpTest()
    made.pairs.loc[3, "right"] = int(made.gallery.samples[0])
    with pytest.raises(InputError, match="1 pairs are not of two queries, the first in row 3"):
        made.evaluate()


# Verification alone.


def of_other_classes(queries: Embeddings) -> Embeddings:
    return Embeddings(queries.samples, queries.fine + N_CLASSES, queries.coarse, queries.vectors)


def test_without_a_query_of_the_gallerys_classes_verification_alone_is_measured() -> None:
    made = MadeUpTest([])
    classified = made.evaluate()
    made.queries = of_other_classes(made.queries)
    # Ten neighbours of nine samples: nobody asks for them.
    gallery = made.gallery
    made.gallery = Embeddings(gallery.samples[:9], gallery.fine[:9], None, gallery.vectors[:9])
    found = made.evaluate(np.ones(50, dtype=bool))
    assert classified.is_classified
    assert not found.is_classified
    assert found.metrics == {"verification": classified.metrics["verification"]}
    assert set(found.details) == {"intervals", "bootstrap", "verification"}
    assert found.details["verification"] == classified.details["verification"]
    assert found.details["intervals"] == {
        name: interval
        for name, interval in classified.details["intervals"].items()
        if name.startswith("verification.")
    }
    assert list(found.per_query) == ["sample", "near_duplicate", "fine"]
    pd.testing.assert_frame_equal(found.per_pair, classified.per_pair)
    assert list(found.accuracy_by_k) == ["k", "top1"]
    assert len(found.accuracy_by_k) == len(found.mistakes) == 0
    assert found.neighbours.shape == (50, 0)


@pytest.mark.parametrize("k", [1, 4, 100])
def test_the_nearest_others_are_never_the_image_itself(k: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 2, (30, 1)).astype(np.float32)  # more equal ones than are wanted
    rows = np.array([3, 29, 0])
    found = nearest_others(vectors, rows, k)
    for row, others in zip(rows.tolist(), found.tolist(), strict=True):
        plain = sorted(
            (other for other in range(30) if other != row),
            key=lambda other: (math.dist(vectors[row], vectors[other]), other),
        )
        assert others == plain[:k]


def test_the_hardest_pairs_by_hand() -> None:
    table = pd.DataFrame(
        {
            "same": [True, False, True, False, True, False, False],
            "distance": [0.2, 0.9, 0.8, 0.1, 0.8, 0.5, 0.1],
        }
    )
    assert hardest_pairs(table, 2).tolist() == [[2, 4], [3, 6]]
    assert hardest_pairs(table, 100).tolist() == [[2, 4, 0], [3, 6, 5]]


# The stage.


class StageOfMadeUpData:
    """A folder where `stages/evaluate.py` can run, on 110 made-up images."""

    def __init__(self, path: Path, split: list[str], enrolled: list[bool] | None) -> None:
        """Write the inputs.

        Args:
            path: a folder.
            split: of each of the 110 samples.
            enrolled: likewise; None leaves the column out.
        """
        self.path = path
        shutil.copytree(ROOT / "stages", path / "stages")
        (path / "src").symlink_to(ROOT / "src")
        for name in ("prepared", "duplicates", "model", "embeddings", "pairs"):
            (path / "data" / name).mkdir(parents=True)
        (path / "metrics").mkdir()
        settings: EvaluateParams = params()
        (path / "params.yaml").write_text(yaml.safe_dump({"evaluate": settings.model_dump()}))
        everything = embeddings(110, 0, 1, has_coarse=False)
        samples = pd.DataFrame(
            {
                "sample": everything.samples,
                "split": split,
                "fine": everything.fine,
                "file": "made-up",
            }
        ).assign(coarse=pd.array([None] * 110, dtype="Int64"))
        is_query = samples["split"].to_numpy() == "test"
        if enrolled is not None:
            samples["enrolled"] = enrolled
            is_query = is_query & ~np.array(enrolled)
        images = np.random.default_rng(0).integers(0, 256, (110, 8, 8, 3), dtype=np.uint8)
        dataset = Dataset(images, samples, Classes(tuple("abcdef")))
        save_dataset(dataset, path / "data/prepared")
        for name, rows in (("gallery", ~is_query), ("queries", is_query)):
            part = Embeddings.of(samples, np.flatnonzero(rows), everything.vectors[rows])
            save_embeddings(part, path / "data/embeddings" / f"{name}.parquet")
        queries = part
        near = pd.DataFrame({"sample": queries.samples, "near_duplicate": False})
        save_near_duplicates(near, path / "data/duplicates/near_duplicates.parquet")
        is_novel = np.isin(queries.fine, dataset.novel_classes())
        pairs_by_kind(queries, is_novel).to_parquet(path / "data/pairs/test.parquet", index=False)
        write_json(path / "data/model/verification.json", THRESHOLDS.to_json())
        write_json(path / "metrics/training.json", {"epochs": 1, "best_epoch": 1})
        write_json(path / "metrics/ran_on.json", {"device": "cpu", "precision": "float32"})

    def run(self) -> None:
        stage = [sys.executable, str(self.path / "stages" / "evaluate.py")]
        done = subprocess.run(stage, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def shown(self, floor: dict[str, object]) -> str:
        write_json(self.path / "metrics/floor.json", floor)
        return results_table(self.path)

    def check_files(self) -> None:
        """Make sure that all that dvc.yaml declares is there, pictures with something on them."""
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
    n_enrolled, n_novel = int(enrolled.sum()), int((is_novel & ~enrolled).sum())
    assert novel.startswith(f": {n_novel} of 2 classes, {n_enrolled} more of them enrolled")
    for line in ("gallery of such classes alone, k = 1 ", "pairs: equal error rate", "12.34%"):
        assert line in novel
    with pytest.raises(InputError, match=r"floor\.json: of other splits than evaluation\.json"):
        stage.shown({"verification": floors})
    # Without floors of either kind, the figures stand alone.
    assert "34.56%" not in stage.shown(dict(floors))


def test_the_stage_writes_every_file_where_verification_alone_is_asked(tmp_path: Path) -> None:
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
    assert list(table) == ["sample", "near_duplicate", "fine"]
    assert len(pd.read_csv(metrics / "roc.csv")) > 10
    shown = stage.shown({"verification": {"pixels": 0.1234, "untrained": 0.2345}})
    assert "raw pixels (floor), ROC area                12.34%" in shown
    with pytest.raises(InputError, match=r"floor\.json: of other splits than evaluation\.json"):
        stage.shown({"pixels": 0.1234, "untrained": 0.2345})
    assert "equal error rate" in shown
    for absent in ("k-NN", "Retrieval", "near-duplicate in", "Best classes"):
        assert absent not in shown
