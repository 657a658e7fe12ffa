"""The pictures: what they show, and that equal data give equal bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image as mpimg
from matplotlib.figure import Figure

from siamese.evaluation.pair_histogram import pair_histogram
from siamese.evaluation.pictures import (
    draw_confusion,
    draw_mistakes,
    draw_neighbours,
    draw_pairs,
    draw_sentence,
    draw_verification,
)
from siamese.pictures.style import RIGHT, WRONG
from siamese.training.curve import draw_curve


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
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The pictures that a test draws, as they are saved."""
    saved: list[Figure] = []
    original = Figure.savefig

    def spy(self: Figure, *args: object, **kwargs: object) -> None:
        saved.append(self)
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


@pytest.mark.parametrize("k", [1, 4, 9])
def test_a_headline_is_whole_however_few_the_columns(
    k: int, drawn: list[Figure], tmp_path: Path
) -> None:
    queries, neighbours = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, k, 8, 8, 3), np.uint8)
    cells = (queries, ["one"], neighbours, [["one"] * k])
    draw_neighbours(*cells, tmp_path / "n.png", "among the other test images")
    draw_mistakes(*cells, ["two"], tmp_path / "m.png")
    for picture in drawn:
        headline = picture.get_suptitle()
        assert ("\n" in headline) == (k < 9)
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


def test_a_pair_is_red_where_the_threshold_decides_wrong(
    drawn: list[Figure], tmp_path: Path
) -> None:
    images = np.zeros((2, 2, 2, 8, 8, 3), np.uint8)
    distances = np.array([[1.5, 1.0], [0.2, 1.1]])  # like pairs, then unlike ones
    draw_pairs(
        images, [["a", "a"], ["b", "b"], ["a", "b"], ["b", "c"]], distances, 1.0, tmp_path / "p"
    )
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
