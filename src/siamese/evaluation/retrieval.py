"""Retrieval: how well the samples of a query's class are gathered at the head of its neighbours.

R is the number of gallery samples of the query's class. *R-precision* is the share of them among
the R nearest. *AP@R* weighs their ranks too: the mean over the first R ranks of the precision at
the rank where the neighbour there is of the class, else 0. Its mean over the queries is *MAP@R*
(Musgrave, Belongie and Lim, *A Metric Learning Reality Check*, 2020).
"""

import numpy as np


def relevant_counts(gallery_labels: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
    """Return R of each query, int64 `[Q]`.

    Args:
        gallery_labels: int64 `[G]`.
        query_labels: int64 `[Q]`.
    """
    n_classes = int(max(gallery_labels.max(initial=0), query_labels.max(initial=0))) + 1
    return np.bincount(gallery_labels, minlength=n_classes)[query_labels]


def precision_at_r(
    neighbours: np.ndarray, query_labels: np.ndarray, relevant: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return AP@R and R-precision of each query.

    Args:
        neighbours: labels of the nearest gallery samples, `[Q, K]`, nearest first, equal distances
            in the order of `siamese.measures.knn.rank`: lowest gallery row first. K is at least the
            greatest R.
        query_labels: int64 `[Q]`.
        relevant: R of each query, int64 `[Q]`. Where it is 0 both figures are 0: nothing that the
            query asks for can be found.

    Returns:
        Two arrays float64 `[Q]`, values in [0, 1].
    """
    longest = int(relevant.max(initial=0))
    ranks = np.arange(1, longest + 1)
    is_counted = ranks <= relevant[:, None]  # (Q, R)
    is_right = (neighbours[:, :longest] == query_labels[:, None]) & is_counted
    precision = is_right.cumsum(axis=1) / ranks
    divisor = np.maximum(relevant, 1)
    average_precision = np.where(is_right, precision, 0).sum(axis=1) / divisor
    return average_precision, is_right.sum(axis=1) / divisor
