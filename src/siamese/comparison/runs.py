"""Runs of the pipeline: what each was made from, and which of them may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siamese.base.errors import InputError
from siamese.comparison.provenance import (
    Stage,
    changes_between,
    names_of,
    read_lock,
    seeds_of,
    setting_of,
)
from siamese.comparison.revision_results import PER_QUERY, Results
from siamese.comparison.revisions import Revision, experiments


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: its results, and what `dvc.lock` says they were made from."""

    results: Results
    stages: dict[str, Stage]

    @classmethod
    def of(cls, revision: Revision) -> "Run":
        """Read what a run was made from.

        Raises:
            InputError: the revision has no results.
        """
        return cls(Results(revision), read_lock(revision))

    def __str__(self) -> str:
        """Name the run in a sentence."""
        return str(self.results.revision)


def with_siblings(revision: Revision) -> list[Revision]:
    """Return a revision and the experiments that differ from it in seeds alone.

    Experiments whose seeds are those of one already found are left out.

    Raises:
        InputError: the revision has no results.
    """
    run = Run.of(revision)
    found, seen = [revision], [seeds_of(run.stages)]
    for experiment in experiments(revision.root):
        try:
            other = Run.of(experiment.revision)
        except InputError:
            continue  # an experiment without results is no run of anything
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
    first = runs[0]
    for position, run in enumerate(runs):
        others = changes_between(setting_of(first.stages), setting_of(run.stages))
        if others:
            raise InputError(
                f"{first} and {run} are not runs of one setting: they differ in"
                f" {names_of(others)}; expected seeds alone"
            )
        for earlier in runs[:position]:
            if seeds_of(earlier.stages) == seeds_of(run.stages):
                raise InputError(
                    f"{earlier} and {run} have the same seeds: they are one run twice, and say"
                    " nothing about chance; expected another `network.seed`, `train.seed` or"
                    " `pairs.seed` in each"
                )


def check_same_queries(base: Results, head: Results) -> None:
    """Make sure that both models were asked about the same images.

    Raises:
        InputError: naming both revisions and the file.
    """
    ours, theirs = base.queries, head.queries
    same = all(np.array_equal(ours[name], theirs[name]) for name in ("sample", "fine"))
    if not same:
        raise InputError(
            f"{PER_QUERY} of {base.revision} is about {len(ours['sample']):,} queries, that of"
            f" {head.revision} about {len(theirs['sample']):,}, and they are not the same samples"
            " with the same classes: another data set or split. Only results on the same test split"
            " can be compared"
        )
