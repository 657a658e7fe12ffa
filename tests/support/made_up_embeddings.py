"""Embeddings of a made-up test split, small enough for plain loops, and such loops."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.evaluate import Evaluation, evaluate
from siamese.evaluation.params import EvaluateParams
from siamese.model.calibration import Calibration, ClaimCalibration
from siamese.training.thresholds import calibrate

N_CLASSES = 6  # in three superclasses: 0 and 1, 2 and 3, 4 and 5


def embeddings(count: int, first_sample: int, seed: int, has_coarse: bool = True) -> Embeddings:
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, N_CLASSES, count)
    centres = np.random.default_rng(0).normal(size=(N_CLASSES, 4))
    vectors = (centres[fine] + rng.normal(size=(count, 4))).astype(np.float32)
    coarse = fine // 2 if has_coarse else None
    return Embeddings(np.arange(count) + first_sample, fine, coarse, vectors)


def params(**changes: object) -> EvaluateParams:
    values: dict[str, object] = {
        "k": [1, 5],
        "vote_k": 5,
        "temperature": 0.1,
        "curve_k": [1, 3, 10],
        "sheet_queries": 2,
        "sheet_neighbours": 3,
        "resamples": 100,
        "seed": 0,
    }
    return EvaluateParams(**(values | changes))  # type: ignore[arg-type]


THRESHOLDS: Calibration = calibrate(np.array([0.5, 1.5, 2.5]), np.array([True, True, False]))
NOVEL = (4, 5)


def pairs_by_kind(queries: Embeddings, is_novel: np.ndarray, n: int = 40) -> pd.DataFrame:
    """Half the pairs alike and half unlike, all among seen or among novel classes."""
    rng = np.random.default_rng(5)
    wanted = {True: n // 2, False: n // 2}
    drawn = []
    while any(wanted.values()):
        left, right = rng.choice(len(queries.samples), 2, replace=False)
        same = bool(queries.fine[left] == queries.fine[right])
        if is_novel[left] == is_novel[right] and wanted[same]:
            wanted[same] -= 1
            drawn.append((int(queries.samples[left]), int(queries.samples[right]), same))
    return pd.DataFrame(drawn, columns=["left", "right", "same"])


class MadeUpSplit:
    """60 gallery samples and some queries of six classes, of which some were never seen.

    Every third query has a near-duplicate, and every sixth an exact copy.
    """

    def __init__(self, novel: tuple[int, ...] = (), n_queries: int = 50) -> None:
        self.gallery, self.queries = embeddings(60, 100, 1), embeddings(n_queries, 500, 2)
        self.is_novel = np.isin(self.queries.fine, novel)
        self.enrolled = np.isin(self.gallery.fine, novel)
        self.copied = np.arange(n_queries) % 6 == 0
        self.near_duplicate = np.arange(n_queries) % 3 == 0
        self.pairs = pairs_by_kind(self.queries, self.is_novel)
        self.forged: Embeddings | None = None
        self.pictures: np.ndarray | None = None
        self.calibration = THRESHOLDS

    def evaluate(self, **changes: object) -> Evaluation:
        """Evaluate the queries, with other parameters where they are given."""
        return evaluate(
            self.gallery,
            self.queries,
            self.copied,
            self.near_duplicate,
            self.is_novel,
            self.pairs,
            self.calibration,
            params(**changes),
            self.forged,
            self.pictures,
        )


def with_forgeries(novel: tuple[int, ...] = ()) -> MadeUpSplit:
    """A split with 30 forgeries of four of its classes, some of them among the test pairs.

    A query is a copy of another. Claims have thresholds.
    """
    made = MadeUpSplit(novel)
    queries, pairs = made.queries, made.pairs
    # Prepared samples are numbered whatever they are: every other one is a forgery here.
    made.queries = queries = replace(queries, samples=2 * queries.samples)
    pairs[["left", "right"]] *= 2
    drawn = embeddings(60, 0, 3)
    few = np.flatnonzero(drawn.fine < 4)[:30]
    samples = queries.samples[0] + 1 + 2 * np.arange(30)
    made.forged = Embeddings(samples, drawn.fine[few], None, drawn.vectors[few])
    made.pictures = np.arange(samples[-1] + 2000)
    first, second = queries.samples[queries.fine == 0][:2]
    made.pictures[second] = first
    for row in np.flatnonzero(~pairs["same"])[-8:]:
        label = queries.fine[queries.samples == pairs["left"][row]]
        if (forgeries := samples[made.forged.fine == label]).size:
            pairs.loc[row, "right"] = forgeries[-1]
    claims = ClaimCalibration("mean", (1, 3), (1.7, 1.6), (0.3, 0.2), (0.3, 0.25), "forgery")
    made.calibration = replace(THRESHOLDS, claims=claims)
    return made


def plain_neighbours(gallery: Embeddings, query: np.ndarray) -> list[int]:
    """All gallery rows, nearest first."""
    distances = [math.dist(vector, query) for vector in gallery.vectors.tolist()]
    return sorted(range(len(distances)), key=lambda row: (distances[row], row))


def plain_vote(gallery: Embeddings, rows: list[int], weights: list[float]) -> list[int]:
    """The classes, most votes first, among equals the one of the nearest voter."""
    votes: Counter[int] = Counter()
    for row, weight in zip(rows, weights, strict=True):
        votes[int(gallery.fine[row])] += weight  # type: ignore[assignment]
    return [label for label, _ in votes.most_common()]  # keeps the order of first votes
