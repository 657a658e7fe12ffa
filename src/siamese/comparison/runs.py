"""Runs of the pipeline: results, what they were made from, and which of them may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from siamese.base.errors import InputError
from siamese.base.parquet import read_table
from siamese.comparison.provenance import (
    LOCK,
    Stage,
    changes_between,
    flatten,
    names_of,
    read_lock,
    seeds_of,
    setting_of,
)
from siamese.comparison.result_files import Content, Figures, parsed, read_json
from siamese.comparison.revisions import Revision, experiments
from siamese.evaluation.figures import Figure, MeanOf, find_figure, queries_about

EVALUATION = "metrics/evaluation.json"
DETAILS = "metrics/details.json"
PER_QUERY = "metrics/per_query.parquet"
PER_PAIR = "metrics/per_pair.parquet"
RAN_ON = "metrics/ran_on.json"

Columns = dict[str, np.ndarray]


class _Calibrated(Content):
    threshold: float


class _Details(Content):
    verification: _Calibrated


@dataclass(frozen=True)
class Run:
    """One run of the pipeline; each file of results is read when it is needed.

    Whatever reads one raises an InputError if it is not there, or holds something else.

    Attributes:
        revision: where its results stand.
        stages: what `dvc.lock` says they were made from.
    """

    revision: Revision
    stages: dict[str, Stage]

    @classmethod
    def of(cls, revision: Revision) -> "Run":
        """Read what the results of a revision were made from."""
        return cls(revision, read_lock(revision))

    def __str__(self) -> str:
        """Name the run in a sentence."""
        return str(self.revision)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The figures of `metrics/evaluation.json`, by dotted name."""
        return flatten(read_json(self.revision, EVALUATION, Figures))

    @cached_property
    def queries(self) -> Columns:
        """The columns of `metrics/per_query.parquet`."""
        return self._table(PER_QUERY, {"sample", "fine", "near_duplicate"})

    @cached_property
    def pairs(self) -> Columns:
        """The columns of `metrics/per_pair.parquet`."""
        return self._table(PER_PAIR, {"left", "right", "same", "distance"})

    @cached_property
    def given_pairs(self) -> Columns:
        """What the test pairs are, if they were given; no columns if they were drawn."""
        if not self.revision.has(PER_PAIR) or "fold" not in self.pairs:
            return {}
        return {name: self.pairs[name] for name in ("left", "right", "fold")}

    @cached_property
    def threshold(self) -> float:
        """The distance, calibrated on validation, up to which a pair is accepted."""
        return read_json(self.revision, DETAILS, _Details).verification.threshold

    @cached_property
    def ran_on(self) -> dict[str, Any]:
        """What the model was trained on, of `metrics/ran_on.json`; empty if that is not there."""
        if not self.revision.has(RAN_ON):
            return {}
        return read_json(self.revision, RAN_ON, dict[str, Any])

    def values_of(self, figure: Figure) -> np.ndarray | None:
        """Return the values, one per query, that a figure is the mean of, or None if it is no mean.

        Returns:
            bool or float32 `[Q]`, or fewer where the figure is about some of the queries.
        """
        if not isinstance(figure.source, MeanOf) or figure.source.column not in self.queries:
            return None
        return self.queries[figure.source.column][self.chosen_by(figure)]

    def chosen_by(self, figure: Figure) -> np.ndarray:
        """Return which queries a figure is about, bool `[Q]`.

        Raises:
            InputError: the table of queries does not tell which.
        """
        try:
            return queries_about(figure.about, self.queries)
        except KeyError as column:
            raise InputError(
                f"{self}: {EVALUATION} has `{figure.name}`, but {PER_QUERY} lacks"
                f" `{column.args[0]}`: the two come from different runs; run"
                " `dvc repro --force --single-item evaluate`"
            ) from None

    def check_consistent(self) -> None:
        """Make sure that the figures are those of the queries beside them.

        Raises:
            InputError: they come from different runs.
        """
        for name, stated in self.metrics.items():
            figure = find_figure(name)
            values = self.values_of(figure) if figure else None
            found = stated if values is None else float(values.mean(dtype=np.float64))
            if abs(found - stated) > 1e-4:
                raise InputError(
                    f"{self}: `{name}` is {stated} in {EVALUATION}, but {found:.4f} by"
                    f" {PER_QUERY}: the two come from different runs; run"
                    " `dvc repro --force --single-item evaluate`"
                )

    def _table(self, file: str, expected: set[str]) -> Columns:
        table = parsed(self.revision, file, read_table)
        if missing := expected - set(table.column_names):
            raise InputError(f"{self}: {file} lacks {', '.join(sorted(missing))}")
        return {name: table[name].to_numpy() for name in table.column_names}


def with_siblings(revision: Revision) -> list[Revision]:
    """Return a revision and the experiments that differ from it only in seeds.

    Experiments whose seeds are those of one already found are left out.

    Raises:
        InputError: the revision has no results.
    """
    run = Run.of(revision)
    found, seen = [revision], [seeds_of(run.stages)]
    for experiment in experiments(revision.root):
        if not experiment.revision.has(LOCK):
            continue  # an experiment without results is no run of anything
        try:
            other = Run.of(experiment.revision)
        except InputError:
            continue  # damaged: `siamese experiments` says how
        seeds = seeds_of(other.stages)
        if seeds not in seen and setting_of(other.stages) == setting_of(run.stages):
            found.append(experiment.revision)
            seen.append(seeds)
    return found


def check_one_setting(runs: Sequence[Run]) -> None:
    """Make sure that runs differ in their seeds, and in nothing else.

    Raises:
        InputError: naming two runs, and what differs or does not.
    """
    for position, run in enumerate(runs):
        others = changes_between(setting_of(runs[0].stages), setting_of(run.stages))
        if others:
            raise InputError(
                f"{runs[0]} and {run} are not runs of one setting: they differ in"
                f" {names_of(others)}; expected only seeds"
            )
        for earlier in runs[:position]:
            if seeds_of(earlier.stages) == seeds_of(run.stages):
                raise InputError(
                    f"{earlier} and {run} have the same seeds: they are one run twice, and say"
                    " nothing about chance; expected another `network.seed`, `train.seed` or"
                    " `pairs.seed` in each"
                )


def check_same_queries(base: Run, head: Run) -> None:
    """Make sure that both models were asked about the same images.

    Raises:
        InputError: naming both revisions and the file.
    """
    ours, theirs = base.queries, head.queries
    if not all(np.array_equal(ours[name], theirs[name]) for name in ("sample", "fine")):
        raise InputError(
            f"{PER_QUERY} of {base} is about {len(ours['sample']):,} queries, that of"
            f" {head} about {len(theirs['sample']):,}, and they are not the same samples"
            " with the same classes: another data set or split. Only results on the same test split"
            " can be compared"
        )
