"""The figures of a workspace that has run, beside the floors and their intervals.

Nothing heavier than NumPy and pydantic is imported.
"""

from dataclasses import dataclass
from pathlib import Path

from siamese.base.errors import InputError
from siamese.comparison.origin import about_origin
from siamese.comparison.result_files import (
    Calibrated,
    Claims,
    ClassRow,
    Confused,
    Details,
    Figures,
    Floor,
    Floors,
    Novel,
    RanOn,
    Training,
    VerificationFloor,
    read_csv,
    read_json,
)
from siamese.comparison.revisions import WORKSPACE, Revision
from siamese.evaluation.figures import find_figure

TRAINING, RAN_ON = "metrics/training.json", "metrics/ran_on.json"
EVALUATION, DETAILS = "metrics/evaluation.json", "metrics/details.json"
FLOOR, CLASSES = "metrics/floor.json", "metrics/classes.csv"
Intervals = dict[str, tuple[float, float]]
LISTED = 5  # classes and pairs of classes shown of each kind


@dataclass(frozen=True)
class Value:
    """A figure or a floor, a fraction, and the 95 % interval if it has one."""

    label: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Topic:
    """Figures under one title."""

    title: str
    values: list[Value]


@dataclass(frozen=True)
class Promise:
    """Error rates of a threshold calibrated on validation: there, and on test."""

    label: str
    promised_far: float
    far: float
    promised_frr: float
    frr: float


@dataclass(frozen=True)
class Results:
    """What there is to show.

    Attributes:
        origin: what the figures were made with, in sentences, where that is not what stands in the
            workspace now; to be read first.
        topics: the figures.
        promises: of the thresholds; none where claims are not asked about, nor in results of
            earlier versions.
        remarks: on test images that are in the gallery too, and on those that cannot be found.
        best: classes that are recognised best; empty where nothing is classified.
        worst: classes that are recognised worst.
        confused: pairs of classes most taken for one another.
        trained: on training, a sentence without its full stop.
    """

    origin: list[str]
    topics: list[Topic]
    promises: list[Promise]
    remarks: list[str]
    best: list[ClassRow]
    worst: list[ClassRow]
    confused: list[Confused]
    trained: str


def read_results(workspace: Path) -> Results:
    """Read the figures of a workspace; files that Git tracks are enough.

    Raises:
        InputError: a file of `metrics/` or dvc.lock is not there or damaged, or the floors are of
            other splits.
    """
    here = Revision(WORKSPACE, None, workspace)
    training: Training = read_json(here, TRAINING, Training)
    ran_on: RanOn = read_json(here, RAN_ON, RanOn)
    evaluation: dict[str, dict[str, float]] = read_json(here, EVALUATION, Figures)
    details: Details = read_json(here, DETAILS, Details)
    any_floor: Floor | VerificationFloor = read_json(here, FLOOR, Floor | VerificationFloor)
    if ("knn" in evaluation) == isinstance(any_floor, VerificationFloor):
        raise InputError(
            f"{workspace / FLOOR}: of other splits than evaluation.json; `dvc repro` brings"
            " both up to date"
        )
    ranked: list[ClassRow] = []
    if details.confused is not None:
        ranked = sorted(read_csv(here, CLASSES, ClassRow), key=lambda row: -row.accuracy)
    # What is classified, and not forged, is seldom asked about by claims.
    is_about_claims = "skilled" in evaluation or "knn" not in evaluation
    n_listed = min(LISTED, len(ranked) // 2)
    return Results(
        origin=about_origin(here),
        topics=_topics(evaluation, details, any_floor, is_about_claims),
        promises=_promises(details.calibration) if details.calibration and is_about_claims else [],
        remarks=_remarks(details),
        best=ranked[:n_listed],
        worst=ranked[::-1][:n_listed],
        confused=(details.confused or [])[:LISTED],
        trained=(
            f"Trained {training.epochs} epochs on {ran_on.device} in {ran_on.precision};"
            f" the weights are epoch {training.best_epoch}'s"
        ),
    )


def _remarks(details: Details) -> list[str]:
    remarks = [
        f"{found.queries:,} of {found.of:,} test images have {what} in the gallery"
        for found, what in (
            (details.copies, "an exact copy"),
            (details.near_duplicates, "a near-duplicate"),
        )
        if found
    ]
    findable = details.findable
    if findable and findable.queries < findable.of:
        remarks.append(
            f"{findable.of - findable.queries:,} of {findable.of:,} test images of classes never"
            " seen have no other of their class: recall and MAP@R leave them out"
        )
    return remarks


def _promises(calibrated: Calibrated) -> list[Promise]:
    names = {"accuracy": "pairs, most decided right", "eer": "pairs, at equal error rates"}
    rows = [(names.get(name, name), one) for name, one in calibrated.pairs.items()]
    rows += [(f"claims against {number}", one) for number, one in calibrated.claims.items()]
    return [
        Promise(label, one.promised.far, one.done.far, one.promised.frr, one.done.frr)
        for label, one in rows
    ]


def _topics(
    evaluation: dict[str, dict[str, float]],
    details: Details,
    floor: Floor | VerificationFloor,
    is_about_claims: bool,
) -> list[Topic]:
    intervals = details.intervals
    test_pairs = _values("verification", evaluation.get("verification", {}), intervals)
    retrieval = _values("retrieval", evaluation.get("retrieval", {}) | details.retrieval, intervals)
    topics = []
    if isinstance(floor, Floor):
        votes = _values("knn", evaluation["knn"] | details.knn, intervals)
        topics.append(Topic("k-NN on the test split, top-1", [*_floors(floor), *votes]))
        title = "Retrieval in the gallery, R = the samples of the query's class"
        topics.append(Topic(title, retrieval))
        topics.append(Topic("Verification of test pairs", test_pairs))
    else:
        if retrieval:  # results of earlier versions have none
            topics.append(Topic("Retrieval among test images of classes never seen", retrieval))
        topics.append(
            Topic(
                "Verification of test pairs, of classes never seen",
                [*_floors(floor.verification, ", ROC area"), *test_pairs],
            )
        )
    pairs = details.verification
    rates = {key: rate for key, rate in pairs.rates.items() if find_figure(f"verification.{key}")}
    which = "the given pairs" if pairs.pairs else "all pairs of test images"
    topics.append(
        Topic(
            f"Verification of {which}, {pairs.like_pairs:,} like and {pairs.unlike_pairs:,} unlike",
            _values("verification", rates, intervals),
        )
    )
    if skilled := _values("skilled", evaluation.get("skilled", {}), intervals):
        topics.append(Topic("Skilled pairs, of a test image and a forgery of it", skilled))
    if details.claims and is_about_claims:
        topics.append(_claims(evaluation.get("claims", {}), details.claims, intervals))
    if details.novel and isinstance(floor, Floor):
        topics += _seen_and_novel(evaluation, details.novel, intervals, floor)
    return topics


def _claims(figures: dict[str, float], claims: Claims, intervals: Intervals) -> Topic:
    others = {key: value for key, value in claims.figures.items() if find_figure(f"claims.{key}")}
    rule = {
        "mean": " by their mean distance",
        "min": " by the least distance",
        "relative": " by the relative distance",
    }
    return Topic(
        f"Claims against R references{rule.get(claims.rule or '', '')}, of {claims.classes[0]:,}"
        " classes",
        _values("claims", figures | others, intervals),
    )


def _seen_and_novel(
    evaluation: dict[str, dict[str, float]],
    novel: Novel,
    intervals: Intervals,
    floor: Floor,
) -> list[Topic]:
    """Return the test images of classes seen in training and those of classes never seen, apart."""
    return [
        Topic(
            title,
            [
                *(_floors(floors) if floors else []),
                *_values(name, evaluation.get(name, {}), intervals),
            ],
        )
        for name, title, floors in (
            ("seen", "Test images of classes seen in training", floor.seen),
            (
                "novel",
                f"Test images of classes never seen: {novel.queries:,} of {novel.classes:,}"
                f" classes, {novel.enrolled:,} more of them enrolled in the gallery",
                floor.novel,
            ),
        )
    ]


def _floors(floors: Floors, of: str = "") -> list[Value]:
    return [
        Value(f"raw pixels (floor){of}", floors.pixels),
        Value(f"network before training (floor){of}", floors.untrained),
    ]


def _values(topic: str, values: dict[str, float], intervals: Intervals) -> list[Value]:
    """Name the figures of a topic, `values` by key."""
    named = []
    for key, value in values.items():
        name = f"{topic}.{key}"
        figure = find_figure(name)
        named.append(Value(figure.label if figure else name, value, intervals.get(name)))
    return named
