"""Is the difference between two results real, and where does it come from?

Two things may be claimed, and they need different evidence:

- that **two models** differ: one run per side is enough, tested over the queries of both;
- that a **setting** helps: training again with another seed gives another model, so this needs
  several runs per side, and the difference is compared with their spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from siamese.base.errors import InputError
from siamese.comparison.provenance import (
    Change,
    StageChanges,
    changed_code,
    changes_between,
    differences,
    setting_of,
    stale,
)
from siamese.comparison.revisions import Revision
from siamese.comparison.runs import PER_PAIR, PER_QUERY, Run, check_one_setting, check_same_queries
from siamese.comparison.significance import (
    LEVEL,
    Outcome,
    bootstrap_images,
    bootstrap_means,
    holm,
    mcnemar,
    welch,
)
from siamese.evaluation.bootstrap import Measure
from siamese.evaluation.figures import Figure, OfFolds, OfTestPairs, find_figure
from siamese.evaluation.measurement import measurement, rows_of_pairs


@dataclass(frozen=True)
class Compared:
    """One metric of both sides.

    Attributes:
        metric: its dotted name.
        base: its value in each run of the base that has it.
        head: the same of the head.
        outcome: the difference and its test; None where one side lacks what a test needs.
        p: corrected for the number of metrics tested (Holm).
    """

    metric: str
    base: tuple[float, ...]
    head: tuple[float, ...]
    outcome: Outcome | None
    p: float | None

    @property
    def differs(self) -> bool:
        """Whether chance alone would rarely give such a difference, in any of the metrics."""
        return self.p is not None and self.p < LEVEL

    @property
    def difference(self) -> float:
        """The head's value less the base's; of means, where there are several runs."""
        return float(np.mean(self.head)) - float(np.mean(self.base))

    @property
    def is_better(self) -> bool:
        """Whether the head's value is the better one; it is not where one side has none."""
        if not (self.base and self.head):
            return False
        figure = find_figure(self.metric)
        return (self.difference > 0) == (figure is None or figure.higher_is_better)


@dataclass(frozen=True)
class Comparison:
    """The whole answer.

    Attributes:
        claim: what is being claimed: something about these two `models`, or about a `setting`.
        base: the runs of one side: one, or several of one setting.
        head: the runs of the other side.
        changes: what differs between the first runs of both sides, stage by stage.
        code: the files of code that differ between them; see `changed_code`.
        ran_on: what differs in the machine and the release of PyTorch.
        stale: by name of a run, what has changed since its figures were made.
        metrics: in the order of `metrics/evaluation.json`.
    """

    claim: Literal["models", "setting"]
    base: tuple[Run, ...]
    head: tuple[Run, ...]
    changes: list[StageChanges]
    code: list[Change]
    ran_on: list[Change]
    stale: dict[str, list[str]]
    metrics: list[Compared]

    @property
    def setting_changes(self) -> list[Change]:
        """What differs in the setting: parameters other than seeds, code, downloaded data."""
        return changes_between(setting_of(self.base[0].stages), setting_of(self.head[0].stages))

    @property
    def differing(self) -> list[Compared]:
        """The metrics whose difference is more than chance."""
        return [compared for compared in self.metrics if compared.differs]


def compare(base: Sequence[Revision], head: Sequence[Revision]) -> Comparison:
    """Compare two runs query by query, or two settings by several runs of each.

    Args:
        base: one revision, or several of one setting.
        head: the same.

    Raises:
        InputError: a revision has no results; the two were measured on other queries; one side has
            a single run and the other several; or the runs of a side differ in more than seeds.
    """
    sides = [[Run.of(revision) for revision in side] for side in (base, head)]
    several = max(map(len, sides)) > 1
    (first, *_), (other, *_) = sides
    if several:
        for side in sides:
            check_one_setting(side)
    runs = [run for side in sides for run in side]
    for run in runs:
        check_same_queries(first, run)
    metrics = compare_settings(*sides) if several else compare_models(first, other)
    return Comparison(
        claim="setting" if several else "models",
        base=tuple(sides[0]),
        head=tuple(sides[1]),
        changes=differences(first.stages, other.stages),
        code=changed_code((first.revision, first.stages), (other.revision, other.stages)),
        ran_on=changes_between(first.ran_on, other.ran_on),
        stale={str(run): changed for run in runs if (changed := stale(run.revision, run.stages))},
        metrics=metrics,
    )


def compare_models(base: Run, head: Run) -> list[Compared]:
    """Test each metric over the queries that both models answered.

    Right-or-wrong figures by McNemar's exact test, others by the paired bootstrap over the queries,
    which for verification are the images that the pairs are made of.

    Raises:
        InputError: a file is missing or broken, or the queries are not the same.
    """
    for run in (base, head):
        run.check_consistent()
    tested: dict[str, Outcome] = {}
    of_pairs = []
    for name in [name for name in base.metrics if name in head.metrics]:
        figure = find_figure(name)
        # Only over the same queries is a difference the models'.
        if (
            figure is None
            or not _measured_alike(figure, [base, head])
            or not np.array_equal(base.chosen_by(figure), head.chosen_by(figure))
        ):
            continue
        if isinstance(figure.source, OfTestPairs | OfFolds):
            of_pairs.append(figure)
            continue
        ours, theirs = base.values_of(figure), head.values_of(figure)
        if ours is not None and theirs is not None:
            is_vote = ours.dtype == bool
            tested[name] = mcnemar(ours, theirs) if is_vote else bootstrap_means(ours, theirs)
    if of_pairs:
        others = _others(base)
        measures = [_verification(run, of_pairs, others) for run in (base, head)]
        n_images = len(base.queries["sample"]) + len(others)
        tested |= bootstrap_images(measures[0], measures[1], n_images)
    return _corrected([base], [head], tested)


def compare_settings(base: Sequence[Run], head: Sequence[Run]) -> list[Compared]:
    """Test each metric over the runs of both settings, by Welch's t-test.

    Raises:
        InputError: a side has a single run, or a file is missing or broken.
    """
    for side, other in ((base, head), (head, base)):
        if len(side) < 2:
            raise InputError(
                f"{side[0]} is a single run, the other side has {len(other)}: to judge a"
                " setting takes at least two runs of it, better five; `make seeds` makes runs,"
                " `--seeds` finds those that exist"
            )
    tested: dict[str, Outcome] = {}
    for name in _names([*base, *head]):
        values = [_values(side, name) for side in (base, head)]
        figure = find_figure(name)
        is_alike = figure is None or _measured_alike(figure, [*base, *head])
        if is_alike and min(map(len, values)) > 1:
            tested[name] = welch(*values)
    return _corrected(base, head, tested)


def _measured_alike(figure: Figure, runs: Sequence[Run]) -> bool:
    """Return whether a figure is of the same in all runs.

    Queries were all searched for in a gallery, or all among one another; pairs were all drawn, or
    are the same given ones.
    """
    if isinstance(figure.source, OfTestPairs | OfFolds):
        first, *rest = (run.given_pairs for run in runs)
        return all(
            first.keys() == other.keys()
            and all(np.array_equal(first[name], other[name]) for name in first)
            for other in rest
        )
    return figure.about != "findable" or len({"findable" in run.queries for run in runs}) == 1


def _others(run: Run) -> np.ndarray:
    """Return the images of given pairs that are no queries but forgeries, int64 `[n]` ascending."""
    given = run.given_pairs
    if not given:
        return np.zeros(0, dtype=np.int64)
    return np.setdiff1d([given["left"], given["right"]], run.queries["sample"])


def _verification(run: Run, figures: Sequence[Figure], others: np.ndarray) -> Measure:
    """Return what measures figures of the test pairs on a draw of the test images and others."""
    samples, pairs = run.queries["sample"], run.pairs
    members = np.stack([pairs["left"], pairs["right"]], axis=1)  # (P, 2)
    if not np.isin(members, np.concatenate([samples, others])).all():
        raise InputError(
            f"{run}: {PER_PAIR} has samples that {PER_QUERY} has not;"
            " run `dvc repro --force --single-item evaluate`"
        )
    rows = rows_of_pairs(members, samples, others)
    distances, same, folds = pairs["distance"], pairs["same"], pairs.get("fold")
    return measurement(figures, run.queries, distances, same, rows, run.threshold, folds)


def _corrected(
    base: Sequence[Run], head: Sequence[Run], tested: dict[str, Outcome]
) -> list[Compared]:
    """Join values and tests, p-values corrected for the number of tests."""
    p_values = dict(zip(tested, holm([test.p for test in tested.values()]), strict=True))
    return [
        Compared(
            name, _values(base, name), _values(head, name), tested.get(name), p_values.get(name)
        )
        for name in _names([*base, *head])
    ]


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.metrics))


def _values(side: Sequence[Run], name: str) -> tuple[float, ...]:
    return tuple(run.metrics[name] for run in side if name in run.metrics)
