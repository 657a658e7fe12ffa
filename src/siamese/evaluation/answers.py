"""The answers of a gallery to its queries, and what they are worth query by query.

Each public function from `plain_vote` on takes `Answers` and returns one value per query: whether a
vote is right, or how well the class is retrieved. `siamese.evaluation.figures` says which figure is
the mean of which.

R is the number of gallery samples of the query's class. *R-precision* is the share of them among
the R nearest. *AP@R* weighs their ranks too: the mean over the first R ranks of the precision at
the rank where the neighbour there is of the class, else 0. Its mean over the queries is *MAP@R*
(Musgrave, Belongie and Lim, *A Metric Learning Reality Check*, 2020).

Queries may also be searched for among one another, as the retrieval benchmarks do with images of
classes that training has never seen. A query is then not among its own neighbours, and R does not
count it. *Recall@k* is the share of the queries that have one of their class among the k nearest. A
query whose class has no other image (R = 0) cannot be found: the figures leave it out, as
pytorch-metric-learning does.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from siamese.measures.knn import class_ranking

if TYPE_CHECKING:  # readers of the table of figures need neither pandas nor pydantic
    from siamese.embeddings.embedding_file import Embeddings
    from siamese.evaluation.params import EvaluateParams


@dataclass(frozen=True)
class Answers:
    """The neighbours that n queries have in a gallery of G samples.

    Attributes:
        gallery: labelled embeddings.
        queries: labelled embeddings.
        rows: the neighbours as gallery rows, int64 `[n, K]`, nearest first, equal distances in the
            order of `siamese.measures.knn.rank`. K is at least every number of neighbours that is
            asked about; for retrieval also the greatest R.
        params: the `evaluate` section.
        has_queries: whether the queries are in the gallery too; `rows` then has, for each of them,
            the others alone.
    """

    gallery: "Embeddings"
    queries: "Embeddings"
    rows: np.ndarray
    params: "EvaluateParams"
    has_queries: bool = False
    _elected: dict[int, np.ndarray] = field(default_factory=dict)

    @cached_property
    def neighbour_labels(self) -> np.ndarray:
        """The classes of the neighbours, int64 `[n, K]`."""
        return self.gallery.fine[self.rows]

    @cached_property
    def n_relevant(self) -> np.ndarray:
        """R of each query, int64 `[n]`."""
        return relevant_counts(self.gallery.fine, self.queries.fine) - self.has_queries

    @cached_property
    def is_found(self) -> np.ndarray:
        """Which of the first R neighbours are of the query's class, bool `[n, greatest R]`."""
        longest = int(self.n_relevant.max(initial=0))
        is_counted = np.arange(1, longest + 1) <= self.n_relevant[:, None]
        return (self.neighbour_labels[:, :longest] == self.queries.fine[:, None]) & is_counted

    def elected(self, k: int) -> np.ndarray:
        """Return the class that most of the k nearest have, int64 `[n]`."""
        if k not in self._elected:
            self._elected[k] = class_ranking(self.neighbour_labels[:, :k], top=1)[:, 0]
        return self._elected[k]


def relevant_counts(gallery_labels: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
    """Return R of each query, int64 `[Q]`, from labels, int64 `[G]` and `[Q]`."""
    n_classes = int(max(gallery_labels.max(initial=0), query_labels.max(initial=0))) + 1
    return np.bincount(gallery_labels, minlength=n_classes)[query_labels]


def superclasses(gallery: "Embeddings", labels: np.ndarray) -> np.ndarray:
    """Return the superclass of labels that a gallery with superclasses has, int64 `[n]`."""
    of_label = np.zeros(gallery.fine.max() + 1, dtype=np.int64)
    of_label[gallery.fine] = gallery.coarse
    return of_label[labels]


def plain_vote(answers: Answers, k: int) -> np.ndarray:
    """Return whether the k nearest elect the query's class, bool `[n]`."""
    return answers.elected(k) == answers.queries.fine


def recall(answers: Answers, k: int) -> np.ndarray:
    """Return whether the query's class is among the k nearest, bool `[n]`."""
    return (answers.neighbour_labels[:, :k] == answers.queries.fine[:, None]).any(axis=1)


def weighted_vote(answers: Answers) -> np.ndarray:
    """Return whether votes weighted by exp(similarity / temperature) elect it, bool `[n]`."""
    voters = answers.rows[:, : answers.params.vote_k]
    similarity = _cosine(answers.queries.vectors, answers.gallery.vectors, voters)
    # Taken relative to the nearest, which changes no vote and cannot overflow.
    closeness = similarity - similarity.max(axis=1, keepdims=True)
    weights = np.exp(closeness / answers.params.temperature)
    elected = class_ranking(answers.gallery.fine[voters], top=1, weights=weights)[:, 0]
    return elected == answers.queries.fine


def among_five(answers: Answers) -> np.ndarray:
    """Return whether the class is among the five with most votes, bool `[n]`."""
    ranking = class_ranking(answers.neighbour_labels[:, : answers.params.vote_k], top=5)
    return (ranking == answers.queries.fine[:, None]).any(axis=1)


def superclass_of_vote(answers: Answers) -> np.ndarray | None:
    """Return whether the elected class has the query's superclass, bool `[n]`; None without any."""
    if answers.gallery.coarse is None or answers.queries.coarse is None:
        return None
    elected = answers.elected(answers.params.vote_k)
    return superclasses(answers.gallery, elected) == answers.queries.coarse


def average_precision(answers: Answers) -> np.ndarray:
    """Return AP@R, float64 `[n]` in [0, 1]; 0 where the gallery lacks the class."""
    is_found = answers.is_found
    precision = is_found.cumsum(axis=1) / np.arange(1, is_found.shape[1] + 1)
    return np.where(is_found, precision, 0).sum(axis=1) / np.maximum(answers.n_relevant, 1)


def r_precision(answers: Answers) -> np.ndarray:
    """Return R-precision, float64 `[n]` in [0, 1]; 0 where the gallery lacks the class."""
    return answers.is_found.sum(axis=1) / np.maximum(answers.n_relevant, 1)


def _cosine(queries: np.ndarray, gallery: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of queries with gallery rows `[n, k]`, float64 `[n, k]`."""
    unit_queries, unit_gallery = (
        # No vector is too short to divide by its length.
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for vectors in (queries.astype(np.float64), gallery.astype(np.float64))
    )
    return np.einsum("qd,qkd->qk", unit_queries, unit_gallery[rows])
