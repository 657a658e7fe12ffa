"""Every figure that is reported, one row each: what it is called, and what it is computed from.

`evaluate` computes the figures by this table; `siamese show`, `siamese compare` and the table of
experiments read their labels, their columns and their queries from it. A new figure is a function
and a row here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from siamese.evaluation.answers import (
    Answers,
    among_five,
    average_precision,
    plain_vote,
    r_precision,
    recall,
    superclass_of_vote,
    weighted_vote,
)
from siamese.evaluation.folds import mean_accuracy
from siamese.evaluation.pair_histogram import PairHistogram, true_accepts
from siamese.evaluation.pair_rates import (
    PairRates,
    accuracy,
    area_under_roc,
    equal_error_rate,
    false_accepts,
    false_rejects,
)
from siamese.measures.claims import REFERENCES, FalseKind

if TYPE_CHECKING:  # readers of the table need no parameters, nor what reads them
    from siamese.evaluation.params import EvaluateParams

# What a figure is about: all queries, those without an exact copy in the gallery or without a
# near-duplicate there, those of classes seen in training, or those of novel classes. Where queries
# are searched for among one another, `findable` are those whose class has another image there;
# where they are not, all. A pair is about its left image.
About = Literal["all", "no_copies", "clean", "findable", "seen", "novel", "novel_findable"]
# What only a test split with queries of both kinds has.
OF_ONE_KIND: tuple[About, ...] = ("seen", "novel", "novel_findable")
# Which gallery answers: the whole one, the enrolled samples alone, or the other test images: other
# queries where all are of classes that the gallery lacks, else other images of novel classes,
# enrolled or not.
Gallery = Literal["whole", "enrolled", "others", "novel_others"]


@dataclass(frozen=True)
class MeanOf:
    """The mean of one value per query.

    Attributes:
        column: of `metrics/per_query.parquet`; `{k}` stands for k.
        outcome: gives the column, bool or float64 `[n]`, from `Answers`, and from k where the
            figure has one; None as its result leaves the figure out. Not given where another row
            has it.
        galleries: which ones answer; the test split decides.
    """

    column: str
    outcome: Callable[..., np.ndarray | None] | None = None
    galleries: tuple[Gallery, ...] = ("whole",)


@dataclass(frozen=True)
class OfTestPairs:
    """A measure of the test pairs of `metrics/per_pair.parquet`."""

    measure: Callable[[PairRates], float]


@dataclass(frozen=True)
class OfFolds:
    """A measure of the accuracies of the folds of given test pairs, where there are two or more."""

    measure: Callable[[np.ndarray], float]


@dataclass(frozen=True)
class OfSkilledPairs:
    """A measure of all pairs of an image and a forgery of it, beside all genuine ones."""

    measure: Callable[[PairRates], float]


@dataclass(frozen=True)
class OfClaims:
    """A measure of true claims, and of false ones of one kind.

    Attributes:
        measure: of their error rates.
        against: what the false claims are.
        needs_threshold: whether a calibrated one decides; without any the figure is left out.
        references: how many each claim is tried against; 0 in the table, where `{k}` stands for it.
    """

    measure: Callable[[PairRates], float]
    against: FalseKind
    needs_threshold: bool = False
    references: int = 0


@dataclass(frozen=True)
class OfAllPairs:
    """A measure of all pairs of queries, or of the given ones; None leaves the figure out."""

    measure: Callable[[PairHistogram], float | None]


@dataclass(frozen=True)
class Figure:
    """One figure, or one for each of several numbers of neighbours, or of references, k.

    Attributes:
        name: where it stands in `metrics/evaluation.json`, as `topic.key`; `{k}` stands for k.
        label: for people; `{k}` stands for k.
        source: what it is computed from.
        about: which queries.
        ks: the numbers that it is reported for; None for a figure without any.
        is_detail: it stands in `metrics/details.json` instead.
        higher_is_better: which way it gets better.
    """

    name: str
    label: str
    source: MeanOf | OfTestPairs | OfFolds | OfAllPairs | OfSkilledPairs | OfClaims
    about: About = "all"
    ks: "Callable[[EvaluateParams], Sequence[int]] | None" = None
    is_detail: bool = False
    higher_is_better: bool = True

    @property
    def topic(self) -> str:
        """The part of `metrics/evaluation.json` that it stands in."""
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        """Its name there."""
        return self.name.partition(".")[2]

    def at(self, k: int) -> "Figure":
        """Return the figure for one number of neighbours, or of references."""
        source = self.source
        if isinstance(source, MeanOf):
            source = replace(source, column=source.column.format(k=k))
        if isinstance(source, OfClaims):
            source = replace(source, references=k)
        name, label = self.name.format(k=k), self.label.format(k=k)
        return replace(self, name=name, label=label, source=source, ks=None)


EVERY_K = attrgetter("k")


def _every_number_of_references(params: "EvaluateParams") -> Sequence[int]:
    return REFERENCES


RECALL_KS = (1, 10)  # numbers of neighbours of recall@k
AUC, EER, ACCURACY = map(OfTestPairs, (area_under_roc, equal_error_rate, accuracy))
TAR_1, TAR_01 = (OfAllPairs(partial(true_accepts, far=far)) for far in (0.01, 0.001))
# Key, label, measure, and the kind of false claims.
CLAIM_FIGURES: tuple[tuple[str, str, Callable[[PairRates], float], FalseKind], ...] = (
    ("eer_forgeries", "EER of forgeries", equal_error_rate, "forgery"),
    ("eer_strangers", "EER of strangers", equal_error_rate, "stranger"),
    ("frr", "false rejects", false_rejects, "stranger"),
    ("far_forgeries", "forgeries accepted", false_accepts, "forgery"),
    ("far_strangers", "strangers accepted", false_accepts, "stranger"),
)
# The order of the parts of `metrics/evaluation.json`; within one, figures have the table's order.
TOPICS = ("knn", "retrieval", "verification", "skilled", "claims", "seen", "novel")
FIGURES = (
    Figure("knn.k{k}", "embedding, k = {k}", MeanOf("k{k}", plain_vote), ks=EVERY_K),
    Figure("knn.weighted", "weighted vote", MeanOf("weighted", weighted_vote)),
    Figure("knn.top5", "among the five classes with most votes", MeanOf("top5", among_five)),
    Figure("knn.coarse", "superclass", MeanOf("coarse", superclass_of_vote)),
    *(
        Figure(
            *(f"retrieval.recall_at_{k}", f"recall@{k}"),
            MeanOf(f"recall_at_{k}", partial(recall, k=k), ("others",)),
            "findable",
            is_detail=k > 1,
        )
        for k in RECALL_KS
    ),
    Figure(
        *("retrieval.map_at_r", "MAP@R"),
        MeanOf("average_precision", average_precision, ("whole", "others")),
        "findable",
    ),
    Figure(
        *("retrieval.r_precision", "R-precision"),
        MeanOf("r_precision", r_precision, ("whole", "others")),
        "findable",
        is_detail=True,
    ),
    Figure(
        *("knn.k{k}_no_copies", "embedding, k = {k}, no exact copies", MeanOf("k{k}"), "no_copies"),
        ks=lambda params: [params.vote_k],
    ),
    Figure(
        *("knn.k{k}_clean", "embedding, k = {k}, no near-duplicates", MeanOf("k{k}"), "clean"),
        ks=lambda params: [params.vote_k],
    ),
    Figure("seen.k{k}", "embedding, k = {k}", MeanOf("k{k}"), "seen", EVERY_K),
    Figure("novel.k{k}", "embedding, k = {k}", MeanOf("k{k}"), "novel", EVERY_K),
    Figure(
        "novel.alone_k{k}",
        "gallery of such classes alone, k = {k}",
        MeanOf("alone_k{k}", plain_vote, ("enrolled",)),
        "novel",
        lambda params: sorted({1, params.vote_k}),
    ),
    Figure(
        *("novel.recall_at_1", "among these and the enrolled: recall@1"),
        MeanOf("novel_recall_at_1", partial(recall, k=1), ("novel_others",)),
        "novel_findable",
    ),
    Figure(
        *("novel.map_at_r", "among these and the enrolled: MAP@R"),
        MeanOf("novel_average_precision", average_precision, ("novel_others",)),
        "novel_findable",
    ),
    Figure("verification.auc", "area under the ROC", AUC),
    Figure("verification.eer", "equal error rate", EER, higher_is_better=False),
    Figure("verification.accuracy", "accuracy", ACCURACY),
    Figure(
        *("verification.accuracy_by_folds", "accuracy, by the other folds' threshold"),
        OfFolds(mean_accuracy),
    ),
    Figure("seen.auc", "pairs: area under the ROC", AUC, "seen"),
    Figure("seen.eer", "pairs: equal error rate", EER, "seen", higher_is_better=False),
    Figure("seen.accuracy", "pairs: accuracy", ACCURACY, "seen"),
    Figure("novel.auc", "pairs: area under the ROC", AUC, "novel"),
    Figure("novel.eer", "pairs: equal error rate", EER, "novel", higher_is_better=False),
    Figure("novel.accuracy", "pairs: accuracy", ACCURACY, "novel"),
    Figure(
        *("verification.tar_at_far_1%", "true accepts at 1 % false accepts", TAR_1),
        is_detail=True,
    ),
    Figure(
        *("verification.tar_at_far_0.1%", "true accepts at 0.1 % false accepts", TAR_01),
        is_detail=True,
    ),
    *(
        Figure(
            f"skilled.{key}",
            f"skilled pairs: {label}",
            OfSkilledPairs(measure),
            higher_is_better=better,
        )
        for key, label, measure, better in (
            ("auc", "area under the ROC", area_under_roc, True),
            ("eer", "equal error rate", equal_error_rate, False),
            ("accuracy", "accuracy", accuracy, True),
        )
    ),
    *(
        Figure(
            *(f"claims.{key}_{{k}}", f"claims against {{k}}: {label}"),
            OfClaims(measure, against, needs_threshold=measure is not equal_error_rate),
            ks=_every_number_of_references,
            is_detail=key != "eer_forgeries",
            higher_is_better=False,
        )
        for key, label, measure, against in CLAIM_FIGURES
    ),
)
# What the table of experiments has room for.
MAIN = ("knn.k1", "knn.k20", "retrieval.map_at_r", "verification.auc", "verification.eer")


def figures_for(params: "EvaluateParams") -> list[Figure]:
    """Return the figures that these parameters ask for, one for each k, in the table's order."""
    return [
        one
        for figure in FIGURES
        for one in ([figure.at(k) for k in figure.ks(params)] if figure.ks else [figure])
    ]


def outcomes_of(answers: Answers, gallery: Gallery) -> dict[str, np.ndarray]:
    """Return the columns of `metrics/per_query.parquet` that the answers of a gallery give.

    Those of `vote_k` are among them, whether a figure is reported for it or not. Votes of more
    neighbours than the answers have are left out.

    Returns:
        bool or float64 `[n]` by column, in the table's order.
    """
    columns: dict[str, np.ndarray | None] = {}
    for figure in FIGURES:
        source = figure.source
        if not isinstance(source, MeanOf) or not source.outcome or gallery not in source.galleries:
            continue
        if figure.ks is None:
            columns[source.column] = source.outcome(answers)
            continue
        for k in sorted({*figure.ks(answers.params), answers.params.vote_k}):
            if k <= answers.rows.shape[1]:
                columns[source.column.format(k=k)] = source.outcome(answers, k)
    return {name: values for name, values in columns.items() if values is not None}


def find_figure(name: str) -> Figure | None:
    """Return the figure of a name in `metrics/evaluation.json` or `details.json`, or None."""
    for figure in FIGURES:
        pattern = re.escape(figure.name).replace(re.escape("{k}"), r"(\d+)")
        if match := re.fullmatch(pattern, name):
            return figure.at(int(match[1])) if figure.ks else figure
    return None


def queries_about(about: About, per_query: Mapping[str, Any]) -> np.ndarray:
    """Return which queries a figure is about, bool `[Q]`.

    Args:
        about: the attribute of the figure.
        per_query: the columns of `metrics/per_query.parquet`.

    Raises:
        KeyError: the column that tells them apart is missing.
    """
    if about == "all" or (about == "findable" and "findable" not in per_query):
        return np.ones(len(per_query["sample"]), dtype=bool)
    if about in ("findable", "novel_findable"):
        return np.asarray(per_query[about])
    if about in ("no_copies", "clean"):
        return ~np.asarray(per_query["copied" if about == "no_copies" else "near_duplicate"])
    novel = np.asarray(per_query["novel"])
    return novel if about == "novel" else ~novel


def round_figure(value: Any) -> float:
    """Return a figure as it is written: ten thousand queries carry four decimals."""
    return round(float(value), 4)
