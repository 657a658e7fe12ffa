"""A map shows every class alike, whatever the classes' sizes."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.projection.points import ENROLLED, PIPELINE, QUERY, choose, evenly
from siamese.projection.queries import Queries

Sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(Sizes, st.integers(0, 200))
def test_classes_get_as_many_as_the_others_as_far_as_they_have_them(
    sizes: list[int], limit: int
) -> None:
    labels = np.repeat([f"class {row}" for row in range(len(sizes))], sizes).astype(object)
    rows = evenly(labels, limit)
    assert len(rows) == min(limit, len(labels))
    assert (np.diff(rows) > 0).all()
    chosen = Counter(labels[rows])
    most = max(chosen.values(), default=0)
    for name, size in Counter(labels).items():
        assert chosen[name] >= min(size, most - 1)
    assert (evenly(labels, limit) == rows).all()


@pytest.mark.parametrize(
    ("n_gallery", "n_queries", "shown"),
    [(500, 500, (50, 50)), (500, 20, (80, 20)), (30, 500, (30, 70)), (30, 20, (30, 20))],
)
def test_half_of_the_points_are_test_images_if_there_are_many(
    n_gallery: int, n_queries: int, shown: tuple[int, int]
) -> None:
    enrolled = 7
    rows = pd.DataFrame(
        {
            "number": np.arange(n_gallery + enrolled),
            "label": [str(row % 3) for row in range(n_gallery + enrolled)],
            "source": [PIPELINE] * n_gallery + [ENROLLED] * enrolled,
        }
    )
    names = np.array([str(row % 3) for row in range(n_queries)], dtype=object)
    queries = Queries(np.arange(n_queries), names, names, np.zeros((n_queries, 2), np.float32))
    points = choose(rows, queries, limit=100)
    counts = Counter(points.kinds)
    assert (counts[PIPELINE], counts[QUERY], counts[ENROLLED]) == (*shown, enrolled)
