"""The pictures: what they show, and that equal data give equal bytes."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image as mpimg
from matplotlib.figure import Figure
from scipy.stats import norm

from siamese.base.dataset import Classes, Dataset
from siamese.evaluation.pair_histogram import pair_histogram
from siamese.evaluation.picture_set import draw_evaluation
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_pairs,
    draw_rows,
    draw_sentence,
    draw_verification,
)
from siamese.pictures.style import RIGHT, WRONG
from siamese.training.curve import draw_curve
from tests.support.made_up_embeddings import MadeUpSplit, params, with_forgeries


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
            "validation_eer": [0.3, 0.2],
        }
    )
    rows = rng.integers(0, 256, (2, 4, 8, 8, 3), dtype=np.uint8)
    row_names = np.array([names[:1] * 4, names * 2])
    pairs = pair_histogram(rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 3)
    for folder in (tmp_path / "first", tmp_path / "again"):
        folder.mkdir()
        draw_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), names, folder / "confusion.png")
        draw_rows(rows, row_names, "a headline", folder / "sheet.png")
        draw_curve(history, folder / "training.png")
        draw_rows(rows, row_names, "a headline", folder / "mistakes.png", ["one", "two"])
        draw_verification(pairs.roc(), pairs.distances(), folder / "verification.png")
        members, pair_names = rows.reshape(2, 2, 2, 8, 8, 3), row_names.reshape(2, 2, 2)
        draw_pairs(members, pair_names, np.ones((2, 2)), 1.0, folder / "pairs.png")
        draw_sentence("there is nothing to draw", folder / "sentence.png")
        draw_curve(history.drop(columns="validation_knn"), folder / "no_knn.png")
        draw_curve(history, folder / "eer.png", "eer")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
        pixels = mpimg.imread(file)
        assert pixels.shape[0] > 100
        assert pixels.std() > 0.05, "it is not blank"


@pytest.mark.parametrize("name", ["猫头鹰", "a_class_whose_name_is_a_sentence_of_" + "words_" * 10])
def test_any_name_of_a_class_is_drawn_without_a_warning(
    tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    draw_confusion(np.array([0, 1]), np.array([1, 1]), [name, "b"], tmp_path / "confusion.png")
    images, names = np.zeros((2, 1, 2, 8, 8, 3), np.uint8), np.full((2, 1, 2), name)
    draw_rows(images[0], names[0], "a headline", tmp_path / "rows.png")
    draw_pairs(images, names, np.ones((2, 1)), 1.0, tmp_path / "pairs.png")
    assert [str(warning.message) for warning in recwarn] == []
    for file in tmp_path.iterdir():
        assert max(mpimg.imread(file).shape) < 1500, "a long name makes no vast picture"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The pictures that a test draws, as they are saved."""
    saved: list[Figure] = []
    original = Figure.savefig

    def spy(self: Figure, *args: object, **kwargs: object) -> None:
        saved.append(self)
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


@pytest.mark.parametrize("size", [(8, 8), (8, 24)])
def test_long_names_beside_rows_do_not_meet(
    size: tuple[int, int], drawn: list[Figure], tmp_path: Path
) -> None:
    images, names = np.zeros((3, 4, *size, 3), np.uint8), np.full((3, 4), "a")
    labels = ["taken for\nGod-Morgon-Orange-Juice", "taken for\n" + "wide" * 10, "taken for\nb"]
    draw_rows(images, names, "a headline", tmp_path / "rows.png", labels)
    beside = [axes.yaxis.label for axes in drawn[0].axes if axes.get_ylabel()]
    assert [text.get_text() for text in beside] == labels
    boxes = [text.get_window_extent() for text in beside]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_the_confusion_picture_shows_shares_of_the_actual_class(
    drawn: list[Figure], tmp_path: Path
) -> None:
    draw_confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["a", "b"], tmp_path / "c.png")
    shown = drawn[0].axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.array([[2 / 3, 1 / 3], [0, 1]]))  # type: ignore[arg-type]


def test_without_a_mistake_a_sentence_says_so(drawn: list[Figure], tmp_path: Path) -> None:
    made = MadeUpSplit()
    found = made.evaluate()
    assert found.judgement is not None
    judgement = replace(found.judgement, mistakes=np.zeros(0, dtype=np.int64))
    samples = pd.DataFrame({"fine": np.zeros(600, dtype=np.int64)})
    images = np.zeros((600, 8, 8, 3), np.uint8)
    dataset = Dataset(images, samples, Classes(tuple("abcdef"), tuple("xyz")))
    draw_evaluation(
        replace(found, judgement=judgement), made.gallery, made.queries, dataset, params(), tmp_path
    )
    texts = [picture.texts[0].get_text() for picture in drawn if picture.texts]
    assert texts[-1] == "No test image was classified wrong"
    assert [label.get_text() for label in drawn[0].axes[0].get_xticklabels()] == ["x", "y", "z"]


def test_cells_have_the_shape_of_the_images(drawn: list[Figure], tmp_path: Path) -> None:
    images, names = np.zeros((2, 3, 8, 24, 3), np.uint8), np.full((2, 3), "one")
    draw_rows(images, names, "a headline", tmp_path / "rows.png")
    pairs = images[:, :2, None].repeat(2, axis=2)  # (2, 2, 2, 8, 24, 3)
    draw_pairs(pairs, np.full((2, 2, 2), "one"), np.ones((2, 2)), 1.0, tmp_path / "pairs.png")
    for picture in drawn:
        shown = [axes.get_position() for axes in picture.axes if axes.images]
        assert sum(box.width * box.height for box in shown) > 0.3, "a third is image"


@pytest.mark.parametrize("k", [1, 4, 9])
def test_a_headline_is_whole_however_few_the_columns(
    k: int, drawn: list[Figure], tmp_path: Path
) -> None:
    headline = "A headline that is as long as the longest: " + 13 * "a word "
    draw_rows(
        np.zeros((1, 1 + k, 8, 8, 3), np.uint8),
        np.full((1, 1 + k), "one"),
        headline,
        tmp_path / "rows.png",
    )
    for picture in drawn:
        assert picture.get_suptitle().split() == headline.split()
        assert ("\n" in picture.get_suptitle()) == (k < 9)
        box = picture.texts[0].get_window_extent()
        assert picture.bbox.x0 <= box.x0
        assert box.x1 <= picture.bbox.x1
        assert box.y1 <= picture.bbox.y1
        highest = max(axes.get_tightbbox().y1 for axes in picture.axes)  # type: ignore[union-attr]
        assert highest <= box.y0, "it hides no image"


def test_a_confusion_picture_of_many_classes_is_no_larger_than_one_of_few(
    drawn: list[Figure], tmp_path: Path
) -> None:
    for n_classes in (60, 61, 1001):
        labels = np.arange(n_classes)
        names = [f"class {label}" for label in labels]
        draw_confusion(labels, labels[::-1], names, tmp_path / "confusion.png")
    named, *others, sentence = drawn
    assert not sentence.axes
    assert "1,001 classes are too many to draw" in sentence.texts[0].get_text()
    assert len(named.axes[0].get_xticklabels()) == len(named.axes[0].texts) == 60
    for picture in others:
        assert not picture.axes[0].get_xticklabels()
        assert not picture.axes[0].texts
        assert max(picture.get_size_inches()) < 10


def test_forgeries_are_drawn_beside_all_other_pairs(drawn: list[Figure], tmp_path: Path) -> None:
    made = with_forgeries()
    found = made.evaluate()
    assert found.skilled
    draw_verification(found.roc, found.distances, tmp_path / "v.png", found.skilled)
    rates, errors, histogram = drawn[0].axes
    labels = [line.get_label() for line in rates.get_lines()]
    assert labels == ["all pairs of test images", "against forgeries", "chance"]
    np.testing.assert_array_equal(rates.get_lines()[1].get_ydata(), found.skilled.roc()["tar"])
    for line, curve in zip(errors.get_lines(), (found.roc, found.skilled.roc()), strict=False):
        far, frr = norm.cdf(np.asarray(line.get_data(), float))
        expected = curve[(curve["far"] > 0) & (curve["far"] < 1) & (curve["tar"] < 1)]
        expected = expected[expected["tar"] > 0]
        np.testing.assert_allclose(far, expected["far"])
        np.testing.assert_allclose(1 - frr, expected["tar"])
    assert [line.get_label() for line in histogram.get_lines()][-1] == "forgeries"


def test_forgeries_are_the_mistakes_that_are_drawn(drawn: list[Figure], tmp_path: Path) -> None:
    made = with_forgeries()
    assert made.forged is not None
    found = replace(made.evaluate(), judgement=None)
    n_samples = 1 + int(max(made.queries.samples.max(), made.forged.samples.max()))
    samples = pd.DataFrame({"fine": np.zeros(n_samples, dtype=np.int64), "forged": False})
    samples.loc[made.forged.samples, "forged"] = True
    images = np.zeros((n_samples, 8, 8, 3), np.uint8)
    dataset = Dataset(images, samples, Classes(("Ann",)))
    draw_evaluation(found, made.gallery, made.queries, dataset, params(), tmp_path)
    [pairs] = [one for one in drawn if one.texts and "farthest apart" in one.texts[0].get_text()]
    headline = " ".join(pairs.texts[0].get_text().split())
    assert "the forgeries that are nearest to what they pretend to be (right)" in headline
    titles = np.reshape([axes.get_title() for axes in pairs.axes], (-1, 5))
    assert {tuple(row) for row in titles} == {("Ann", "Ann", "", "Ann", "Ann, forged")}


def test_a_pair_is_red_where_the_threshold_decides_wrong(
    drawn: list[Figure], tmp_path: Path
) -> None:
    images = np.zeros((2, 2, 2, 8, 8, 3), np.uint8)
    distances = np.array([[1.5, 1.0], [0.2, 1.1]])  # like pairs, then unlike ones
    names = np.array([[["a", "a"], ["b", "b"]], [["a", "b"], ["b", "c"]]])
    draw_pairs(images, names, distances, 1.0, tmp_path / "p")
    shown = {
        axes.get_ylabel(): (axes.yaxis.label.get_color(), axes.get_title())
        for axes in drawn[0].axes
        if axes.get_ylabel()
    }
    assert shown == {
        "1.500 apart": (WRONG, "a"),
        "0.200 apart": (WRONG, "a"),
        "1.000 apart": (RIGHT, "b"),
        "1.100 apart": (RIGHT, "b"),
    }
