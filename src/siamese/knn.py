"""Exact nearest neighbours and their votes, with written rules for ties.

Neighbours are ordered by (distance, gallery row). Classes are ordered by (votes, whose nearest
voter comes first). So there is one right answer, whatever library found the candidates.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from siamese.errors import InputError

CHUNK = 1000  # queries looked up at once
SPARE = 8  # candidates fetched beyond k, so that ties at the edge are seen


def nearest(
    gallery: np.ndarray, queries: np.ndarray, k: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest gallery rows of each query, in Euclidean distance.

    Args:
        gallery: float32 `[G, D]`.
        queries: float32 `[Q, D]`.
        k: how many, 1…G.
        progress: show a bar over the queries, on a terminal.

    Returns:
        rows int64 `[Q, k]`, nearest first, and their distances float64 `[Q, k]`.

    Raises:
        InputError: k is larger than the gallery.
    """
    if not 1 <= k <= len(gallery):
        raise InputError(f"asked for {k} neighbours in a gallery of {len(gallery)}")
    index = NearestNeighbors(algorithm="brute").fit(gallery)
    found = []
    starts = range(0, len(queries), CHUNK)
    for start in tqdm(starts, desc="k-NN", unit="chunk", disable=None if progress else True):
        found.append(_nearest(index, gallery, queries[start : start + CHUNK], k))
    if not found:
        return np.empty((0, k), np.int64), np.empty((0, k))
    rows, distances = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(distances)


def rank(
    gallery: np.ndarray, queries: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order candidate gallery rows of each query by (distance, row).

    Distances are computed anew, in float64, as the root of the sum of squared differences: equal
    vectors are at distance zero exactly, and equal candidates tie, however they were found.

    Args:
        gallery: float32 `[G, D]`.
        queries: float32 `[Q, D]`.
        candidates: int64 `[Q, C]`, rows of the gallery.

    Returns:
        rows int64 `[Q, C]` and distances float64 `[Q, C]`, nearest first.
    """
    distances = np.empty(candidates.shape)
    for i, query in enumerate(queries.astype(np.float64)):
        distances[i] = np.sqrt(((gallery[candidates[i]] - query) ** 2).sum(axis=1))
    order = np.lexsort((candidates, distances), axis=1)
    return (
        np.take_along_axis(candidates, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
    )


def class_ranking(labels: np.ndarray, top: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Let neighbours vote.

    Args:
        labels: int64 `[Q, k]`, the classes of each query's neighbours, nearest first.
        top: how many classes are wanted.
        weights: float `[Q, k]`, what each vote counts; one, if left out.

    Returns:
        int64 `[Q, top]`: the classes with most votes first, among equals the one whose nearest
        voter comes first; -1 where fewer classes got a vote.
    """
    n_queries, k = labels.shape
    if weights is None:
        weights = np.ones((n_queries, k))
    # The votes of a class are added up at its nearest voter.
    same = labels[:, :, None] == labels[:, None, :]  # (Q, k, k)
    totals = (same * weights[:, None, :]).sum(axis=2)
    is_first = ~np.tril(same, k=-1).any(axis=2)
    totals = np.where(is_first, totals, -np.inf)
    order = np.argsort(-totals, axis=1, kind="stable")[:, :top]  # stable: nearest voter first
    ranking = np.full((n_queries, top), -1, dtype=np.int64)
    chosen = np.take_along_axis(labels, order, axis=1)
    voted = np.take_along_axis(is_first, order, axis=1)
    ranking[:, : chosen.shape[1]] = np.where(voted, chosen, -1)
    return ranking


def _nearest(
    index: NearestNeighbors, gallery: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    n_candidates = min(k + SPARE, len(gallery))
    rough, candidates = index.kneighbors(queries, n_neighbors=n_candidates)
    rows, distances = rank(gallery, queries, candidates)
    return rows[:, :k], distances[:, :k]
