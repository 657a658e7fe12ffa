"""Is the difference between two results real, and where does it come from?

Two things may be claimed, and they need different evidence:

- that **two models** differ: one run per side is enough, tested over the queries of both;
- that a **setting** helps: training again with another seed gives another model, so this needs
  several runs per side, and the difference is compared with their spread.
"""

from collections.abc import Callable, Sequence
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
from siamese.comparison.revision_results import PER_QUERY, Results
from siamese.comparison.revisions import Revision
from siamese.comparison.runs import Run, check_one_setting, check_same_queries
from siamese.comparison.significance import (
    LEVEL,
    Outcome,
    Statistic,
    bootstrap_images,
    bootstrap_means,
    holm,
    mcnemar,
    welch,
)
from siamese.evaluation.figures import Figure, OfTestPairs, find_figure
from siamese.evaluation.pair_rates import WeightedPairs


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
        """Whether the head's value is the better one."""
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


def compare(
    base: Sequence[Revision],
    head: Sequence[Revision],
    progress: Callable[[], object] = lambda: None,
) -> Comparison:
    """Compare two runs query by query, or two settings by several runs of each.

    Args:
        base: one revision, or several of one setting.
        head: the same.
        progress: called after each resample of the verification pairs.

    Raises:
        InputError: a revision has no results; the two were measured on other queries; one side has
            a single run and the other several; or the runs of a side differ in more than seeds.
    """
    sides = [[Run.of(revision) for revision in side] for side in (base, head)]
    several = max(map(len, sides)) > 1
    first, other = sides[0][0], sides[1][0]
    if several:
        for side in sides:
            check_one_setting(side)
    for run in (*sides[0], *sides[1]):
        check_same_queries(first.results, run.results)
    if several:
        metrics = compare_settings(*sides)
    else:
        metrics = compare_models(first.results, other.results, progress)
    found_stale = {
        str(run): changed
        for side in sides
        for run in side
        if (changed := stale(run.results.revision, run.stages))
    }
    return Comparison(
        claim="setting" if several else "models",
        base=tuple(sides[0]),
        head=tuple(sides[1]),
        changes=differences(first.stages, other.stages),
        code=changed_code(
            (first.results.revision, first.stages), (other.results.revision, other.stages)
        ),
        ran_on=changes_between(first.results.ran_on, other.results.ran_on),
        stale=found_stale,
        metrics=metrics,
    )


def compare_models(
    base: Results, head: Results, progress: Callable[[], object] = lambda: None
) -> list[Compared]:
    """Test each metric over the queries that both models answered.

    Right-or-wrong figures by McNemar's exact test, others by the paired bootstrap over the queries,
    which for verification are the images that the pairs are made of.

    Raises:
        InputError: a file is missing or broken, or the queries are not the same.
    """
    for results in (base, head):
        results.check_consistent()
    names = _names([base.metrics, head.metrics])
    shared = [name for name in names if name in base.metrics and name in head.metrics]
    tested: dict[str, Outcome] = {}
    for name in shared:
        if found := _test_queries(name, base, head):
            tested[name] = found
    of_pairs = [
        figure
        for name in shared
        if (figure := find_figure(name))
        and isinstance(figure.source, OfTestPairs)
        and _same_choice(name, base, head)
    ]
    if of_pairs:
        n_images = len(base.queries["sample"])
        ours, theirs = _verification(base, of_pairs), _verification(head, of_pairs)
        found_all = bootstrap_images(ours, theirs, n_images, progress)
        names_of_pairs = [figure.name for figure in of_pairs]
        tested |= dict(zip(names_of_pairs, found_all, strict=True))
    return _corrected(
        names, [base.metrics], [head.metrics], {name: tested.get(name) for name in names}
    )


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
    sides = [[run.results.metrics for run in side] for side in (base, head)]
    names = _names([*sides[0], *sides[1]])
    tested: dict[str, Outcome | None] = {}
    for name in names:
        values = [[metrics[name] for metrics in side if name in metrics] for side in sides]
        tested[name] = welch(*values) if min(map(len, values)) > 1 else None
    return _corrected(names, sides[0], sides[1], tested)


def _test_queries(name: str, base: Results, head: Results) -> Outcome | None:
    """Test a metric that is a mean over queries; None if it is none, or over other queries."""
    ours, theirs = base.values_of(name), head.values_of(name)
    if ours is None or theirs is None or not _same_choice(name, base, head):
        return None
    return mcnemar(ours, theirs) if ours.dtype == bool else bootstrap_means(ours, theirs)


def _same_choice(name: str, base: Results, head: Results) -> bool:
    """Tell whether a metric is about the same queries on both sides."""
    return np.array_equal(base.chosen_by(name), head.chosen_by(name))


def _verification(results: Results, figures: Sequence[Figure]) -> Statistic:
    """Return what measures figures of the test pairs, one after the other."""
    samples, pairs = results.queries["sample"], results.pairs
    members = np.stack([pairs["left"], pairs["right"]], axis=1)  # (P, 2)
    if not np.isin(members, samples).all():
        raise InputError(
            f"{results.revision}: metrics/per_pair.parquet has samples that {PER_QUERY} has not;"
            " run `dvc repro --force --single-item evaluate`"
        )
    left, right = np.searchsorted(samples, members).T
    measured = {}
    for figure in figures:
        if figure.about not in measured:
            is_in = results.chosen_by(figure.name)[left]
            distances, same = pairs["distance"][is_in], pairs["same"][is_in]
            measured[figure.about] = WeightedPairs(
                distances, same, left[is_in], right[is_in], results.threshold
            )
    measures = [
        (figure.about, figure.source.measure)
        for figure in figures
        if isinstance(figure.source, OfTestPairs)
    ]

    def statistic(weights: np.ndarray) -> list[float]:
        rates = {about: one.rates(weights) for about, one in measured.items()}
        return [
            np.nan if (found := rates[about]) is None else measure(found)
            for about, measure in measures
        ]

    return statistic


def _corrected(
    names: Sequence[str],
    base: Sequence[dict[str, float]],
    head: Sequence[dict[str, float]],
    tested: dict[str, Outcome | None],
) -> list[Compared]:
    """Join values and tests, p-values corrected for the number of tests."""
    with_test = {name: test for name, test in tested.items() if test is not None}
    p_values = dict(zip(with_test, holm([test.p for test in with_test.values()]), strict=True))

    def values(side: Sequence[dict[str, float]], name: str) -> tuple[float, ...]:
        return tuple(metrics[name] for metrics in side if name in metrics)

    return [
        Compared(name, values(base, name), values(head, name), tested[name], p_values.get(name))
        for name in names
    ]


def _names(all_metrics: Sequence[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for metrics in all_metrics for name in metrics))
