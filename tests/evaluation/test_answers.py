"""R-precision and AP@R against a plain loop, by hand, and by what must hold of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.answers import Answers, average_precision, r_precision
from tests.support.made_up_embeddings import params


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
def searches(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int]]:
    """A gallery's labels, its rows in a different order for each query, and the queries' labels."""
    gallery = draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    queries = draw(st.lists(st.sampled_from(gallery), min_size=1, max_size=5))
    return gallery, [draw(st.permutations(range(len(gallery)))) for _ in queries], queries


def answers(gallery: list[int], rows: list[list[int]], queries: list[int]) -> Answers:
    """The answers of a gallery with these labels; nothing here looks at the vectors."""
    asked, asking = (
        Embeddings(np.arange(len(labels)), np.array(labels), None, np.empty((len(labels), 0)))
        for labels in (gallery, queries)
    )
    return Answers(asked, asking, np.array(rows), params())


@given(searches())
def test_both_equal_a_plain_loop_and_are_one_only_where_the_class_comes_first(
    search: tuple[list[int], list[list[int]], list[int]],
) -> None:
    gallery, rows, queries = search
    asked = answers(gallery, rows, queries)
    ap, shares = average_precision(asked), r_precision(asked)
    for query, label in enumerate(queries):
        relevant = gallery.count(label)
        labels = [gallery[row] for row in rows[query]]
        assert (ap[query], shares[query]) == pytest.approx(plain(labels, label, relevant))
        is_perfect = labels[:relevant] == [label] * relevant
        assert np.isclose(ap[query], 1) == np.isclose(shares[query], 1) == is_perfect
    assert ((ap >= 0) & (ap <= shares + 1e-12) & (shares <= 1)).all()


def test_the_rank_of_a_hit_counts_for_ap_alone() -> None:
    # R = 4 with two hits: at the ranks 1 and 2, 1 and 4, 3 and 4; worked by hand.
    ranked = [[0, 1, 4, 5, 2, 3], [0, 4, 5, 1, 2, 3], [4, 5, 0, 1, 2, 3]]
    asked = answers([1, 1, 1, 1, 0, 0], ranked, [1, 1, 1])
    expected = [(1 + 1) / 4, (1 + 2 / 4) / 4, (1 / 3 + 2 / 4) / 4]
    assert average_precision(asked).tolist() == pytest.approx(expected)
    assert r_precision(asked).tolist() == [0.5, 0.5, 0.5]


def test_a_class_that_the_gallery_lacks_is_not_found() -> None:
    asked = answers([0, 0, 1], [[0, 1, 2], [0, 1, 2]], [2, 0])
    assert average_precision(asked).tolist() == r_precision(asked).tolist() == [0, 1]
