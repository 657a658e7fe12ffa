"""R-precision and AP@R against a plain loop, by hand, and by what must hold of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.evaluation.retrieval import average_precision, r_precision, relevant_counts


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


def both(*search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AP@R and R-precision."""
    return average_precision(*search), r_precision(*search)


@given(searches())
def test_both_equal_a_plain_loop_and_are_one_only_where_the_class_comes_first(
    search: tuple[np.ndarray, ...],
) -> None:
    gallery, neighbours, queries = search
    relevant = relevant_counts(gallery, queries)
    ap, shares = both(neighbours, queries, relevant)
    for row, label in enumerate(queries.tolist()):
        assert relevant[row] == gallery.tolist().count(label)
        expected = plain(neighbours[row].tolist(), label, int(relevant[row]))
        assert (ap[row], shares[row]) == pytest.approx(expected)
    assert ((ap >= 0) & (ap <= shares + 1e-12) & (shares <= 1)).all()
    perfect = np.array(
        [
            (row[:count] == label).all()
            for row, label, count in zip(neighbours, queries, relevant, strict=True)
        ]
    )
    np.testing.assert_array_equal(np.isclose(ap, 1), perfect)
    np.testing.assert_array_equal(np.isclose(shares, 1), perfect)


def test_the_rank_of_a_hit_counts_for_ap_alone() -> None:
    # R = 4 with two hits: at the ranks 1 and 2, 1 and 4, 3 and 4; worked by hand.
    neighbours = np.array([[1, 1, 0, 0, 1, 1], [1, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]])
    ap, shares = both(neighbours, np.array([1, 1, 1]), np.array([4, 4, 4]))
    assert ap.tolist() == pytest.approx([(1 + 1) / 4, (1 + 2 / 4) / 4, (1 / 3 + 2 / 4) / 4])
    assert shares.tolist() == [0.5, 0.5, 0.5]


def test_a_class_that_the_gallery_lacks_is_not_found() -> None:
    gallery, queries = np.array([0, 0, 1]), np.array([2, 0])
    relevant = relevant_counts(gallery, queries)
    assert relevant.tolist() == [0, 2]
    found = both(np.array([[0, 0, 1], [0, 0, 1]]), queries, relevant)
    assert [values.tolist() for values in found] == [[0, 1], [0, 1]]
