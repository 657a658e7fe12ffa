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
from siamese.evaluation.class_table import class_table, confused_pairs, confusion_counts
from siamese.evaluation.evaluate import Evaluation

CONFUSED = 10  # pairs of classes listed


def save_evaluation(evaluation: Evaluation, class_names: Sequence[str], folder: Path) -> None:
    """Write all that `stages/evaluate.py` leaves in `metrics/`; class names in label order."""
    details = evaluation.details
    accuracy_by_k = pd.DataFrame(columns=["k", "top1"])
    actual = predicted = np.zeros(0, dtype=np.int64)
    if evaluation.judgement:
        accuracy_by_k = evaluation.judgement.accuracy_by_k
        predicted = evaluation.judgement.predicted
        actual = evaluation.per_query["fine"].to_numpy()
    counts = confusion_counts(actual, predicted)
    if evaluation.judgement:
        details = details | {"confused": confused_pairs(counts, class_names, CONFUSED)}
    tables = {
        "accuracy_by_k": accuracy_by_k,
        "classes": class_table(counts, class_names),
        "distances": evaluation.distances,
        "roc": evaluation.roc,
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
    """Write `metrics/per_query.parquet`: one row per query, ascending by `sample`.

    Outcomes are bool or float32, the labels `predicted` and `fine` int16 if they fit.
    """
    labels = table[[name for name in ("predicted", "fine") if name in table]]
    label = pa.int16() if labels.to_numpy().max(initial=0) < 2**15 else pa.int32()
    kinds = {"sample": pa.int32(), "predicted": label, "fine": label}
    arrays = {}
    for name in table.columns.astype(str):
        values = table[name].to_numpy()
        arrays[name] = pa.array(
            values, kinds.get(name, pa.float32() if values.dtype.kind == "f" else pa.bool_())
        )
    split = dict.fromkeys(("average_precision", "novel_average_precision"), "BYTE_STREAM_SPLIT")
    encodings = {"sample": "DELTA_BINARY_PACKED", **split}
    _write(arrays, file, encodings)


def save_per_pair(table: pd.DataFrame, file: Path) -> None:
    """Write `metrics/per_pair.parquet`: one row per test pair, in the order of the manifest.

    `left` and `right` are samples, int32, `same` is bool, `distance`, float32, is rounded to four
    decimals: more do not compress. Given pairs have a `fold` too, int32.
    """
    distance = table["distance"].to_numpy(np.float32).round(4)
    arrays = {
        "left": pa.array(table["left"].to_numpy(), pa.int32()),
        "right": pa.array(table["right"].to_numpy(), pa.int32()),
        "same": pa.array(table["same"].to_numpy(), pa.bool_()),
        "distance": pa.array(distance, pa.float32()),
    }
    if "fold" in table:
        arrays["fold"] = pa.array(table["fold"].to_numpy(), pa.int32())
    _write(arrays, file, dict.fromkeys(("left", "right"), "DELTA_BINARY_PACKED"))


def _write(columns: dict[str, pa.Array], file: Path, encodings: dict[str, str]) -> None:
    pq.write_table(
        pa.table(columns),
        file,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in columns if name not in encodings],
        column_encoding=encodings,
        write_statistics=False,
        store_schema=False,
    )
