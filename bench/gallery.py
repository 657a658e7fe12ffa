"""How fast the gallery answers and what it costs, beside FAISS and scikit-learn.

    make bench-gallery      # the pipeline's embeddings, grown; writes bench/gallery.json

Contestants, all in their usual setting, on all cores:

- gallery: this project's, exact; one query is LanceDB's scan, a batch is answered in memory;
- gallery-index: the same with the index that it makes of large galleries; building it includes
  measuring its recall, and whether a batch is answered by it is the gallery's own choice;
- held: this project's, exact, held in memory; the first answer waits until all rows are read, and
  from 100,000 rows on, the index made;
- held-index: the same with the index that large galleries get in memory, whatever its size;
- faiss-flat: FAISS, exact, IndexFlatL2;
- faiss-ivf: IndexIVFFlat with √rows lists, of which it looks at as few as reach a recall of 0.99
  on queries that are not asked afterwards;
- scikit-learn: NearestNeighbors, brute force.

The gallery of the pipeline is cut to each number of rows, or grown to it: a further row is one of
its embeddings, moved at random by the median distance of a row to its nearest other, and scaled
back to its length. Queries are the pipeline's: embeddings of test images.

Each contestant builds in a fresh process (from vectors in a file to what it needs on disk) and
answers in another. Contestants take turns in rounds, so that other work on the machine slows all of
them. `first_s` is the time to the first answer when only the libraries are imported. Speeds are
queries per second after a first query, or batch, that is not counted. Memory is the peak of the
process, with Python and all libraries, up to the end of the named step. Recall is counted by
distance, over the queries asked one by one: rows no farther than the tenth nearest are right.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

# Heavier libraries are imported by the contestants that use them: their memory is measured.

EMBEDDINGS, RESULT = Path("data/embeddings"), Path("bench/gallery.json")
WORK = Path(".bench")  # a folder for what is measured, deleted afterwards
K, BATCH = 10, 100
SEED = 0
TARGET = 0.99  # recall that FAISS's lists are tuned for
# Queries kept apart for tuning, and rows whose distance to their nearest other is looked at.
TUNING, LOOKED_AT = 200, 1000
ROWS_AT_ONCE = 20_000

Answer = Callable[[np.ndarray], np.ndarray]  # float32 [Q, D] -> row numbers [Q, K]


def main() -> None:
    """Run the rounds, each contestant in processes of its own, and write what they measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=1000, help="different ones, at most")
    parser.add_argument(
        "--seconds", type=float, default=10, help="for queries one by one, and for batches"
    )
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    parser.add_argument("--only", choices=["build", "answer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        [name], [n_rows] = options.contestants, options.rows
        case = Case(n_rows)
        measured = (
            measure_build(CONTESTANTS[name], case)
            if options.only == "build"
            else measure_answers(CONTESTANTS[name], case, options.seconds)
        )
        print(json.dumps(measured))
        return
    shutil.rmtree(WORK, ignore_errors=True)
    try:
        report = measure_all(options)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(size["rows"], size["rounds"]) for size in report["sizes"]))


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Make the data, then let the contestants take turns."""
    from machine import machine

    base, asked, tuning = read_embeddings(options.queries)
    jitter = distance_of_neighbours(base)
    cases = [Case(n_rows) for n_rows in options.rows]
    for case in cases:
        case.make(base, asked, tuning, jitter)
    rounds: dict[int, list[dict[str, Any]]] = {case.n_rows: [] for case in cases}
    for number in range(options.rounds):
        for case in cases:
            figures = {name: run(name, case, options.seconds) for name in options.contestants}
            rounds[case.n_rows].append(figures)
            print(f"round {number + 1} of {options.rounds}, {case.n_rows:,} rows", flush=True)
            for name, each in figures.items():
                print(f"  {name}: {each}", flush=True)
    libraries = ("numpy", "lancedb", "faiss-cpu", "scikit-learn")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine() | {name: version(name) for name in libraries},
        "data": {
            "dimensions": base.shape[1],
            "real_rows": len(base),
            "jitter": round(jitter, 4),
            "queries": len(asked),
            "tuning_queries": len(tuning),
            "k": K,
        },
        "sizes": [{"rows": n_rows, "rounds": each} for n_rows, each in rounds.items()],
    }


def run(name: str, case: "Case", seconds: float) -> dict[str, float]:
    """Measure one contestant: it builds in a fresh process, and answers in another."""
    figures: dict[str, float] = {}
    command = [sys.executable, __file__, "--contestants", name, "--rows", str(case.n_rows)]
    try:
        for only in ("build", "answer"):
            done = subprocess.run(
                [*command, "--seconds", str(seconds), "--only", only],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            figures |= json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(case.built, ignore_errors=True)
    return figures


@dataclass(frozen=True)
class Case:
    """A number of rows, and the files of it that contestants share.

    Attributes:
        n_rows: rows of the gallery.
    """

    n_rows: int

    @property
    def folder(self) -> Path:
        """Holds everything of this case."""
        return WORK / str(self.n_rows)

    @property
    def vectors(self) -> Path:
        """The gallery, float32 `[n_rows, D]`."""
        return self.folder / "vectors.npy"

    @property
    def built(self) -> Path:
        """Where the contestant whose turn it is keeps what it needs to answer."""
        return self.folder / "built"

    def queries(self, kind: str) -> np.ndarray:
        """Return the queries that are `asked`, or those for `tuning`; float32 `[Q, D]`."""
        return np.load(self.folder / f"{kind}.npy")

    def make(self, base: np.ndarray, asked: np.ndarray, tuning: np.ndarray, jitter: float) -> None:
        """Write the files."""
        self.folder.mkdir(parents=True)
        write_grown(base, self.n_rows, jitter, self.vectors)
        vectors = np.load(self.vectors, mmap_mode="r")
        for kind, queries in (("asked", asked), ("tuning", tuning)):
            np.save(self.folder / f"{kind}.npy", queries)
            np.save(self.folder / f"{kind}-limits.npy", tenth_distances(vectors, queries))

    def recall(self, kind: str, found: np.ndarray) -> float:
        """Return the share of the ten nearest that was found.

        Args:
            kind: of queries.
            found: row numbers, int64 `[n, K]`, of the first `n` of these queries.
        """
        vectors = np.load(self.vectors, mmap_mode="r")
        limits = np.load(self.folder / f"{kind}-limits.npy")
        hits = 0
        for rows, query, limit in zip(found, self.queries(kind), limits, strict=False):
            gaps = vectors[np.unique(rows)].astype(np.float64) - query
            hits += int((np.sqrt(np.square(gaps).sum(axis=1)) <= limit * (1 + 1e-6)).sum())
        return hits / found.size


def read_embeddings(n_queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pipeline's gallery in mixed order, and queries to ask and to tune by."""
    from siamese.embeddings.embedding_file import load_embeddings

    rng = np.random.default_rng(SEED)
    base, queries = (
        rng.permutation(load_embeddings(EMBEDDINGS / f"{name}.parquet").vectors)
        for name in ("gallery", "queries")
    )
    n_tuning = min(TUNING, len(queries) // 2)
    return base, queries[n_tuning:][:n_queries], queries[:n_tuning]


def distance_of_neighbours(base: np.ndarray) -> float:
    """Return the median distance of a row to its nearest other."""
    from siamese.measures.knn import nearest

    _, distances = nearest(base, base[:LOOKED_AT], 2)
    return float(np.median(distances[:, 1]))


def write_grown(base: np.ndarray, n_rows: int, jitter: float, file: Path) -> None:
    """Write the first rows of `base`, and where there are too few, moved copies of them."""
    rng = np.random.default_rng(SEED)
    grown = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.float32, shape=(n_rows, base.shape[1])
    )
    grown[: len(base)] = base[:n_rows]
    for start in range(len(base), n_rows, len(base)):
        originals = base[: n_rows - start]
        steps = rng.normal(size=originals.shape)
        steps *= jitter / np.linalg.norm(steps, axis=1, keepdims=True)
        moved = originals + steps
        lengths = np.linalg.norm(originals, axis=1, keepdims=True)
        moved *= lengths / np.linalg.norm(moved, axis=1, keepdims=True)
        grown[start : start + len(base)] = moved
    grown.flush()


def tenth_distances(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return each query's distance to its tenth nearest row, float64 `[Q]`, by plain NumPy."""
    wide = queries.astype(np.float64)
    nearest = np.full((len(queries), K), np.inf)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = vectors[start : start + ROWS_AT_ONCE].astype(np.float64)
        squared = np.square(wide).sum(axis=1)[:, None] - 2 * wide @ rows.T
        squared += np.square(rows).sum(axis=1)  # (Q, rows)
        nearest = np.partition(np.hstack([nearest, squared]), K - 1, axis=1)[:, :K]
    return np.sqrt(np.maximum(nearest.max(axis=1), 0))


class Contestant:
    """One way to keep vectors and to find the nearest.

    Attributes:
        says: its name in the table.
        libraries: what is imported before any time is taken.
    """

    says: str
    libraries: tuple[str, ...]

    def build(self, vectors: Path, folder: Path) -> None:
        """Make what `open` needs, in an existing folder."""
        raise NotImplementedError

    def tune(self, folder: Path, recall: Callable[[Answer], float]) -> None:
        """Choose settings, if there are any to choose; this time is not counted.

        Args:
            folder: what `build` made.
            recall: measures it on the queries for tuning.
        """

    def open(self, folder: Path) -> Answer:
        """Return what answers queries."""
        raise NotImplementedError


class OurGallery(Contestant):
    """The gallery of this project, from which the rest of a row is left out: labels, images."""

    says = "gallery, exact"
    libraries: tuple[str, ...] = (
        "lancedb",
        "pyarrow",
        "sklearn.neighbors",
        "siamese.gallery.search",
    )
    uses_index = False

    def build(self, vectors: Path, folder: Path) -> None:
        """Write the rows, streamed, and index them if that is asked for."""
        from siamese.gallery.search import Searcher
        from siamese.gallery.table import GalleryTable

        dimensions = np.load(vectors, mmap_mode="r").shape[1]
        table = GalleryTable.replace(folder / "gallery", dimensions, self._rows(vectors))
        if self.uses_index:
            from siamese.gallery.vector_index import build_index

            build_index(Searcher(table))

    def open(self, folder: Path) -> Answer:
        """Open the table; vectors are read when a batch needs them."""
        from siamese.gallery.search import Searcher
        from siamese.gallery.table import GalleryTable

        searcher = Searcher(GalleryTable.open(folder / "gallery"))
        return lambda queries: searcher.nearest(queries, K, exact=not self.uses_index)[0]

    @staticmethod
    def _rows(vectors: Path) -> Iterator[Any]:
        from siamese.gallery.rows import Rows

        mapped = np.load(vectors, mmap_mode="r")
        with vectors.open("rb") as stream:  # not by the map, whose pages would count as memory
            stream.seek(mapped.offset)
            for start in range(0, len(mapped), ROWS_AT_ONCE):
                n = min(ROWS_AT_ONCE, len(mapped) - start)
                content = np.fromfile(stream, np.float32, n * mapped.shape[1])
                yield Rows(
                    numbers=np.arange(start, start + n),
                    vectors=content.reshape(n, -1),
                    labels=[""] * n,
                    superclasses=[None] * n,
                    files=[""] * n,
                    images=[None] * n,
                    source=["pipeline"] * n,
                )


class OurIndexedGallery(OurGallery):
    """The gallery with the index that it makes of large ones, whatever its size here."""

    says = "gallery, with its index"
    uses_index = True


class HeldGallery(OurGallery):
    """The gallery in memory, whole neighbours included: label, file and so on."""

    says = "gallery held, exact"
    libraries = ("lancedb", "pyarrow", "siamese.gallery.gallery")

    def build(self, vectors: Path, folder: Path) -> None:
        """Write the rows, streamed; the index is made in memory."""
        from siamese.gallery.table import GalleryTable

        dimensions = np.load(vectors, mmap_mode="r").shape[1]
        GalleryTable.replace(folder / "gallery", dimensions, self._rows(vectors))

    def open(self, folder: Path) -> Answer:
        """Read all rows."""
        from siamese.gallery import held
        from siamese.gallery.gallery import Gallery

        if self.uses_index:
            held.INDEX_FROM = 1
        gallery = Gallery.open(folder / "gallery")
        assert gallery.hold()

        def answer(queries: np.ndarray) -> np.ndarray:
            found = gallery.search_embeddings(queries, K, exact=not self.uses_index)
            return np.array([[one.number for one in each] for each in found])

        return answer


class HeldIndexedGallery(HeldGallery):
    """The gallery in memory with the index that it makes of large ones, whatever its size here."""

    says = "gallery held, with index"
    uses_index = True


class FaissFlat(Contestant):
    """FAISS, exact."""

    says = "FAISS flat"
    libraries = ("faiss",)

    def build(self, vectors: Path, folder: Path) -> None:
        """Make the index and write it."""
        import faiss

        content = np.load(vectors)
        index = self.make(*content.shape)
        index.train(content)
        index.add(content)
        faiss.write_index(index, str(folder / "index"))

    def make(self, n_rows: int, dimensions: int) -> Any:
        """Return an empty index."""
        import faiss

        return faiss.IndexFlatL2(dimensions)

    def open(self, folder: Path) -> Answer:
        """Read the index."""
        import faiss

        index = faiss.read_index(str(folder / "index"))
        return lambda queries: index.search(queries, K)[1]


class FaissIvf(FaissFlat):
    """FAISS, approximate: √rows lists, of which the nearest are looked through."""

    says = "FAISS IVF"

    def make(self, n_rows: int, dimensions: int) -> Any:
        """Return an empty index."""
        import faiss

        return faiss.index_factory(dimensions, f"IVF{round(n_rows**0.5)},Flat")

    def tune(self, folder: Path, recall: Callable[[Answer], float]) -> None:
        """Look at twice as many lists until the recall is reached."""
        import faiss

        index: Any = faiss.read_index(str(folder / "index"))
        while recall(lambda queries: index.search(queries, K)[1]) < TARGET:
            index.nprobe *= 2
        faiss.write_index(index, str(folder / "index"))  # nprobe is part of it


class ScikitLearn(Contestant):
    """scikit-learn's brute force over all vectors in memory."""

    says = "scikit-learn brute force"
    libraries = ("sklearn.neighbors",)

    def build(self, vectors: Path, folder: Path) -> None:
        """Keep the vectors: there is nothing else to be made."""
        np.save(folder / "vectors.npy", np.load(vectors))

    def open(self, folder: Path) -> Answer:
        """Read the vectors."""
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(
            np.load(folder / "vectors.npy")
        )
        return lambda queries: index.kneighbors(queries, return_distance=False)


CONTESTANTS: dict[str, Contestant] = {
    "gallery": OurGallery(),
    "gallery-index": OurIndexedGallery(),
    "held": HeldGallery(),
    "held-index": HeldIndexedGallery(),
    "faiss-flat": FaissFlat(),
    "faiss-ivf": FaissIvf(),
    "scikit-learn": ScikitLearn(),
}


def measure_build(contestant: Contestant, case: Case) -> dict[str, float]:
    """Return what building takes, once the libraries are imported."""
    for library in contestant.libraries:
        import_module(library)
    case.built.mkdir()
    began = time.perf_counter()
    contestant.build(case.vectors, case.built)
    figures = {
        "build_s": round(time.perf_counter() - began, 5),
        "build_memory_mb": peak_memory_mb(),
        "disk_mb": size_mb(case.built),
    }
    tuning = case.queries("tuning")
    contestant.tune(case.built, lambda answer: case.recall("tuning", answer(tuning)))
    return figures


def measure_answers(contestant: Contestant, case: Case, seconds: float) -> dict[str, float]:
    """Return how fast queries are answered, one by one and in batches, and how well."""
    for library in contestant.libraries:
        import_module(library)
    queries = case.queries("asked")
    began = time.perf_counter()
    answer = contestant.open(case.built)
    answer(queries[:1])
    first_s = time.perf_counter() - began
    singles = [queries[row : row + 1] for row in range(len(queries))]
    found, one_by_one, middle = time_each(answer, singles, seconds)
    memory_one_by_one = peak_memory_mb()

    batches = [queries[row : row + BATCH] for row in range(0, len(queries) - BATCH + 1, BATCH)]
    batches = batches or [queries]
    began = time.perf_counter()
    answer(batches[0])
    first_batch_s = time.perf_counter() - began
    _, in_batches, _ = time_each(answer, batches, seconds)
    return {
        "first_s": round(first_s, 5),
        "one_by_one": round(one_by_one, 1),
        "one_by_one_p50_ms": round(1000 * middle, 3),
        "one_by_one_memory_mb": memory_one_by_one,
        "first_batch_s": round(first_batch_s, 5),
        "in_batches": round(in_batches, 1),
        "in_batches_memory_mb": peak_memory_mb(),
        "asked": len(found),
        "recall": round(case.recall("asked", found), 4),
    }


def time_each(
    answer: Answer, parts: list[np.ndarray], seconds: float
) -> tuple[np.ndarray, float, float]:
    """Ask part after part, until all are answered or the time is up.

    Returns:
        The rows found, int64 `[n, K]`; queries per second, each call weighing the same; and the
        median time of a call, in seconds.
    """
    found, spent = [], list[float]()
    for part in parts:
        began = time.perf_counter()
        found.append(answer(part))
        spent.append(time.perf_counter() - began)
        if sum(spent) > seconds:
            break
    rows = np.concatenate(found)
    return rows, len(rows) / sum(spent), statistics.median(spent)


def peak_memory_mb() -> int:
    """Return the most memory that this process has held, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the process was before it became this one, too
        lines = status.read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return round(kilobytes * 1024 / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def size_mb(folder: Path) -> float:
    """Return what the files of a folder take, in megabytes."""
    sizes = (
        (Path(inner) / name).stat().st_size for inner, _, names in os.walk(folder) for name in names
    )
    return round(sum(sizes) / 1e6, 3)


def table(n_rows: int, rounds: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown: medians, and of speeds least to most, over the rounds."""
    lines = [
        "",
        f"| {n_rows:,} rows | build | on disk | first answer | queries/s, one by one"
        f" | median of one | in batches of {BATCH} | recall@{K}"
        " | peak memory: build, one by one, batches |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        each = [figures[name] for figures in rounds]
        middle = {key: statistics.median(figures[key] for figures in each) for key in each[0]}
        memory = ", ".join(
            f"{middle[f'{step}_memory_mb'] / 1000:.1f}"
            for step in ("build", "one_by_one", "in_batches")
        )
        lines.append(
            f"| {CONTESTANTS[name].says} | {middle['build_s']:,.1f} s"
            f" | {middle['disk_mb']:,.0f} MB | {1000 * middle['first_s']:,.0f} ms"
            f" | {speed(each, 'one_by_one')} | {middle['one_by_one_p50_ms']:.2f} ms"
            f" | {speed(each, 'in_batches')}"
            f" | {min(figures['recall'] for figures in each):.4f} | {memory} GB |"
        )
    return "\n".join(lines)


def speed(each: list[dict[str, float]], key: str) -> str:
    """Return the median of a speed, and least to most."""
    speeds = sorted(figures[key] for figures in each)
    return f"{statistics.median(speeds):,.0f} ({speeds[0]:,.0f} - {speeds[-1]:,.0f})"


if __name__ == "__main__":
    main()
