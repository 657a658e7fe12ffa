"""Test images of never-seen classes, searched for among one another as the benchmarks do.

The figures are compared with pytorch-metric-learning's, and with a plain loop.
"""

import math

import numpy as np
import pandas as pd
import pytest
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation import judgement
from siamese.evaluation.evaluate import Evaluation
from tests.support.made_up_embeddings import N_CLASSES, NOVEL, MadeUpSplit

THEIRS = {
    "recall_at_1": "precision_at_1",
    "map_at_r": "mean_average_precision_at_r",
    "r_precision": "r_precision",
}


def all_novel(lone: tuple[int, ...] = ()) -> MadeUpSplit:
    """A test split of classes that the gallery lacks.

    Args:
        lone: rows of queries that are the only ones of their class.
    """
    made = MadeUpSplit()
    fine = made.queries.fine + N_CLASSES
    fine[list(lone)] = 2 * N_CLASSES + np.arange(len(lone))
    made.queries = Embeddings(made.queries.samples, fine, None, made.queries.vectors)
    made.is_novel = np.ones(50, dtype=bool)
    same = fine[made.pairs[["left", "right"]].to_numpy() - made.queries.samples[0]]
    made.pairs["same"] = same[:, 0] == same[:, 1]
    return made


def by_pytorch_metric_learning(
    queries: np.ndarray, labels: np.ndarray, images: np.ndarray, image_labels: np.ndarray
) -> dict[str, float]:
    """Measure queries among images that begin with them."""
    calculator = AccuracyCalculator(include=tuple(THEIRS.values()))
    found = calculator.get_accuracy(queries, labels, images, image_labels, ref_includes_query=True)
    return {ours: found[theirs] for ours, theirs in THEIRS.items()}


def plain_search(images: Embeddings, row: int) -> tuple[list[bool], int]:
    """Whether the others, nearest first, are of the class of one image; how many are."""
    others = [other for other in range(len(images.samples)) if other != row]
    others.sort(key=lambda other: (math.dist(images.vectors[row], images.vectors[other]), other))
    is_right = [bool(images.fine[other] == images.fine[row]) for other in others]
    return is_right, sum(is_right)


def plain_average_precision(is_right: list[bool], relevant: int) -> float:
    hits = [rank for rank in range(1, relevant + 1) if is_right[rank - 1]]
    return sum(sum(is_right[:rank]) / rank for rank in hits) / relevant


def retrieval_of(found: Evaluation) -> dict[str, float]:
    return found.metrics["retrieval"] | found.details["retrieval"]


@pytest.mark.parametrize("lone", [(), (3, 17)])
def test_queries_of_new_classes_are_searched_for_as_pytorch_metric_learning_does(
    lone: tuple[int, ...],
) -> None:
    made = all_novel(lone)
    found, queries = made.evaluate(), made.queries
    ours = retrieval_of(found)
    assert set(ours) == {*THEIRS, "recall_at_10"}
    theirs = by_pytorch_metric_learning(*[queries.vectors, queries.fine] * 2)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=5e-5), name
    searched = {row: plain_search(queries, row) for row in range(50) if row not in lone}
    assert ours["recall_at_10"] == pytest.approx(
        np.mean([any(is_right[:10]) for is_right, _ in searched.values()]), abs=5e-5
    )
    table = found.per_query
    assert np.flatnonzero(~table["findable"]).tolist() == list(lone)
    assert found.details["findable"] == {"queries": 50 - len(lone), "of": 50}
    for row, (is_right, relevant) in searched.items():
        assert table["recall_at_1"][row] == is_right[0]
        assert table["recall_at_10"][row] == any(is_right[:10])
        assert table["r_precision"][row] == pytest.approx(np.mean(is_right[:relevant]))
        plain = plain_average_precision(is_right, relevant)
        assert table["average_precision"][row] == pytest.approx(plain)


def test_novel_queries_are_searched_for_among_all_test_images_of_novel_classes() -> None:
    made = MadeUpSplit(NOVEL)
    # A class of one image; and by sample the gallery stands between queries.
    made.queries.fine[np.flatnonzero(made.is_novel)[2]] = N_CLASSES
    made.gallery = Embeddings(
        made.gallery.samples + 515, made.gallery.fine, made.gallery.coarse, made.gallery.vectors
    )
    made.queries = Embeddings(
        np.append(made.queries.samples[:15], made.queries.samples[15:] + 500),
        made.queries.fine,
        made.queries.coarse,
        made.queries.vectors,
    )
    members = made.pairs[["left", "right"]]
    made.pairs[["left", "right"]] = members.where(members < 515, members + 500)
    found = made.evaluate()
    novel, enrolled = made.is_novel, made.enrolled
    vectors = made.queries.vectors[novel], made.gallery.vectors[enrolled]
    labels = made.queries.fine[novel], made.gallery.fine[enrolled]
    theirs = by_pytorch_metric_learning(
        vectors[0], labels[0], np.concatenate(vectors), np.concatenate(labels)
    )
    for name in ("recall_at_1", "map_at_r"):
        assert found.metrics["novel"][name] == pytest.approx(theirs[name], abs=5e-5), name
    assert found.metrics["novel"]["recall_at_1"] != found.metrics["novel"]["alone_k1"]
    assert found.details["findable"] == {"queries": novel.sum() - 1, "of": novel.sum()}
    table = found.per_query
    both = Embeddings(
        np.arange(len(np.concatenate(labels))),
        np.concatenate(labels),
        None,
        np.concatenate(vectors),
    )
    for number, row in enumerate(np.flatnonzero(novel)):
        is_right, relevant = plain_search(both, number)
        assert table["novel_findable"][row] == (relevant > 0)
        assert table["novel_recall_at_1"][row] == is_right[0]
        plain = plain_average_precision(is_right, relevant) if relevant else 0
        assert table["novel_average_precision"][row] == pytest.approx(plain)


def test_their_intervals_rest_on_the_images_that_can_be_found() -> None:
    found = all_novel(lone=(3, 17)).evaluate()
    rng = np.random.default_rng(0)
    columns = {"recall_at_1": "recall_at_1", "map_at_r": "average_precision"}
    drawn: dict[str, list[float]] = {name: [] for name in columns}
    for _ in range(100):
        images = [row for row in rng.integers(50, size=50).tolist() if row not in (3, 17)]
        for name, column in columns.items():
            drawn[name].append(float(np.mean([found.per_query[column][row] for row in images])))
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert low < found.metrics["retrieval"][name] < high
        interval = found.details["intervals"][f"retrieval.{name}"]
        assert interval == pytest.approx([low, high], abs=6e-5), name
    assert {"retrieval.recall_at_10", "retrieval.r_precision"} < set(found.details["intervals"])


def test_the_search_in_parts_is_the_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = all_novel(lone=(3,))
    whole = made.evaluate()
    monkeypatch.setattr(judgement, "QUERIES_AT_ONCE", 7)
    pd.testing.assert_frame_equal(made.evaluate().per_query, whole.per_query)
    monkeypatch.setattr(judgement, "NEIGHBOURS_AT_ONCE", 1)
    pd.testing.assert_frame_equal(made.evaluate().per_query, whole.per_query)


def test_of_equal_embeddings_none_finds_itself() -> None:
    made = all_novel()
    made.queries.vectors[:] = 1
    # The first row is the nearest of all others, the second that of the first.
    nearest = made.queries.fine[[1, *[0] * 49]]
    expected = (nearest == made.queries.fine).tolist()
    assert made.evaluate().per_query["recall_at_1"].tolist() == expected
