"""The evaluation against plain loops over a made-up gallery."""

import math
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import image as mpimg
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from siamese.base.dataset import Classes, Dataset, save_dataset
from siamese.base.errors import InputError
from siamese.base.files import write_json
from siamese.duplicates.near_duplicate_file import save_near_duplicates
from siamese.embeddings.embedding_file import Embeddings, save_embeddings
from siamese.evaluation.all_pairs import pair_histogram
from siamese.evaluation.evaluate import Evaluation
from siamese.evaluation.evaluate import evaluate as evaluate_queries
from siamese.evaluation.evaluate_params import EvaluateParams
from siamese.evaluation.pictures import (
    RIGHT,
    WRONG,
    draw_confusion,
    draw_mistakes,
    draw_neighbours,
    draw_pairs,
    draw_sentence,
    draw_verification,
)
from siamese.model.calibration import Calibration
from siamese.training.curve import draw_curve
from siamese.training.thresholds import calibrate

N_CLASSES = 6  # in three superclasses: 0 and 1, 2 and 3, 4 and 5


def embeddings(count: int, first_sample: int, seed: int, has_coarse: bool = True) -> Embeddings:
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, N_CLASSES, count)
    centres = np.random.default_rng(0).normal(size=(N_CLASSES, 4))
    vectors = (centres[fine] + rng.normal(size=(count, 4))).astype(np.float32)
    coarse = fine // 2 if has_coarse else None
    return Embeddings(np.arange(count) + first_sample, fine, coarse, vectors)


def params(**changes: object) -> EvaluateParams:
    values: dict[str, object] = {
        "k": [1, 5],
        "vote_k": 5,
        "temperature": 0.1,
        "curve_k": [1, 3, 10],
        "sheet_queries": 2,
        "sheet_neighbours": 3,
        "resamples": 100,
        "seed": 0,
    }
    return EvaluateParams(**(values | changes))  # type: ignore[arg-type]


def drawn_pairs(queries: Embeddings) -> pd.DataFrame:
    ends = np.random.default_rng(5).permutation(queries.samples)[:40].reshape(2, 20)
    fine = dict(zip(queries.samples.tolist(), queries.fine.tolist(), strict=True))
    same = [fine[a] == fine[b] for a, b in ends.T.tolist()]
    return pd.DataFrame({"left": ends[0], "right": ends[1], "same": same})


THRESHOLDS: Calibration = calibrate(np.array([0.5, 1.5, 2.5]), np.array([True, True, False]))


def evaluate(
    gallery: Embeddings,
    queries: Embeddings,
    pairs: pd.DataFrame,
    calibration: Calibration,
    params: EvaluateParams,
) -> Evaluation:
    """Every third query has a near-duplicate, none is novel."""
    near_duplicate = np.arange(len(queries.samples)) % 3 == 0
    novel = np.zeros(len(queries.samples), dtype=bool)
    return evaluate_queries(gallery, queries, near_duplicate, novel, pairs, calibration, params)


def plain_neighbours(gallery: Embeddings, query: np.ndarray) -> list[int]:
    """All gallery rows, nearest first."""
    distances = [math.dist(vector, query) for vector in gallery.vectors.tolist()]
    return sorted(range(len(distances)), key=lambda row: (distances[row], row))


def plain_vote(gallery: Embeddings, rows: list[int], weights: list[float]) -> list[int]:
    """The classes, most votes first, among equals the one of the nearest voter."""
    votes: Counter[int] = Counter()
    for row, weight in zip(rows, weights, strict=True):
        votes[int(gallery.fine[row])] += weight  # type: ignore[assignment]
    return [label for label, _ in votes.most_common()]  # keeps the order of first votes


def plain_average_precision(gallery: Embeddings, rows: list[int], label: int) -> float:
    """AP@R, rank by rank."""
    relevant = sum(int(other) == label for other in gallery.fine)
    total = found = 0.0
    for rank, row in enumerate(rows[:relevant], start=1):
        if int(gallery.fine[row]) == label:
            found += 1
            total += found / rank
    return total / relevant


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (math.hypot(*a) * math.hypot(*b)))


def test_every_figure_equals_a_plain_loop() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    pairs = drawn_pairs(queries)
    found = evaluate(gallery, queries, pairs, THRESHOLDS, params())
    right: Counter[str] = Counter()
    clean: list[bool] = []
    precisions: list[float] = []
    for query, label in zip(queries.vectors, queries.fine.tolist(), strict=True):
        rows = plain_neighbours(gallery, query)
        for k in (1, 5, 3, 10):
            right[f"k{k}"] += plain_vote(gallery, rows[:k], [1.0] * k)[0] == label
        weights = [math.exp(cosine(query, gallery.vectors[row]) / 0.1) for row in rows[:5]]
        right["weighted"] += plain_vote(gallery, rows[:5], weights)[0] == label
        ranking = plain_vote(gallery, rows[:5], [1.0] * 5)
        right["top5"] += label in ranking[:5]
        right["coarse"] += ranking[0] // 2 == label // 2
        clean.append(ranking[0] == label)
        precisions.append(plain_average_precision(gallery, rows, label))
    assert set(found.metrics["knn"]) == {"k1", "k5", "weighted", "top5", "coarse", "k5_clean"}
    for name in set(found.metrics["knn"]) - {"k5_clean"}:
        assert found.metrics["knn"][name] == pytest.approx(right[name] / 50), name
    clean = [is_right for row, is_right in enumerate(clean) if row % 3 != 0]
    assert found.metrics["knn"]["k5_clean"] == pytest.approx(np.mean(clean), abs=5e-5)
    assert found.metrics["retrieval"]["map_at_r"] == pytest.approx(np.mean(precisions), abs=5e-5)
    assert found.accuracy_by_k["top1"].tolist() == [right[f"k{k}"] / 50 for k in (1, 3, 10)]

    by_sample = dict(zip(queries.samples.tolist(), queries.vectors, strict=True))
    decided = [
        (math.dist(by_sample[row.left], by_sample[row.right]) <= THRESHOLDS.accuracy_threshold)
        == row.same
        for row in pairs.itertuples()
    ]
    is_same = pairs["same"].to_numpy()
    rates = [np.mean(np.array(decided)[is_same]), np.mean(np.array(decided)[~is_same])]
    assert found.metrics["verification"]["accuracy"] == pytest.approx(np.mean(rates), abs=1e-4)


def test_the_tables_of_outcomes_give_the_figures_back() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    pairs = drawn_pairs(queries)
    found = evaluate(gallery, queries, pairs, THRESHOLDS, params())
    table = found.per_query
    assert table["sample"].tolist() == queries.samples.tolist()
    for name in ("k1", "k5", "weighted", "top5", "coarse"):
        assert found.metrics["knn"][name] == pytest.approx(table[name].mean())
    clean = table[~table["near_duplicate"]]
    assert found.metrics["knn"]["k5_clean"] == pytest.approx(clean["k5"].mean(), abs=5e-5)
    map_at_r = table["average_precision"].mean()
    assert found.metrics["retrieval"]["map_at_r"] == pytest.approx(map_at_r, abs=5e-5)
    assert ((table["predicted"] == table["fine"]) == table["k5"]).all()
    assert found.per_pair[["left", "right", "same"]].equals(pairs)
    distances, same = found.per_pair["distance"], found.per_pair["same"]
    assert found.metrics["verification"]["auc"] == pytest.approx(
        roc_auc_score(same, -distances), abs=5e-5
    )


def test_every_figure_has_an_interval_that_holds_it() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    found = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params())
    figures = {
        f"{group}.{name}": value
        for part in (found.metrics, {"retrieval": found.details["retrieval"]})
        for group, values in part.items()
        for name, value in values.items()
    }
    assert set(found.details["intervals"]) == set(figures)
    for name, (low, high) in found.details["intervals"].items():
        assert 0 <= low <= figures[name] <= high <= 1, name
        assert low < high, name
    again = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params())
    assert again.details == found.details
    other = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params(seed=1))
    assert other.details["intervals"] != found.details["intervals"]
    assert other.metrics == found.metrics


def test_the_low_rates_rest_on_all_pairs_of_queries() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    details = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params()).details
    found = details["verification"]
    first, second = np.triu_indices(50, 1)
    same = queries.fine[first] == queries.fine[second]
    distances = np.linalg.norm(queries.vectors[first] - queries.vectors[second], axis=1)
    assert (found["like_pairs"], found["unlike_pairs"]) == (same.sum(), (~same).sum())
    for name, far in (("tar_at_far_1%", 0.01), ("tar_at_far_0.1%", 0.001)):
        limit = np.sort(distances[~same])[int(far * (~same).sum())]
        assert found[name] == pytest.approx(np.mean(distances[same] < limit), abs=5e-5)


def test_a_rate_that_is_less_than_one_pair_is_left_out() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(40, 500, 2)
    found = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params())
    verification = found.details["verification"]
    assert 100 < verification["unlike_pairs"] < 1000
    assert "tar_at_far_1%" in verification
    assert "tar_at_far_0.1%" not in verification


def test_mistakes_come_with_the_most_votes_first() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    found = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params())
    order = []
    for row, query in enumerate(queries.vectors):
        rows = plain_neighbours(gallery, query)
        winner = plain_vote(gallery, rows[:5], [1.0] * 5)[0]
        if winner != queries.fine[row]:
            votes = sum(int(gallery.fine[other]) == winner for other in rows[:5])
            order.append((-votes, math.dist(gallery.vectors[rows[0]], query), row))
    assert found.mistakes.tolist() == [row for _, _, row in sorted(order)]


def test_without_a_clean_query_there_is_no_figure_of_them() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    every, none = np.ones(50, dtype=bool), np.zeros(50, dtype=bool)
    found = evaluate_queries(
        gallery, queries, every, none, drawn_pairs(queries), THRESHOLDS, params()
    )
    assert "k5_clean" not in found.metrics["knn"]
    assert "knn.k5_clean" not in found.details["intervals"]


def test_a_vote_that_is_no_headline_has_a_column_all_the_same() -> None:
    gallery, queries = embeddings(60, 100, 1), embeddings(50, 500, 2)
    found = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params(k=[1]))
    assert "k5" not in found.metrics["knn"]
    clean = found.per_query[~found.per_query["near_duplicate"]]
    assert found.metrics["knn"]["k5_clean"] == pytest.approx(clean["k5"].mean(), abs=5e-5)


def test_data_without_superclasses_have_no_such_figure() -> None:
    gallery, queries = embeddings(60, 0, 1, False), embeddings(50, 500, 2, False)
    found = evaluate(gallery, queries, drawn_pairs(queries), THRESHOLDS, params())
    assert "coarse" not in found.metrics["knn"]


def test_a_tiny_temperature_is_the_nearest_neighbours_vote() -> None:
    gallery, queries = embeddings(60, 0, 1), embeddings(50, 500, 2)
    unit = Embeddings(
        gallery.samples,
        gallery.fine,
        gallery.coarse,
        gallery.vectors / np.linalg.norm(gallery.vectors, axis=1, keepdims=True),
    )
    lengths = np.linalg.norm(queries.vectors, axis=1, keepdims=True)
    asked = Embeddings(queries.samples, queries.fine, queries.coarse, queries.vectors / lengths)
    found = evaluate(unit, asked, drawn_pairs(asked), THRESHOLDS, params(temperature=1e-9))
    assert found.metrics["knn"]["weighted"] == found.metrics["knn"]["k1"]


def test_more_neighbours_than_the_gallery_has_are_refused() -> None:
    queries = embeddings(50, 500, 2)
    with pytest.raises(InputError, match="asks for 100 neighbours, but the gallery has only 60"):
        evaluate(
            embeddings(60, 0, 1),
            queries,
            drawn_pairs(queries),
            THRESHOLDS,
            params(curve_k=[1, 100]),
        )


@pytest.mark.parametrize("value", [[], [0, 1], [5, 1], [1, 1]])
def test_a_list_of_k_that_makes_no_sense_is_refused(value: list[int]) -> None:
    with pytest.raises(ValueError, match="k"):
        params(k=value)


def test_a_seed_out_of_range_is_refused() -> None:
    assert params(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(ValueError, match="less than 4294967296"):
        params(seed=2**32)


def test_pictures_are_drawn_and_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["one", "two_$words$_$"]
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "like_distance": [0.5, 0.2],
            "unlike_distance": [0.8, 1.0],
            "spread": [0.5, 0.7],
            "validation_loss": [0.3, 0.1],
            "validation_knn": [0.2, 0.4],
        }
    )
    queries = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    neighbours = rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    pairs = pair_histogram(rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 3)
    for folder in (tmp_path / "first", tmp_path / "again"):
        folder.mkdir()
        draw_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), names, folder / "confusion.png")
        draw_neighbours(queries, names, neighbours, [names[:1] * 3] * 2, folder / "sheet.png")
        draw_curve(history, folder / "training.png")
        cells = (queries, names, neighbours, [names[:1] * 3] * 2)
        draw_mistakes(*cells, names[::-1], folder / "mistakes.png")
        draw_mistakes(queries[:0], [], neighbours[:0], [], [], folder / "none.png")
        draw_verification(pairs.roc(), pairs.distances(), folder / "verification.png")
        members = np.stack([queries, queries])[:, :, None].repeat(2, axis=2)
        draw_pairs(members, [names] * 4, np.ones((2, 2)), 1.0, folder / "pairs.png")
        draw_sentence("there is nothing to draw", folder / "sentence.png")
        draw_curve(history.drop(columns="validation_knn"), folder / "no_knn.png")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
        pixels = mpimg.imread(file)
        assert pixels.shape[0] > 100
        assert pixels.std() > 0.05, "it is not blank"


@pytest.mark.parametrize("name", ["猫头鹰", "a_class_whose_name_is_a_sentence_of_" + "words_" * 10])
def test_any_name_of_a_class_is_drawn_without_a_warning(
    tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    images = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    draw_confusion(np.array([0, 1]), np.array([1, 1]), [name, "b"], tmp_path / "confusion.png")
    draw_mistakes(images, [name], images[None], [[name]], [name], tmp_path / "mistakes.png")
    members = np.zeros((2, 1, 2, 8, 8, 3), dtype=np.uint8)
    draw_pairs(members, [[name] * 2] * 2, np.ones((2, 1)), 1.0, tmp_path / "pairs.png")
    assert [str(warning.message) for warning in recwarn] == []
    for file in tmp_path.iterdir():
        assert max(mpimg.imread(file).shape) < 1500, "a long name makes no vast picture"


def test_the_confusion_picture_shows_shares_of_the_actual_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    shown: list[np.ndarray] = []
    original = Axes.imshow

    def spy(self: Axes, data: np.ndarray, *args: object, **kwargs: object) -> object:
        shown.append(np.asarray(data))
        return original(self, data, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "imshow", spy)
    draw_confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["a", "b"], tmp_path / "c.png")
    np.testing.assert_allclose(shown[0], np.array([[2 / 3, 1 / 3], [0, 1]]))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn in a test, as they were saved."""
    saved: list[Figure] = []
    original = Figure.savefig

    def spy(self: Figure, *args: object, **kwargs: object) -> None:
        saved.append(self)
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_a_headline_is_whole_however_few_the_columns(
    k: int, figures: list[Figure], tmp_path: Path
) -> None:
    queries, neighbours = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, k, 8, 8, 3), np.uint8)
    cells = (queries, ["one", "two"], neighbours, [["one"] * k] * 2)
    draw_neighbours(*cells, tmp_path / "n.png", "among the other test images")
    draw_mistakes(*cells, ["two", "one"], tmp_path / "m.png")
    for figure in figures:
        headline = figure.get_suptitle()
        assert ("\n" in headline) == (k < 9)
        box = figure.texts[0].get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        highest = max(axes.get_tightbbox().y1 for axes in figure.axes)  # type: ignore[union-attr]
        assert highest <= box.y0, "it hides no image"


def test_a_confusion_picture_of_many_classes_is_no_larger_than_one_of_few(
    figures: list[Figure], tmp_path: Path
) -> None:
    for n_classes in (60, 61, 500, 1001):
        labels = np.arange(n_classes)
        names = [f"class {label}" for label in labels]
        draw_confusion(labels, labels[::-1], names, tmp_path / "confusion.png")
    named, *others, sentence = figures
    assert not sentence.axes
    assert "1,001 classes are too many to draw" in sentence.texts[0].get_text()
    assert len(named.axes[0].get_xticklabels()) == len(named.axes[0].texts) == 60
    for figure in others:
        assert not figure.axes[0].get_xticklabels()
        assert not figure.axes[0].texts
        assert max(figure.get_size_inches()) < 10


def test_a_pair_is_red_where_the_threshold_decides_wrong(
    figures: list[Figure], tmp_path: Path
) -> None:
    images = np.zeros((2, 2, 2, 8, 8, 3), np.uint8)
    distances = np.array([[1.5, 1.0], [0.2, 1.1]])  # like pairs, then unlike ones
    draw_pairs(
        images, [["a", "a"], ["b", "b"], ["a", "b"], ["b", "c"]], distances, 1.0, tmp_path / "p"
    )
    shown = {
        axes.get_ylabel(): (axes.yaxis.label.get_color(), axes.get_title())
        for axes in figures[0].axes
        if axes.get_ylabel()
    }
    assert shown == {
        "1.500 apart": (WRONG, "a"),
        "0.200 apart": (WRONG, "a"),
        "1.000 apart": (RIGHT, "b"),
        "1.100 apart": (RIGHT, "b"),
    }


def test_the_stage_names_the_file_that_it_misses(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    shutil.copytree(root / "stages", tmp_path / "stages")
    (tmp_path / "src").symlink_to(root / "src")
    prepared, model = tmp_path / "data" / "prepared", tmp_path / "data" / "model"
    duplicates = tmp_path / "data" / "duplicates"
    for folder in (prepared, duplicates, model, tmp_path / "data" / "embeddings"):
        folder.mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"evaluate": params().model_dump()}))
    gallery = embeddings(30, first_sample=0, seed=1)
    samples = pd.DataFrame(
        {"sample": gallery.samples, "split": "train", "fine": gallery.fine, "file": "made-up"}
    ).assign(coarse=gallery.coarse)
    images = np.zeros((30, 1, 1, 3), np.uint8)
    save_dataset(Dataset(images, samples, Classes(tuple("abcdef"))), prepared)
    for name in ("gallery", "queries"):
        save_embeddings(gallery, tmp_path / "data" / "embeddings" / f"{name}.parquet")
    found = pd.DataFrame({"sample": gallery.samples, "near_duplicate": False})
    save_near_duplicates(found, duplicates / "near_duplicates.parquet")

    def sentence() -> str:
        stage = [sys.executable, str(tmp_path / "stages" / "evaluate.py")]
        done = subprocess.run(stage, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr

    missing = "no such file; `dvc repro train` makes it\n"
    assert sentence() == f"evaluate: data/model/verification.json: {missing}"
    write_json(model / "verification.json", THRESHOLDS.to_json())
    missing = missing.replace("train", "pairs")
    assert sentence() == f"evaluate: data/pairs/test.parquet: {missing}"
