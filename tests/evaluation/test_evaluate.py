"""The evaluation against plain loops over a made-up gallery."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.figures import find_figure
from siamese.evaluation.picture_set import hardest_pairs
from siamese.measures.verification import equal_error_rate, error_rates
from tests.support.made_up_embeddings import (
    N_CLASSES,
    NOVEL,
    THRESHOLDS,
    MadeUpSplit,
    params,
    plain_neighbours,
    plain_vote,
    with_forgeries,
)

IS_NOVEL = {"seen": False, "novel": True}


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
    made = MadeUpSplit()
    gallery, queries, pairs = made.gallery, made.queries, made.pairs
    found = made.evaluate()
    right: Counter[str] = Counter()
    voted: list[bool] = []
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
        voted.append(ranking[0] == label)
        precisions.append(plain_average_precision(gallery, rows, label))
    whole = {"k1", "k5", "weighted", "top5", "coarse"}
    assert set(found.metrics["knn"]) == {*whole, "k5_no_copies", "k5_clean"}
    for name in whole:
        assert found.metrics["knn"][name] == pytest.approx(right[name] / 50), name
    for name, left_out in (("k5_no_copies", 6), ("k5_clean", 3)):  # every so many
        asked = [is_right for row, is_right in enumerate(voted) if row % left_out != 0]
        assert found.metrics["knn"][name] == pytest.approx(np.mean(asked), abs=5e-5)
    assert found.details["copies"] == {"queries": 9, "of": 50}
    assert found.details["near_duplicates"] == {"queries": 17, "of": 50}
    assert found.metrics["retrieval"]["map_at_r"] == pytest.approx(np.mean(precisions), abs=5e-5)
    assert found.judgement is not None
    assert found.judgement.accuracy_by_k["top1"].tolist() == [
        right[f"k{k}"] / 50 for k in (1, 3, 10)
    ]

    by_sample = dict(zip(queries.samples.tolist(), queries.vectors, strict=True))
    decided = [
        (math.dist(by_sample[row.left], by_sample[row.right]) <= THRESHOLDS.accuracy_threshold)
        == row.same
        for row in pairs.itertuples()
    ]
    is_same = pairs["same"].to_numpy()
    rates = [np.mean(np.array(decided)[is_same]), np.mean(np.array(decided)[~is_same])]
    assert found.metrics["verification"]["accuracy"] == pytest.approx(np.mean(rates), abs=1e-4)


def test_the_figures_of_either_kind_equal_plain_loops() -> None:
    made = MadeUpSplit(NOVEL)
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
        topic, _, key = figure.partition(".")
        assert found.metrics[topic][key] == pytest.approx(np.mean(outcomes), abs=5e-5), figure

    vectors = dict(zip(made.queries.samples.tolist(), made.queries.vectors, strict=True))
    novel_samples = set(made.queries.samples[made.is_novel].tolist())
    for kind, is_novel in IS_NOVEL.items():
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


def test_the_tables_of_outcomes_give_the_figures_back() -> None:
    made = MadeUpSplit(NOVEL)
    found = made.evaluate()
    metrics, table = found.metrics, found.per_query
    assert table["sample"].tolist() == made.queries.samples.tolist()
    assert table["novel"].tolist() == made.is_novel.tolist()
    assert ((table["predicted"] == table["fine"]) == table["k5"]).all()
    assert not table.loc[~table["novel"], ["alone_k1", "alone_k5"]].to_numpy().any()
    expected = {("knn", name): table[name] for name in ("k1", "k5", "weighted", "top5", "coarse")}
    expected["knn", "k5_no_copies"] = table["k5"][~table["copied"]]
    expected["knn", "k5_clean"] = table["k5"][~table["near_duplicate"]]
    expected["retrieval", "map_at_r"] = table["average_precision"]
    for kind, is_novel in IS_NOVEL.items():
        for name in set(metrics[kind]) - {"auc", "eer", "accuracy", "recall_at_1", "map_at_r"}:
            expected[kind, name] = table[name][table["novel"] == is_novel]
    assert (table["novel_findable"] == table["novel"]).all(), "none is the only one of its class"
    for name, column in (("recall_at_1", "recall_at_1"), ("map_at_r", "average_precision")):
        expected["novel", name] = table[f"novel_{column}"][table["novel"]]
        assert not table[f"novel_{column}"][~table["novel"]].any()
    for (topic, name), values in expected.items():
        assert metrics[topic][name] == pytest.approx(values.mean(), abs=5e-5), (topic, name)
    r_precision = found.details["retrieval"]["r_precision"]
    assert r_precision == pytest.approx(table["r_precision"].mean(), abs=5e-5)

    assert found.per_pair[["left", "right", "same"]].equals(made.pairs)
    distances, same = found.per_pair["distance"], found.per_pair["same"]
    assert metrics["verification"]["auc"] == pytest.approx(
        roc_auc_score(same, -distances), abs=5e-5
    )
    assert found.details["novel"] == {
        "classes": 2,
        "queries": int(made.is_novel.sum()),
        "enrolled": int(made.enrolled.sum()),
    }


def test_the_figures_of_all_queries_are_those_without_novel_classes() -> None:
    made = MadeUpSplit(NOVEL)
    found = made.evaluate()
    made.is_novel = np.zeros(50, dtype=bool)
    plain = made.evaluate()
    assert list(plain.metrics) == ["knn", "retrieval", "verification"]
    assert list(found.metrics) == [*plain.metrics, "seen", "novel"]
    for topic, values in plain.metrics.items():
        assert found.metrics[topic] == values
    for name, interval in plain.details["intervals"].items():
        assert found.details["intervals"][name] == interval, "the same draws"
    assert not {"novel", "findable"} & set(plain.details)
    added = {"novel", "alone_k1", "alone_k5"}
    added |= {"novel_recall_at_1", "novel_average_precision", "novel_findable"}
    assert set(found.per_query) - set(plain.per_query) == added
    pd.testing.assert_frame_equal(found.per_query[list(plain.per_query)], plain.per_query)
    made.is_novel = np.ones(50, dtype=bool)
    assert made.evaluate().metrics == plain.metrics, "all of one kind: nothing to tell apart"


def test_every_figure_has_an_interval_that_holds_it() -> None:
    made = with_forgeries(NOVEL)
    found = made.evaluate()
    values = {
        f"{topic}.{key}": value
        for part in (found.metrics, {name: found.details[name] for name in ("retrieval", "claims")})
        for topic, figures in part.items()
        for key, value in figures.items()
        if find_figure(f"{topic}.{key}")
    }
    intervals = found.details["intervals"]
    assert set(intervals) == set(values)
    for name, (low, high) in intervals.items():
        assert 0 <= low <= values[name] <= high <= 1, name
        assert low < high or values[name] in (0, 1), name
    assert made.evaluate().details == found.details
    other = made.evaluate(seed=1)
    assert other.details["intervals"] != intervals
    assert other.metrics == found.metrics


def test_two_intervals_drawn_image_by_image() -> None:
    made = MadeUpSplit(NOVEL)
    found = made.evaluate()
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
        assert found.details["intervals"][name] == pytest.approx([low, high], abs=6e-5), name


def test_the_low_rates_rest_on_all_pairs_of_queries() -> None:
    made = MadeUpSplit()
    found, queries = made.evaluate().details["verification"], made.queries
    first, second = np.triu_indices(50, 1)
    same = queries.fine[first] == queries.fine[second]
    distances = np.linalg.norm(queries.vectors[first] - queries.vectors[second], axis=1)
    assert (found["like_pairs"], found["unlike_pairs"]) == (same.sum(), (~same).sum())
    for name, far in (("tar_at_far_1%", 0.01), ("tar_at_far_0.1%", 0.001)):
        limit = np.sort(distances[~same])[int(far * (~same).sum())]
        assert found[name] == pytest.approx(np.mean(distances[same] < limit), abs=5e-5)


def test_a_rate_that_is_less_than_one_pair_is_left_out() -> None:
    verification = MadeUpSplit(n_queries=40).evaluate().details["verification"]
    assert 100 < verification["unlike_pairs"] < 1000
    assert "tar_at_far_1%" in verification
    assert "tar_at_far_0.1%" not in verification


def test_mistakes_come_with_the_most_votes_first_and_each_confusion_once_before_any_again() -> None:
    made = MadeUpSplit()
    gallery = made.gallery
    found = []
    for row, query in enumerate(made.queries.vectors):
        rows = plain_neighbours(gallery, query)
        winner = plain_vote(gallery, rows[:5], [1.0] * 5)[0]
        if winner != made.queries.fine[row]:
            votes = sum(int(gallery.fine[other]) == winner for other in rows[:5])
            confusion = (int(made.queries.fine[row]), winner)
            found.append((-votes, math.dist(gallery.vectors[rows[0]], query), row, confusion))
    n_before: Counter[tuple[int, int]] = Counter()
    order = []
    for votes, distance, row, confusion in sorted(found):
        order.append((n_before[confusion], votes, distance, row))
        n_before[confusion] += 1
    assert order != sorted(order)
    judgement = made.evaluate().judgement
    assert judgement is not None
    assert judgement.mistakes.tolist() == [row for _, _, _, row in sorted(order)]


def test_figures_that_the_data_do_not_have_are_left_out() -> None:
    made = MadeUpSplit()
    gallery = made.gallery
    made.gallery = Embeddings(gallery.samples, gallery.fine, None, gallery.vectors)
    made.copied = made.near_duplicate = np.ones(50, dtype=bool)
    found = made.evaluate()
    for name in ("k5_no_copies", "k5_clean", "coarse"):
        assert name not in found.metrics["knn"]
        assert f"knn.{name}" not in found.details["intervals"]
    assert "coarse" not in found.per_query


def test_a_vote_that_is_no_headline_has_a_column_all_the_same() -> None:
    found = MadeUpSplit().evaluate(k=[1])
    assert "k5" not in found.metrics["knn"]
    clean = found.per_query[~found.per_query["near_duplicate"]]
    assert found.metrics["knn"]["k5_clean"] == pytest.approx(clean["k5"].mean(), abs=5e-5)


def test_a_tiny_temperature_is_the_nearest_neighbours_vote() -> None:
    made = MadeUpSplit()
    for part in (made.gallery, made.queries):
        part.vectors[:] /= np.linalg.norm(part.vectors, axis=1, keepdims=True)
    knn = made.evaluate(temperature=1e-9).metrics["knn"]
    assert knn["weighted"] == knn["k1"]


def test_a_vote_of_more_than_are_enrolled_is_left_out() -> None:
    made = MadeUpSplit(NOVEL)
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
    found = MadeUpSplit((5,)).evaluate()
    unlike_none = ("alone_k1", "alone_k5", "recall_at_1", "map_at_r")
    assert set(found.metrics["novel"]) == {"k1", "k5", *unlike_none}
    for name in unlike_none:
        assert found.metrics["novel"][name] == 1, "there is no other class to take it for"
    assert set(found.metrics["seen"]) == {"k1", "k5", "auc", "eer", "accuracy"}
    assert "novel.auc" not in found.details["intervals"]


def test_without_a_query_of_the_gallerys_classes_nothing_is_classified() -> None:
    made = MadeUpSplit()
    classified = made.evaluate()
    queries, gallery = made.queries, made.gallery
    made.queries = Embeddings(
        queries.samples, queries.fine + N_CLASSES, queries.coarse, queries.vectors
    )
    # Ten neighbours of nine samples: nobody asks for them.
    made.gallery = Embeddings(gallery.samples[:9], gallery.fine[:9], None, gallery.vectors[:9])
    made.is_novel = np.ones(50, dtype=bool)
    found = made.evaluate()
    assert found.judgement is None
    assert {name: list(values) for name, values in found.metrics.items()} == {
        "retrieval": ["recall_at_1", "map_at_r"],
        "verification": ["auc", "eer", "accuracy"],
    }
    assert found.metrics["verification"] == classified.metrics["verification"]
    assert found.details["verification"] == classified.details["verification"]
    for name, interval in classified.details["intervals"].items():
        if name.startswith("verification."):
            assert found.details["intervals"][name] == interval, "the same draws"
    assert list(found.per_query) == [
        *("sample", "recall_at_1", "recall_at_10", "average_precision", "r_precision"),
        *("findable", "copied", "near_duplicate", "fine"),
    ]
    pd.testing.assert_frame_equal(found.per_pair, classified.per_pair)


def test_the_hardest_pairs_by_hand() -> None:
    table = pd.DataFrame(
        {
            "same": [True, False, True, False, True, False, False],
            "distance": [0.2, 0.9, 0.8, 0.1, 0.8, 0.5, 0.1],
        }
    )
    assert hardest_pairs(table, 2).tolist() == [[2, 4], [3, 6]]
    assert hardest_pairs(table, 100).tolist() == [[2, 4, 0], [3, 6, 5]]


def test_what_cannot_be_evaluated_is_refused() -> None:
    made = MadeUpSplit()
    with pytest.raises(InputError, match="asks for 100 neighbours, but the gallery has only 60"):
        made.evaluate(curve_k=[1, 100])
    made.pairs.loc[3, "right"] = int(made.gallery.samples[0])
    with pytest.raises(InputError, match="1 pairs are not of two queries, the first in row 3"):
        made.evaluate()
    made = MadeUpSplit()
    made.pairs = made.pairs[made.pairs["same"]]
    with pytest.raises(InputError, match="of 20 pairs 20 are like"):
        made.evaluate()
    made = MadeUpSplit()
    made.queries.vectors[3] = np.nan
    made.pairs.loc[0, "left"] = int(made.queries.samples[3])
    with pytest.raises(InputError, match="is not finite; the network has diverged"):
        made.evaluate()


@pytest.mark.parametrize(
    "change", [{"k": []}, {"k": [0, 1]}, {"curve_k": [5, 1]}, {"k": [1, 1]}, {"seed": 2**32}]
)
def test_parameters_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    assert params(seed=2**32 - 1).seed == 2**32 - 1
    [name] = change
    with pytest.raises(ValueError, match=name):
        params(**change)
