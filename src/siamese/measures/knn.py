"""Exact nearest neighbours, ties included, and the vote that makes them a classifier.

The order of neighbours is fixed by one rule, wherever they come from: by Euclidean distance, and
at equal distance by number (of the gallery row, or of the sample), the lower first. `rank` is that
rule. `nearest` finds the candidates that `rank` needs.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

from siamese.base.blocks import blocks
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar

# Candidates beyond k: with that many to spare, rounding seldom leaves it open which k are nearest.
SPARE = 8
# Queries that scikit-learn is asked at once, and float64 values that are held at once.
QUERIES_AT_ONCE = 2048
VALUES_AT_ONCE = 2**22
# Squared distances, float64, that are on a GPU at once.
ON_DEVICE_AT_ONCE = 2**27
# Between them squared distances are far enough inside the range of float32.
SHORTEST, LONGEST = 1e-19, 9e18


def rank(
    queries: np.ndarray, vectors: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order each query's candidates by distance, and at equal distance by number.

    Distances are computed from the vectors, in float64, as the root of the summed squares of the
    differences. So the same vectors give the same distances to the last bit and the same order,
    whatever proposed the candidates (an index, a database, with rounding of its own). Candidates
    with equal vectors are at equal distances, and a candidate equal to the query is at exactly 0.
    Whether the nearest are among the candidates is up to the caller.

    Args:
        queries: float32 `[Q, D]`.
        vectors: the candidates of each query, float32 `[Q, C, D]`.
        numbers: the number of each candidate, int64 `[Q, C]`; no number twice for one query.

    Returns:
        The numbers in order, int64 `[Q, C]`, and their distances, float64 `[Q, C]`.
    """
    return _in_order(numbers, _distances(queries, vectors))


def nearest(
    gallery: np.ndarray,
    queries: np.ndarray,
    k: int,
    progress: bool = False,
    device: "torch.device | None" = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k gallery rows nearest to each query, exactly, in the order of `rank`.

    scikit-learn, or a GPU, proposes candidates by approximate distances: exact up to the rounding
    of dot products. Where that rounding leaves open which rows are the nearest (ties, a collapsed
    embedding) all rows are ranked for that query, which takes some milliseconds each. So the result
    is the same to the last bit, whichever proposes.

    Args:
        gallery: float32 `[G, D]`; other types are brought to float32 first.
        queries: float32 `[Q, D]`.
        k: neighbours wanted, from 1 to G.
        progress: show a bar over the queries, on a terminal.
        device: a GPU that proposes; on a CPU, or without one, scikit-learn does.

    Returns:
        Gallery rows, int64 `[Q, k]`, nearest first, and their distances, float64 `[Q, k]`.

    Raises:
        InputError: k is out of range, the dimensions differ, a value is not finite, or the vectors
            are too short or too long to compare.
    """
    gallery = np.ascontiguousarray(gallery, dtype=np.float32)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    _check(gallery, queries, k)
    lengths, longest = _lengths(queries), _lengths(gallery).max()
    _check_lengths(max(longest, lengths.max(initial=0)))
    n_candidates = min(k + SPARE, len(gallery))
    on_cpu = device is None or device.type == "cpu"
    proposals = _BySklearn(gallery) if on_cpu else _OnDevice(gallery, device)

    rows = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.float64)
    is_open = np.zeros(len(queries), dtype=bool)
    label = "neighbours" if progress else None
    with progress_bar(label, "query", total=len(queries)) as bar:
        for chunk in blocks(len(queries), QUERIES_AT_ONCE):
            squared, candidates = proposals.nearest(queries[chunk], n_candidates)  # (q, C)
            found, exact = _rank_rows(gallery, queries[chunk], candidates)
            rows[chunk], distances[chunk] = found[:, :k], exact[:, :k]
            if n_candidates < len(gallery):
                # No row left out is nearer than the last candidate, but for rounding.
                farthest = squared[:, -1]
                error = proposals.rounding_error(lengths[chunk] + longest, farthest)
                is_open[chunk] = exact[:, k - 1] ** 2 >= farthest - error
            bar.update(len(candidates))

    # A collapsed network gives many equal queries: each of them is answered once.
    unique, which = np.unique(queries[is_open], axis=0, return_inverse=True)
    bar = progress_bar("ties" if progress else None, "query", unique)
    answers = [_among_all(gallery, query, k) for query in bar]
    for index_of, answer in zip(np.flatnonzero(is_open), which.ravel(), strict=True):
        rows[index_of], distances[index_of] = answers[answer]
    return rows, distances


def nearest_in_parts(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
    queries: np.ndarray,
    k: int,
    device: "torch.device | None" = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `nearest` does on a gallery of which only a part is in memory at once.

    The result is the same to the last bit: the k nearest of all are among the k nearest of each
    part, and distances are rounded alike.

    Args:
        parts: numbers, int64 `[g]` ascending, and vectors, float32 `[g, D]`, of each part; no
            number twice, and k at the least in all.
        queries: float32 `[Q, D]`.
        k: neighbours wanted.
        device: see `nearest`.

    Returns:
        Numbers, int64 `[Q, k]`, in the order of `rank`, and their distances, float64 `[Q, k]`.

    Raises:
        InputError: `nearest` refuses a part.
    """
    numbers = np.empty((len(queries), 0), dtype=np.int64)
    distances = np.empty((len(queries), 0), dtype=np.float64)
    for part_numbers, vectors in parts:
        rows, found = nearest(vectors, queries, min(k, len(vectors)), device=device)
        numbers = np.concatenate([numbers, part_numbers[rows]], axis=1)
        distances = np.concatenate([distances, found], axis=1)
        numbers, distances = (values[:, :k] for values in _in_order(numbers, distances))
    return numbers, distances


def nearest_others(vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Find the nearest of the other vectors to some of them.

    Args:
        vectors: float32 `[N, D]`, two at the least.
        rows: which to find the neighbours of, int64 `[n]`.
        k: neighbours wanted; all others, if there are fewer.

    Returns:
        Rows of `vectors`, int64 `[n, min(k, N - 1)]`, nearest first; never the row itself.
    """
    wanted = min(k, len(vectors) - 1) + 1
    found, _ = nearest(vectors, vectors[rows], wanted)
    is_self = found == rows[:, None]
    # Among more equal vectors than are wanted, the row itself may not have been found.
    is_self[~is_self.any(axis=1), -1] = True
    return found[~is_self].reshape(len(rows), wanted - 1)


def class_ranking(labels: np.ndarray, top: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Let each query's neighbours vote for their classes.

    Among classes with equally many votes, the one whose first voter is nearer comes first; so with
    one neighbour, or as many classes as neighbours, the nearest decides. Weights of one class are
    added from the nearest neighbour on.

    Args:
        labels: the classes of the neighbours, int64 `[Q, k]`, nearest first. The vote of fewer
            neighbours is that of the first columns.
        top: classes wanted.
        weights: how much each vote counts, finite, `[Q, k]`; 1 each if not given.

    Returns:
        Classes, most votes first, int64 `[Q, top]`; -1 where no further class has a vote.
    """
    n_neighbours = labels.shape[1]
    if weights is None:
        weights = np.ones(labels.shape)
    votes = np.zeros(labels.shape)  # (Q, k), of the class of each neighbour
    is_first = np.ones(labels.shape, dtype=bool)  # of its class
    for voter in range(n_neighbours):
        agrees = labels == labels[:, [voter]]
        votes += np.where(agrees, weights[:, [voter]], 0)
        is_first[:, voter + 1 :] &= ~agrees[:, voter + 1 :]
    votes[~is_first] = -np.inf
    order = np.argsort(-votes, axis=1, kind="stable")[:, :top]
    ranking = np.full((len(labels), top), -1, dtype=np.int64)
    ranking[:, : order.shape[1]] = np.where(
        np.take_along_axis(is_first, order, 1), np.take_along_axis(labels, order, 1), -1
    )
    return ranking


def _in_order(numbers: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row of candidates, `[Q, C]`, by distance, and at equal distance by number."""
    order = np.lexsort((numbers, distances), axis=-1)
    return np.take_along_axis(numbers, order, 1), np.take_along_axis(distances, order, 1)


def _check(gallery: np.ndarray, queries: np.ndarray, k: int) -> None:
    if not 1 <= k <= len(gallery):
        raise InputError(
            f"{k} neighbours are asked for, but the gallery has {len(gallery)} samples; expected a"
            " number from 1 to that"
        )
    if gallery.shape[1] != queries.shape[1]:
        raise InputError(
            f"the gallery's vectors have {gallery.shape[1]} dimensions, the queries'"
            f" {queries.shape[1]}; were they made by different networks?"
        )
    for name, vectors in (("gallery", gallery), ("queries", queries)):
        if not np.isfinite(vectors).all():
            row = int((~np.isfinite(vectors).all(axis=1)).argmax())
            raise InputError(
                f"row {row} of the {name} holds a value that is not finite; the network that made"
                " it has diverged: lower `train.learning_rate`"
            )


def _check_lengths(longest: float) -> None:
    """Refuse vectors whose squared distances float32 cannot hold: scikit-learn rounds to that."""
    if longest and not SHORTEST <= longest <= LONGEST:
        raise InputError(
            f"the longest vector of gallery and queries has a length of {longest:.3g}; expected"
            f" {SHORTEST:g} to {LONGEST:g}, or all zero. The network that made them has collapsed"
            " or diverged: train it again, with a lower `train.learning_rate`"
        )


def _distances(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return distances between `[Q, D]` and `[Q, C, D]`, float64 `[Q, C]`."""
    # Each sum runs over one contiguous row, so its rounding depends on nothing else.
    gaps = np.subtract(vectors, queries[:, None, :], dtype=np.float64, order="C")
    return np.sqrt(np.square(gaps, out=gaps).sum(axis=-1))


def _rank_rows(
    gallery: np.ndarray, queries: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `rank` does for gallery rows, int64 `[Q, C]`, in bounded memory."""
    at_once = max(1, VALUES_AT_ONCE // (candidates.shape[1] * gallery.shape[1]))
    parts = [
        rank(queries[part], gallery[candidates[part]], candidates[part])
        for part in blocks(len(queries), at_once)
    ]
    rows, distances = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(distances)


def _among_all(gallery: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of all gallery rows to one query `[D]`, and their distances."""
    at_once = max(1, VALUES_AT_ONCE // len(query))
    distances = np.concatenate(
        [_distances(query[None], gallery[None, part])[0] for part in blocks(len(gallery), at_once)]
    )
    rows = distances.argsort(kind="stable")[:k]
    return rows, distances[rows]


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the length of each vector, float64 `[n]`: in float32 its square might be 0."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))


class _BySklearn:
    """Proposes the nearest rows of a gallery, float32 `[G, D]`, as scikit-learn finds them."""

    def __init__(self, gallery: np.ndarray) -> None:
        # Imported here: it takes a second, which ranking and voting need not cost.
        from sklearn.neighbors import NearestNeighbors

        self.index = NearestNeighbors(algorithm="brute", metric="euclidean").fit(gallery)
        self.dimensions = gallery.shape[1]

    def nearest(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances, float64 `[Q, n]` ascending, and rows, int64 `[Q, n]`."""
        distances, rows = self.index.kneighbors(queries, n)
        return distances.astype(np.float64) ** 2, rows

    def rounding_error(self, reach: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Bound the error of its squared distances, float64 `[Q]`.

        It takes them through dot products in float64. Then it rounds to float32, which loses more
        where the number is tiny.

        Args:
            reach: |q| + |g| for the longest g, `[Q]`.
            squared: what it found, `[Q]`.
        """
        float32 = np.finfo(np.float32)
        of_products = _error_of_products(reach, self.dimensions)
        return of_products + 8 * float32.eps * squared + float32.tiny


class _OnDevice:
    """Does what `_BySklearn` does on a GPU.

    In float64: the products are not what takes long, and after float32's rounding of raw pixels
    hardly any query would be without doubt.
    """

    def __init__(self, gallery: np.ndarray, device: "torch.device | None") -> None:
        import torch

        self.gallery = torch.from_numpy(gallery).to(device, torch.float64)
        self.squares = self.gallery.square().sum(dim=1)

    def nearest(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances, float64 `[Q, n]` ascending, and rows, int64 `[Q, n]`."""
        import torch

        squared, rows = [], []
        for part in blocks(len(queries), max(1, ON_DEVICE_AT_ONCE // len(self.gallery))):
            asked = torch.from_numpy(queries[part]).to(self.gallery)
            # |q|² moves all of a query's distances alike: it is added to those that are wanted.
            others = torch.addmm(self.squares[None], asked, self.gallery.T, alpha=-2)
            near, which = others.topk(n, largest=False)
            squared.append((near + asked.square().sum(dim=1, keepdim=True)).cpu().numpy())
            rows.append(which.cpu().numpy())
        return np.concatenate(squared), np.concatenate(rows)

    def rounding_error(self, reach: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Bound the error of its squared distances, float64 `[Q]`; see `_BySklearn`."""
        return _error_of_products(reach, self.gallery.shape[1])


def _error_of_products(reach: np.ndarray, dimensions: int) -> np.ndarray:
    """Bound the error of |q|² - 2 q·g + |g|² in float64: up to D roundings of (|q| + |g|)²."""
    return 2 * (dimensions + 8) * np.finfo(np.float64).eps * reach**2
