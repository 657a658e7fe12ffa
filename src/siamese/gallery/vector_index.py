"""The approximate index of a large gallery, and a measurement of what it misses.

IVF_FLAT: LanceDB stores the vectors again, in partitions of about 8,192 rows, and a query looks at
some of the partitions, the *probes*. Distances stay exact; only rows in partitions that a query
does not look at can be missed. Rows added later are found too: LanceDB scans them one by one until
they are merged into the index.
"""

import numpy as np

from siamese.gallery.failures import changing
from siamese.gallery.rows import vectors_of
from siamese.gallery.search import Searcher
from siamese.gallery.table import GalleryTable, IndexInfo

# Below, a query takes some 40 ms without an index, and nothing is missed (measured on two cores).
INDEX_FROM = 100_000
# Probes are doubled until the share of the ten nearest that is found reaches the target. Images of
# the gallery's own classes need about four. Images of other classes, which the recall measured on
# rows does not cover, needed up to sixty of the 122 partitions of a million rows.
FIRST_PROBES, TARGET = 60, 0.99
K = 10
# Rows that recall is measured on; each is asked about as if the gallery did not hold it.
N_ASKED = 200
NAME = "vector_idx"


def index_if_large(table: GalleryTable) -> None:
    """Index a large gallery that has no index yet; call it within `writing`."""
    if len(table) >= INDEX_FROM and table.index is None:
        build_index(Searcher(table))


def build_index(searcher: Searcher, seed: int = 0) -> IndexInfo:
    """Index a gallery, with as many probes as it takes to find 99 % of the ten nearest rows.

    An earlier index is replaced. Call it within `siamese.gallery.address.writing`. Until it has
    finished, and if it is killed, queries are answered without an index.

    Args:
        searcher: of the gallery.
        seed: of the choice of rows that recall is measured on.
    """
    from lancedb.index import IvfFlat

    table = searcher.table
    with changing(table.address):
        table.lance.create_index("vector", config=IvfFlat(distance_type="l2"), name=NAME)
    table.refresh()
    numbers = np.sort(table.read(["number"])["number"].to_numpy())
    rng = np.random.default_rng(seed)
    asked = rng.choice(numbers, min(N_ASKED, len(numbers)), replace=False)
    rows = table.lookup(asked, ["vector"])
    own, vectors = rows["number"].to_numpy(), vectors_of(rows["vector"].combine_chunks())
    right = _others(searcher.nearest(vectors, K + 1)[0], own)
    probes, n_partitions = FIRST_PROBES, len(table) // 1000 + 1
    while True:
        found = _others(searcher.by_index(vectors, K + 1, probes)[0], own)
        hits = sum(len(one & other) for one, other in zip(found, right, strict=True))
        recall = hits / sum(map(len, right))
        if recall >= TARGET or probes >= n_partitions:
            break
        probes *= 2
    info = IndexInfo("IVF_FLAT", probes, recall, len(own))
    table.set_index(info)
    return info


def _others(found: np.ndarray, own: np.ndarray) -> list[set[int]]:
    """Return for each row the K nearest found, int64 `[n, K + 1]`, without the row itself."""
    return [
        set([number for number in row if number != own_number][:K])
        for row, own_number in zip(found.tolist(), own.tolist(), strict=True)
    ]
