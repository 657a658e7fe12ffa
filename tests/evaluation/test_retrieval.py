"""R-precision and AP@R against a plain loop, by hand, and by what must hold of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.evaluation.retrieval import precision_at_r, relevant_counts


def plain(labels: list[int], label: int, relevant: int) -> tuple[float, float]:
    """The definitions of Musgrave et al., rank by rank."""
    hits = 0
    total = 0.0
    for rank in range(1, relevant + 1):
        if labels[rank - 1] == label:
            hits += 1
            total += hits / rank
    return total / relevant, hits / relevant


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A gallery's labels in a different order for each query, and the queries' labels."""
    gallery = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=12)))
    queries = np.array(draw(st.lists(st.sampled_from(gallery.tolist()), min_size=1, max_size=5)))
    orders = [draw(st.permutations(range(len(gallery)))) for _ in queries]
    return gallery, gallery[np.array(orders)], queries


@given(searches())
def test_both_figures_equal_a_plain_loop(search: tuple[np.ndarray, ...]) -> None:
    gallery, neighbours, queries = search
    relevant = relevant_counts(gallery, queries)
    average_precision, r_precision = precision_at_r(neighbours, queries, relevant)
    for row, label in enumerate(queries.tolist()):
        assert relevant[row] == gallery.tolist().count(label)
        expected = plain(neighbours[row].tolist(), label, int(relevant[row]))
        assert (average_precision[row], r_precision[row]) == pytest.approx(expected)


@given(searches())
def test_they_lie_in_bounds_and_ap_is_never_the_greater(search: tuple[np.ndarray, ...]) -> None:
    gallery, neighbours, queries = search
    average_precision, r_precision = precision_at_r(
        neighbours, queries, relevant_counts(gallery, queries)
    )
    assert (average_precision >= 0).all()
    assert (average_precision <= r_precision + 1e-12).all()
    assert (r_precision <= 1).all()


@given(searches())
def test_both_are_one_where_the_class_comes_first_and_only_there(
    search: tuple[np.ndarray, ...],
) -> None:
    gallery, neighbours, queries = search
    relevant = relevant_counts(gallery, queries)
    perfect = np.array(
        [
            (row[:count] == label).all()
            for row, label, count in zip(neighbours, queries, relevant, strict=True)
        ]
    )
    average_precision, r_precision = precision_at_r(neighbours, queries, relevant)
    np.testing.assert_array_equal(np.isclose(average_precision, 1), perfect)
    np.testing.assert_array_equal(np.isclose(r_precision, 1), perfect)


def test_the_rank_of_a_hit_counts_for_ap_alone() -> None:
    # R = 4 with two hits: at the ranks 1 and 2, 1 and 4, 3 and 4; worked by hand.
    neighbours = np.array([[1, 1, 0, 0, 1, 1], [1, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]])
    average_precision, r_precision = precision_at_r(
        neighbours, np.array([1, 1, 1]), np.array([4, 4, 4])
    )
    assert average_precision.tolist() == pytest.approx(
        [(1 + 1) / 4, (1 + 2 / 4) / 4, (1 / 3 + 2 / 4) / 4]
    )
    assert r_precision.tolist() == [0.5, 0.5, 0.5]


def test_a_class_that_the_gallery_lacks_is_not_found() -> None:
    gallery, queries = np.array([0, 0, 1]), np.array([2, 0])
    relevant = relevant_counts(gallery, queries)
    assert relevant.tolist() == [0, 2]
    found = precision_at_r(np.array([[0, 0, 1], [0, 0, 1]]), queries, relevant)
    assert [values.tolist() for values in found] == [[0, 1], [0, 1]]
