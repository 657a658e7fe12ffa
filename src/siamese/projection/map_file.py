"""Maps that were computed beforehand, on disk: `data/map.parquet`.

Columns: `number` (int64: a row of the gallery, which for the pipeline's rows is the sample; of
queries the sample), `kind` (`gallery` or `query`), `x`, `y` (float32). The schema's metadata has
`siamese.model` and `siamese.embeddings`, as the gallery has them, and `siamese.method`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamese.base.errors import InputError, no_such_file
from siamese.base.files import new_file
from siamese.base.parquet import read_table

FILE = "data/map.parquet"
METHOD = "t-SNE"
PREFIX = "siamese."
IDENTITY = ("model", "embeddings")


@dataclass(frozen=True)
class Layout:
    """Where points lie.

    Attributes:
        numbers: int64 `[n]`.
        is_query: bool `[n]`; the others are rows of the gallery.
        places: float32 `[n, 2]`.
    """

    numbers: np.ndarray
    is_query: np.ndarray
    places: np.ndarray


def save_layout(layout: Layout, made_of: dict[str, str], file: Path) -> None:
    """Write a layout whole, or not at all.

    Args:
        layout: what to write.
        made_of: the metadata of the gallery.
        file: what to write it to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "number": pa.array(layout.numbers, pa.int64()),
        "kind": pa.array(np.where(layout.is_query, "query", "gallery"), pa.string()),
        "x": pa.array(layout.places[:, 0], pa.float32()),
        "y": pa.array(layout.places[:, 1], pa.float32()),
    }
    metadata = {f"{PREFIX}{key}": made_of[key] for key in IDENTITY} | {f"{PREFIX}method": METHOD}
    with new_file(file) as partial:
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), partial)


def load_layout(file: Path, made_of: dict[str, str]) -> Layout:
    """Read what `save_layout` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or it is not of this gallery.
    """
    again = "`siamese map` computes it"
    try:
        table = read_table(file)
        metadata = table.schema.metadata or {}
        stored = {key: metadata[f"{PREFIX}{key}".encode()].decode() for key in IDENTITY}
        places = np.stack([table[name].to_numpy() for name in ("x", "y")], axis=1)
        is_query = np.array(table["kind"].to_pylist()) == "query"
        layout = Layout(table["number"].to_numpy(), is_query, places)
    except FileNotFoundError:
        raise no_such_file(file, f"{again} from the gallery") from None
    except (ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: cannot be read ({reason}); {again} again") from None
    if stored != {key: made_of.get(key) for key in IDENTITY}:
        raise InputError(
            f"{file}: computed from other embeddings than the gallery has now; {again} again"
        )
    return layout
