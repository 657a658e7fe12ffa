"""The table of classes against scikit-learn, and by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from siamese.evaluation.class_table import class_table, confused_pairs, confusion_counts

NAMES = ["ant", "bee", "cat", "dog"]
# Two of four ants are bees, one is a cat; one bee is an ant; the cat is right; no dog was asked.
ACTUAL = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 1, 1, 2, 0, 1, 2])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_counts_and_accuracies_are_scikit_learns(outcomes: list[tuple[int, int]]) -> None:
    actual, predicted = np.array(outcomes).T
    counts = confusion_counts(actual, predicted)
    matrix = np.zeros((4, 4), dtype=np.int64)
    matrix[counts["actual"], counts["predicted"]] = counts["queries"]
    np.testing.assert_array_equal(matrix, confusion_matrix(actual, predicted, labels=range(4)))
    table = class_table(counts, NAMES)
    present = np.unique(actual)
    assert table["class"].tolist() == [NAMES[label] for label in present]
    recall = recall_score(actual, predicted, labels=present, average=None, zero_division=0)
    np.testing.assert_allclose(table["accuracy"], recall, atol=5e-5)
    pairs = confused_pairs(counts, NAMES, top=100)
    assert sum(pair["queries"] for pair in pairs) == np.sum(actual != predicted)


def test_the_table_by_hand() -> None:
    table = class_table(confusion_counts(ACTUAL, PREDICTED), NAMES)
    assert table.to_dict("list") == {
        "class": ["ant", "bee", "cat"],
        "accuracy": [0.25, 0.5, 1.0],
        "queries": [4, 2, 1],
        "confused_with": ["bee", "ant", ""],
        "confused": [2, 1, 0],
    }


def test_a_pair_is_counted_in_both_directions_and_the_most_come_first() -> None:
    counts = confusion_counts(ACTUAL, PREDICTED)
    pairs = [
        {"classes": ["ant", "bee"], "queries": 3},
        {"classes": ["ant", "cat"], "queries": 1},
    ]
    assert confused_pairs(counts, NAMES, top=5) == pairs
    assert confused_pairs(counts, NAMES, top=1) == pairs[:1]
