"""What the embedding is worth on the test split: classification, retrieval and verification.

Verification is of pairs of queries drawn at random, and, where there are forgeries, of *skilled*
pairs: an image and a forgery of it. Pairs that are given, a protocol's, are measured as they are.
Claims are tried too, see `siamese.measures.claim_drawing`.

A class is *novel* if training and validation have no sample of it, else *seen*. Some test samples
of a novel class may be *enrolled*: they are in the gallery like any other. Where the gallery has no
sample of any query's class there is nothing to classify by: then, as in the retrieval benchmarks,
each query is searched for among the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.bootstrap import CONFIDENCE, estimate
from siamese.evaluation.class_measurement import class_measurement
from siamese.evaluation.figures import TOPICS, Figure, OfAllPairs, figures_for, round_figure
from siamese.evaluation.folds import FoldedPairs, standard_error
from siamese.evaluation.judgement import (
    Judgement,
    judge,
    judge_alone,
    judge_among_others,
    judge_novel_among_others,
)
from siamese.evaluation.measurement import measurement, rows_of_pairs
from siamese.evaluation.pair_histogram import (
    PairHistogram,
    greatest_distance,
    histogram_of,
    pair_histogram,
)
from siamese.evaluation.params import EvaluateParams
from siamese.evaluation.promises import promises
from siamese.evaluation.skilled_pairs import skilled_pairs
from siamese.measures.claim_drawing import KINDS, Claims, claims_by_references
from siamese.measures.manifest import are_given
from siamese.measures.verification import check_pairs, pair_distances
from siamese.model.calibration import Calibration


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what the pictures and tables are made from.

    Attributes:
        metrics: the content of `metrics/evaluation.json`: fractions in [0, 1], four decimals.
        details: the content of `metrics/details.json`, but for the classes most confused.
        per_query: one row per query: `sample`, whether each vote was right, AP@R and R-precision,
            `copied`, `near_duplicate`, `predicted` (by `vote_k` neighbours) and `fine`. Where some
            queries are novel and some are not, also `novel`, and as `alone_k1` and the like whether
            the vote of the enrolled samples alone was right, and `novel_recall_at_1`,
            `novel_average_precision` and `novel_findable` of the search among the other test
            samples of novel classes; all of these false or 0 for the queries that are not novel.
            Where nothing is classified, instead of votes and `predicted`, `recall_at_1` and the
            like and `findable`: whether another query has the class.
        per_pair: one row per test pair that has no forgery: `left`, `right`, `same`, `distance`. Of
            given pairs, one row each, and `fold`.
        roc: of all pairs of queries, or of the given ones, as `PairHistogram.roc` returns it.
        distances: of the same, as `PairHistogram.distances` returns it.
        judgement: what became of the queries; None where nothing is classified.
        skilled: skilled pairs by distance, in the bins of all pairs; None without forgeries.
        hard_pairs: what the hardest are picked from to be drawn: the skilled pairs, in the columns
            of `per_pair`; without forgeries, and of given pairs, `per_pair` itself.
    """

    metrics: dict[str, dict[str, float]]
    details: dict[str, Any]
    per_query: pd.DataFrame
    per_pair: pd.DataFrame
    roc: pd.DataFrame
    distances: pd.DataFrame
    judgement: Judgement | None
    skilled: PairHistogram | None
    hard_pairs: pd.DataFrame


def evaluate(
    gallery: Embeddings,
    queries: Embeddings,
    copied: np.ndarray,
    near_duplicate: np.ndarray,
    novel: np.ndarray,
    test_pairs: pd.DataFrame,
    calibration: Calibration,
    params: EvaluateParams,
    forged: Embeddings | None = None,
    pictures: np.ndarray | None = None,
) -> Evaluation:
    """Classify every query by its neighbours, judge its retrieval, and verify pairs and claims.

    Args:
        gallery: labelled embeddings to vote with. If it has none of any query's class, the queries
            are not classified, but searched for among one another.
        queries: labelled embeddings to classify; none of them is in the gallery.
        copied: bool `[Q]`, queries that have an exact copy in the gallery.
        near_duplicate: bool `[Q]`, queries whose photograph is in the gallery too.
        novel: bool `[Q]`, queries of a class that training and validation have no sample of. Where
            some are and some are not, there are figures of each kind apart as well.
        test_pairs: `left`, `right` (sample numbers among queries and forgeries), `same`. A pair is
            of the kind of its left sample. With `fold` they are given, not drawn, and the figures
            of pairs are of exactly these; there are none of seen and novel classes apart.
        calibration: thresholds from the validation split.
        params: the `evaluate` section.
        forged: embeddings of forgeries, labelled by what they claim to be; None without any.
        pictures: int64, by sample number, one number for all exact copies of an image. Without it
            no image is a copy.

    Raises:
        InputError: a k is larger than the gallery, a test pair is not of two queries or forgeries,
            or there are no like or no unlike pairs.
    """
    shown = queries.with_forgeries(forged) if forged else queries
    members = _rows_of_members(test_pairs, shown.samples)  # (P, 2)
    every = pair_distances(shown.vectors, *members.T), test_pairs["same"].to_numpy()
    check_pairs(*every)
    given = are_given(test_pairs)
    # Drawn with a forgery, a pair is no random one: it is among the skilled pairs below.
    is_counted = (shown.fine[members] >= 0).all(axis=1) | given
    test_pairs, distances, same = (part[is_counted] for part in (test_pairs, *every))
    samples = test_pairs[["left", "right"]].to_numpy()
    others = np.setdiff1d(samples, queries.samples)
    members = rows_of_pairs(samples, queries.samples, others)
    if given:
        all_pairs = histogram_of(distances, same, greatest_distance(shown.vectors))
    else:
        all_pairs = pair_histogram(queries.vectors, queries.fine)
    copies_of = shown.samples if pictures is None else pictures[shown.samples]
    skilled = skilled_pairs(shown.vectors, shown.fine, copies_of)
    claims = claims_by_references(shown.vectors, shown.fine, copies_of)

    judgement = None
    columns: dict[str, np.ndarray] = {"sample": queries.samples}
    counts: dict[str, dict[str, int]] = {}
    if np.isin(queries.fine, gallery.fine).any():
        judgement = judge(gallery, queries, params)
        columns |= judgement.outcomes
        for name, is_one in (("copies", copied), ("near_duplicates", near_duplicate)):
            counts[name] = _counted(is_one, len(is_one))
    else:
        rows = np.arange(len(queries.samples))
        columns |= judge_among_others(queries, rows, "others", params)
        counts["findable"] = _counted(columns["findable"], len(rows))
    columns |= {"copied": copied, "near_duplicate": near_duplicate}
    if judgement and novel.any() and not novel.all():
        enrolled = np.isin(gallery.fine, queries.fine[novel])
        columns["novel"] = novel
        columns |= judge_alone(gallery, queries, novel, enrolled, params)
        columns |= judge_novel_among_others(gallery, queries, novel, enrolled, params)
        counts["findable"] = _counted(columns["novel_findable"], int(novel.sum()))
        counts["novel"] = {
            "classes": len(np.unique(queries.fine[novel])),
            "queries": int(novel.sum()),
            "enrolled": int(enrolled.sum()),
        }
    if judgement:
        columns["predicted"] = judgement.predicted
    columns["fine"] = queries.fine

    threshold = calibration.accuracy_threshold
    figures = figures_for(params)
    folds = test_pairs["fold"].to_numpy() if given else None
    measure = measurement(figures, columns, distances, same, members, threshold, folds)
    n_images = len(queries.samples) + len(others)
    estimates = estimate(measure, n_images, params.resamples, params.seed)
    classes = np.unique(np.maximum(shown.fine, -1 - shown.fine))
    measure = class_measurement(figures, classes, skilled, claims, calibration)
    estimates |= estimate(measure, len(classes), params.resamples, params.seed)
    values = {name: one.value for name, one in estimates.items()}
    for figure in figures:
        if isinstance(figure.source, OfAllPairs) and (
            (value := figure.source.measure(all_pairs)) is not None
        ):
            values[figure.name] = round_figure(value)

    details: dict[str, Any] = {
        "intervals": {name: [one.low, one.high] for name, one in estimates.items()},
        "bootstrap": {
            "confidence": CONFIDENCE,
            "resamples": params.resamples,
            "seed": params.seed,
            "unit": "test images; for `skilled` and `claims` classes",
        },
    }
    details |= _by_topic([figure for figure in figures if figure.is_detail], values)
    if claims:
        details["claims"] = _counts_of(claims, calibration) | details.get("claims", {})
    details["verification"] = {
        "threshold": threshold,
        **details.get("verification", {}),
        "like_pairs": int(all_pairs.like.sum()),
        "unlike_pairs": int(all_pairs.unlike.sum()),
    }
    if folds is not None:
        details["verification"] |= _about_given(distances, same, members, folds, n_images)
    details["calibration"] = promises(calibration, *every, claims)
    per_pair = hard_pairs = test_pairs.assign(distance=distances)
    if skilled and not given:
        left, right = shown.samples[skilled.members].T
        hard_pairs = pd.DataFrame(
            {"left": left, "right": right, "same": skilled.same, "distance": skilled.distances}
        )
    return Evaluation(
        metrics=_by_topic([figure for figure in figures if not figure.is_detail], values),
        details=details | counts,
        per_query=pd.DataFrame(columns),
        per_pair=per_pair,
        roc=all_pairs.roc(),
        distances=all_pairs.distances(),
        judgement=judgement,
        skilled=histogram_of(skilled.distances, skilled.same, all_pairs.top) if skilled else None,
        hard_pairs=hard_pairs,
    )


def _about_given(
    distances: np.ndarray, same: np.ndarray, members: np.ndarray, folds: np.ndarray, n_images: int
) -> dict[str, Any]:
    """Say that the pairs are given; of folds, also how much they scatter."""
    if len(np.unique(folds)) == 1:
        return {"pairs": "given"}
    pairs = FoldedPairs(distances, same, members[:, 0], members[:, 1], folds)
    accuracies = pairs.accuracies(np.ones(n_images))
    assert accuracies is not None  # every fold has both kinds
    return {
        "pairs": "given",
        "folds": len(accuracies),
        "accuracy_by_folds_standard_error": round_figure(standard_error(accuracies)),
    }


def _counts_of(claims: dict[int, Claims], calibration: Calibration) -> dict[str, Any]:
    """Say what the figures of claims are about, by number of references."""
    rule = {"rule": calibration.claims.rule} if calibration.claims else {}
    return rule | {
        "references": [*claims],
        "classes": [one.n_classes for one in claims.values()],
        **{kind: [one.count(kind) for one in claims.values()] for kind in KINDS},
    }


def _rows_of_members(test_pairs: pd.DataFrame, samples: np.ndarray) -> np.ndarray:
    """Return the rows of both images of each pair among those of `samples`, int64 `[P, 2]`."""
    members = test_pairs[["left", "right"]].to_numpy()
    is_none = ~np.isin(members, samples).all(axis=1)
    if is_none.any():
        raise InputError(
            f"data/pairs/test.parquet: {is_none.sum()} pairs are not of two queries, the first"
            f" in row {is_none.argmax()}; run `dvc repro evaluate`, which brings pairs and"
            " embeddings up to date"
        )
    return np.searchsorted(samples, members)


def _counted(is_one: np.ndarray, total: int) -> dict[str, int]:
    return {"queries": int(is_one.sum()), "of": total}


def _by_topic(figures: Sequence[Figure], values: dict[str, float]) -> dict[str, dict[str, float]]:
    """Lay out the figures that have a value as `metrics/evaluation.json` does."""
    laid_out: dict[str, dict[str, float]] = {topic: {} for topic in TOPICS}
    for figure in figures:
        if figure.name in values:
            laid_out[figure.topic][figure.key] = values[figure.name]
    return {topic: found for topic, found in laid_out.items() if found}
