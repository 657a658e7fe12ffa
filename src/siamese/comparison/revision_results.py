"""What `evaluate` wrote at a revision: the figures, and each query and pair that they come from."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from siamese.base.errors import InputError
from siamese.base.parquet import read_table
from siamese.comparison.revisions import Revision
from siamese.evaluation.figures import MeanOf, find_figure, queries_about

EVALUATION = "metrics/evaluation.json"
DETAILS = "metrics/details.json"
PER_QUERY = "metrics/per_query.parquet"
PER_PAIR = "metrics/per_pair.parquet"
RAN_ON = "metrics/ran_on.json"

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Results:
    """The results of one revision; each file is read when it is needed.

    Attributes:
        revision: where they stand.
    """

    revision: Revision

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The figures of `metrics/evaluation.json`, by dotted name.

        Raises:
            InputError: the file is not there, or holds something else.
        """
        flat = flatten(self._json(EVALUATION))
        if not flat or not all(isinstance(value, int | float) for value in flat.values()):
            raise InputError(f"{self.revision}: {EVALUATION} is expected to hold numbers by name")
        return flat

    @cached_property
    def queries(self) -> Columns:
        """The columns of `metrics/per_query.parquet`.

        Raises:
            InputError: the file is not there, or is no such table.
        """
        return self._table(PER_QUERY, {"sample", "fine", "near_duplicate"})

    @cached_property
    def pairs(self) -> Columns:
        """The columns of `metrics/per_pair.parquet`.

        Raises:
            InputError: the file is not there, or is no such table.
        """
        return self._table(PER_PAIR, {"left", "right", "same", "distance"})

    @cached_property
    def threshold(self) -> float:
        """The distance, calibrated on validation, up to which a pair is accepted.

        Raises:
            InputError: `metrics/details.json` is not there, or lacks it.
        """
        try:
            return float(self._json(DETAILS)["verification"]["threshold"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{self.revision}: {DETAILS} lacks `verification.threshold`; run `dvc repro`"
            ) from None

    @cached_property
    def ran_on(self) -> dict[str, Any]:
        """What the model was trained on, of `metrics/ran_on.json`; empty if that is not there."""
        content = self.revision.read_all([RAN_ON])[RAN_ON]
        return {} if content is None else json.loads(content)

    def values_of(self, metric: str) -> np.ndarray | None:
        """Return the values, one per query, that a metric is the mean of, or None if it is no mean.

        Returns:
            bool or float32 `[Q]`, or fewer where the metric is about some of the queries.
        """
        figure = find_figure(metric)
        if figure is None or not isinstance(figure.source, MeanOf):
            return None
        column = self.queries.get(figure.source.column)
        return None if column is None else column[self.chosen_by(metric)]

    def chosen_by(self, metric: str) -> np.ndarray:
        """Return which queries a metric is about, bool `[Q]`.

        Raises:
            InputError: the metric is about one kind of queries, and the table does not tell which.
        """
        figure = find_figure(metric)
        try:
            return queries_about(figure.about if figure else "all", self.queries)
        except KeyError as column:
            raise InputError(
                f"{self.revision}: {EVALUATION} has `{metric}`, but {PER_QUERY} lacks"
                f" `{column.args[0]}`: the two come from different runs; run"
                " `dvc repro --force --single-item evaluate`"
            ) from None

    def check_consistent(self) -> None:
        """Make sure that the figures are those of the queries beside them.

        Raises:
            InputError: they come from different runs.
        """
        for name, stated in self.metrics.items():
            values = self.values_of(name)
            if values is not None and abs(float(values.mean(dtype=np.float64)) - stated) > 1e-4:
                raise InputError(
                    f"{self.revision}: `{name}` is {stated} in {EVALUATION}, but"
                    f" {values.mean(dtype=np.float64):.4f} by {PER_QUERY}: the two come from"
                    " different runs; run `dvc repro --force --single-item evaluate`"
                )

    def _json(self, file: str) -> Any:
        content = self.revision.read(file)
        try:
            return json.loads(content)
        except ValueError as error:
            raise InputError(f"{self.revision}: {file} is no JSON ({error})") from None

    def _table(self, file: str, expected: set[str]) -> Columns:
        from pyarrow import ArrowInvalid

        content = self.revision.read(file)
        try:
            table = read_table(content)
        except ArrowInvalid as error:
            raise InputError(f"{self.revision}: {file} is no Parquet table ({error})") from None
        if missing := expected - set(table.column_names):
            raise InputError(f"{self.revision}: {file} lacks {', '.join(sorted(missing))}")
        return {name: table[name].to_numpy() for name in table.column_names}


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, its keys joined by dots."""
    if not isinstance(content, dict):
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
