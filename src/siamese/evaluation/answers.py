"""The answers of a gallery to its queries, and what they are worth query by query.

Each public function takes `Answers` and returns one value per query: whether a vote is right, or
how well the class is retrieved. `siamese.evaluation.figures` says which figure is the mean of
which.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from siamese.evaluation import retrieval
from siamese.measures.knn import class_ranking


@dataclass(frozen=True)
class Answers:
    """The neighbours that n queries have in a gallery of G samples.

    Attributes:
        query_vectors: float32 `[n, D]`.
        query_labels: int64 `[n]`.
        gallery_vectors: float32 `[G, D]`.
        gallery_labels: int64 `[G]`.
        rows: the neighbours as gallery rows, int64 `[n, K]`, nearest first. K is at least every
            number of neighbours that is asked about; for retrieval also the greatest R.
        superclasses: the superclass of each label, int64 `[C]`; None if there are none.
        vote_k: how many neighbours the weighted vote and the like are about.
        temperature: of the weighted vote.
    """

    query_vectors: np.ndarray
    query_labels: np.ndarray
    gallery_vectors: np.ndarray
    gallery_labels: np.ndarray
    rows: np.ndarray
    superclasses: np.ndarray | None
    vote_k: int
    temperature: float
    _elected: dict[int, np.ndarray] = field(default_factory=dict)

    @cached_property
    def neighbour_labels(self) -> np.ndarray:
        """The classes of the neighbours, int64 `[n, K]`."""
        return self.gallery_labels[self.rows]

    @cached_property
    def n_relevant(self) -> np.ndarray:
        """R of each query: the gallery samples of its class, int64 `[n]`."""
        return retrieval.relevant_counts(self.gallery_labels, self.query_labels)

    def elected(self, k: int) -> np.ndarray:
        """Return the class that most of the k nearest have, int64 `[n]`."""
        if k not in self._elected:
            self._elected[k] = class_ranking(self.neighbour_labels[:, :k], top=1)[:, 0]
        return self._elected[k]


def plain_vote(answers: Answers, k: int) -> np.ndarray:
    """Return whether the k nearest elect the query's class, bool `[n]`."""
    return answers.elected(k) == answers.query_labels


def weighted_vote(answers: Answers) -> np.ndarray:
    """Return whether votes weighted by exp(similarity / temperature) elect it, bool `[n]`."""
    similarity = _cosine(answers)
    # Taken relative to the nearest, which changes no vote and cannot overflow.
    closeness = similarity - similarity.max(axis=1, keepdims=True)
    voters = answers.neighbour_labels[:, : answers.vote_k]
    weights = np.exp(closeness / answers.temperature)
    return class_ranking(voters, top=1, weights=weights)[:, 0] == answers.query_labels


def among_five(answers: Answers) -> np.ndarray:
    """Return whether the class is among the five with most votes, bool `[n]`."""
    ranking = class_ranking(answers.neighbour_labels[:, : answers.vote_k], top=5)
    return (ranking == answers.query_labels[:, None]).any(axis=1)


def superclass_of_vote(answers: Answers) -> np.ndarray | None:
    """Return whether the elected class has the query's superclass, bool `[n]`; None without any."""
    if answers.superclasses is None:
        return None
    elected = answers.elected(answers.vote_k)
    return answers.superclasses[elected] == answers.superclasses[answers.query_labels]


def average_precision(answers: Answers) -> np.ndarray:
    """Return AP@R, float64 `[n]`."""
    return retrieval.average_precision(
        answers.neighbour_labels, answers.query_labels, answers.n_relevant
    )


def r_precision(answers: Answers) -> np.ndarray:
    """Return R-precision, float64 `[n]`."""
    return retrieval.r_precision(answers.neighbour_labels, answers.query_labels, answers.n_relevant)


def _cosine(answers: Answers) -> np.ndarray:
    """Return the cosine similarity of each query with its voters, float64 `[n, vote_k]`."""
    rows = answers.rows[:, : answers.vote_k]
    queries = answers.query_vectors.astype(np.float64)
    queries /= _lengths(queries)[:, None]
    voters = answers.gallery_vectors[rows].astype(np.float64)  # (n, vote_k, D)
    voters /= _lengths(answers.gallery_vectors.astype(np.float64))[rows, None]
    return np.einsum("qd,qkd->qk", queries, voters)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths of vectors, float64 `[n]`, that it is safe to divide by."""
    return np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
