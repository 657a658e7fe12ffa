"""The files of an evaluation in `metrics/`: figures, tables, outcomes of all queries and pairs.

With the outcomes two commits can be compared query by query, without a model or a cache. Equal
evaluations give equal bytes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from siamese.base.files import new_file, write_json
from siamese.evaluation.class_table import (
    CLASS_COLUMNS,
    class_table,
    confused_pairs,
    confusion_counts,
)
from siamese.evaluation.evaluate import Evaluation

CONFUSED = 10  # pairs of classes listed


def save_evaluation(evaluation: Evaluation, class_names: Sequence[str], folder: Path) -> None:
    """Write all that `stages/evaluate.py` leaves in `metrics/`.

    Args:
        evaluation: of the test split.
        class_names: in label order.
        folder: for `evaluation.json`, `details.json`, two Parquet tables and four CSV files.
    """
    details = evaluation.details
    classes = pd.DataFrame(columns=list(CLASS_COLUMNS))
    if evaluation.is_classified:
        fine, predicted = (evaluation.per_query[name].to_numpy() for name in ("fine", "predicted"))
        counts = confusion_counts(fine, predicted)
        classes = class_table(counts, class_names)
        details = details | {"confused": confused_pairs(counts, class_names, CONFUSED)}
    tables = {
        "accuracy_by_k": evaluation.accuracy_by_k,
        "classes": classes,
        "distances": evaluation.all_pairs.distances(),
        "roc": evaluation.all_pairs.roc(),
    }
    for name, table in tables.items():
        with new_file(folder / f"{name}.csv") as file:
            table.to_csv(file, index=False)
    with new_file(folder / "per_query.parquet") as file:
        save_per_query(evaluation.per_query, file)
    with new_file(folder / "per_pair.parquet") as file:
        save_per_pair(evaluation.per_pair, file)
    write_json(folder / "details.json", details)
    write_json(folder / "evaluation.json", evaluation.metrics)


def save_per_query(table: pd.DataFrame, file: Path) -> None:
    """Write `metrics/per_query.parquet`.

    Args:
        table: one row per query, ascending by `sample`: bool columns, floats `average_precision`
            and `r_precision`, and the labels `predicted` and `fine`.
        file: Parquet file to write.
    """
    labels = table[[name for name in ("predicted", "fine") if name in table]]
    label = pa.int16() if labels.to_numpy().max(initial=0) < 2**15 else pa.int32()
    kinds = {"sample": pa.int32(), "predicted": label, "fine": label}
    kinds |= {"average_precision": pa.float32(), "r_precision": pa.float32()}
    names = table.columns.astype(str)
    arrays = {name: pa.array(table[name].to_numpy(), kinds.get(name)) for name in names}
    encodings = {"sample": "DELTA_BINARY_PACKED", "average_precision": "BYTE_STREAM_SPLIT"}
    _write(pa.table(arrays), file, encodings)


def save_per_pair(table: pd.DataFrame, file: Path) -> None:
    """Write `metrics/per_pair.parquet`.

    Args:
        table: one row per test pair, in the order of its manifest: `left`, `right` (samples),
            `same` (bool) and `distance`, which is rounded to four decimals: more do not compress.
        file: Parquet file to write.
    """
    distance = table["distance"].to_numpy(np.float32).round(4)
    arrays = {
        "left": pa.array(table["left"].to_numpy(), pa.int32()),
        "right": pa.array(table["right"].to_numpy(), pa.int32()),
        "same": pa.array(table["same"].to_numpy(), pa.bool_()),
        "distance": pa.array(distance, pa.float32()),
    }
    _write(pa.table(arrays), file, {"left": "DELTA_BINARY_PACKED", "right": "DELTA_BINARY_PACKED"})


def _write(table: pa.Table, file: Path, encodings: dict[str, str]) -> None:
    pq.write_table(
        table,
        file,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in encodings],
        column_encoding=encodings,
        write_statistics=False,
        store_schema=False,
    )
