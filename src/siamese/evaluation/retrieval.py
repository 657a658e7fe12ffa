"""Retrieval: how many of the first neighbours of a query are of its class.

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


def average_precision(
    neighbours: np.ndarray, query_labels: np.ndarray, relevant: np.ndarray
) -> np.ndarray:
    """Return AP@R of each query, float64 `[Q]` in [0, 1].

    Args:
        neighbours: labels of the nearest gallery samples, `[Q, K]`, nearest first, equal distances
            in the order of `siamese.measures.knn.rank`: lowest gallery row first. K is at least the
            greatest R.
        query_labels: int64 `[Q]`.
        relevant: R of each query, int64 `[Q]`. Where it is 0 the result is 0: nothing that the
            query asks for can be found.
    """
    is_found = _is_found(neighbours, query_labels, relevant)
    precision = is_found.cumsum(axis=1) / np.arange(1, is_found.shape[1] + 1)
    return np.where(is_found, precision, 0).sum(axis=1) / np.maximum(relevant, 1)


def r_precision(
    neighbours: np.ndarray, query_labels: np.ndarray, relevant: np.ndarray
) -> np.ndarray:
    """Return R-precision of each query, float64 `[Q]` in [0, 1]; see `average_precision`."""
    is_found = _is_found(neighbours, query_labels, relevant)
    return is_found.sum(axis=1) / np.maximum(relevant, 1)


def _is_found(neighbours: np.ndarray, query_labels: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Return which of the first R neighbours are of the query's class, bool `[Q, greatest R]`."""
    longest = int(relevant.max(initial=0))
    is_counted = np.arange(1, longest + 1) <= relevant[:, None]
    return (neighbours[:, :longest] == query_labels[:, None]) & is_counted
