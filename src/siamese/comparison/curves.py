"""The record of a training: one value per epoch and column."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from siamese.comparison.result_files import Training, parsed, read_json
from siamese.comparison.results import TRAINING
from siamese.comparison.revisions import WORKSPACE, Revision

RECORD = "metrics/training.csv"


@dataclass(frozen=True)
class Curves:
    """A training.

    Attributes:
        best_epoch: whose weights are kept.
        columns: the values of each epoch, by name of the column, `epoch` among them; None where a
            value is empty or not finite.
    """

    best_epoch: int
    columns: dict[str, list[float | None]]


def read_curves(workspace: Path) -> Curves:
    """Read the record of the training in a workspace.

    Raises:
        InputError: a file of it is not there or damaged.
    """
    here = Revision(WORKSPACE, None, workspace)
    training: Training = read_json(here, TRAINING, Training)
    return Curves(training.best_epoch, parsed(here, RECORD, _columns))


def _columns(content: bytes) -> dict[str, list[float | None]]:
    names, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    if "epoch" not in names or any(len(row) != len(names) for row in rows):
        raise ValueError("no table of epochs")
    return {name: [_number(row[position]) for row in rows] for position, name in enumerate(names)}


def _number(text: str) -> float | None:
    value = float(text or "nan")
    return value if math.isfinite(value) else None
