"""The approximate index of a large gallery, and what it misses, measured.

IVF_FLAT: the vectors again, in LanceDB's own number of partitions (about one for 8,192 rows), of
which a query looks at some, the *probes*. Distances stay exact, so that all that can be lost are
rows in partitions not looked at. Rows that are added later are found too: LanceDB looks through
them one by one, until they are brought into the index.
"""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from siamese.gallery.table import PREFIX, GalleryTable, vectors_of

if TYPE_CHECKING:
    from siamese.gallery.search import Searcher

# Below, a query takes some 40 ms without an index, and nothing is missed (measured on two cores).
INDEX_FROM = 100_000
# Probes are doubled until the share of the ten nearest that is found reaches the target. Images of
# the gallery's own classes need four or so; those of other classes, which no row stands for when
# recall is measured, needed up to sixty of a million rows' 122 partitions.
FIRST_PROBES, TARGET = 60, 0.99
K = 10
# Rows that recall is measured on, each asked about as if it were not there itself.
ASKED = 200
INDEX = "vector_idx"
KEY = f"{PREFIX}index"


@dataclass(frozen=True)
class IndexInfo:
    """An index and what it was measured to find.

    Attributes:
        kind: LanceDB's name of its type.
        probes: partitions that a query looks at.
        recall: share of the ten nearest rows that it finds, over `asked` rows of the gallery.
        asked: how many rows it was measured on.
    """

    kind: str
    probes: int
    recall: float
    asked: int


def build_index(searcher: "Searcher", seed: int = 0) -> IndexInfo:
    """Index a gallery anew, with as many probes as it takes to find 99 % of the ten nearest.

    Call it within `siamese.gallery.table.writing`. Until it has finished, and if it is killed,
    queries do without.

    Args:
        searcher: of the gallery.
        seed: of the choice of rows that recall is measured on.
    """
    from lancedb.index import IvfFlat

    table = searcher.table
    table.table.create_index("vector", config=IvfFlat(distance_type="l2"), name=INDEX)
    table.refresh()
    numbers, vectors = _asked(table, seed)
    right = _others(*searcher.nearest(vectors, K + 1), numbers)
    probes, n_partitions = FIRST_PROBES, len(table) // 1000 + 1
    while True:
        recall = _recall(_others(*searcher.by_index(vectors, K + 1, probes), numbers), right)
        if recall >= TARGET or probes >= n_partitions:
            break
        probes *= 2
    info = IndexInfo("IVF_FLAT", probes, recall, len(numbers))
    table.table.update_field_metadata(
        {"path": "vector", "metadata": {KEY: json.dumps(asdict(info))}}
    )
    return info


def index_of(table: GalleryTable) -> IndexInfo | None:
    """Return the index that `build_index` finished, or None."""
    metadata = table.table.schema.field("vector").metadata or {}
    stored = metadata.get(KEY.encode())
    return None if stored is None else IndexInfo(**json.loads(stored))


def _asked(table: GalleryTable, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows: numbers, int64 `[n]` ascending, and vectors, float32 `[n, D]`."""
    numbers = np.sort(table.read(["number"])["number"].to_numpy())
    rng = np.random.default_rng(seed)
    chosen = rng.choice(numbers, min(ASKED, len(numbers)), replace=False)
    found = table.lookup(chosen, ["vector"])
    return found["number"].to_numpy(), vectors_of(found["vector"].combine_chunks())


def _others(found: np.ndarray, _: np.ndarray, own: np.ndarray) -> list[set[int]]:
    """Return for each row asked about the K found that are not the row itself."""
    return [
        set([number for number in row if number != number_asked][:K])
        for row, number_asked in zip(found.tolist(), own.tolist(), strict=True)
    ]


def _recall(found: list[set[int]], right: list[set[int]]) -> float:
    hits = sum(len(one & other) for one, other in zip(found, right, strict=True))
    return hits / sum(map(len, right))
