"""Several real processes at one gallery: none loses a row, and readers never meet half of one."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from siamese.gallery.address import writing
from siamese.gallery.rows import Rows, Source
from siamese.gallery.table import GalleryTable
from tests.support.workspace import ROOT

# Writes rows of its own, a commit each, as `enroll` does.
WRITER = """
import sys
import numpy as np
from siamese.gallery.rows import Rows
from siamese.gallery.address import writing
from siamese.gallery.table import GalleryTable
address, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
table = GalleryTable.open(address)
for number in range(first, first + count):
    rows = Rows(np.array([number]), np.full((1, 4), number, np.float32), ["x"], [None], ["f"],
                [None], ["enrolled"])
    with writing(address):
        table.refresh()
        assert table.append(rows) == 1
        if table.is_in_pieces():
            table.tidy()
"""
# Replaces all rows of the pipeline and takes over the enrolled ones, as `build` does.
BUILDER = """
import sys
import numpy as np
from siamese.gallery.rows import Rows
from siamese.gallery.address import writing
from siamese.gallery.table import GalleryTable
address, generations = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for generation in range(1, generations + 1):
    with writing(address):
        old = GalleryTable.open(address)
        def rows():
            for start in range(0, 300, 100):
                yield Rows(np.arange(start, start + 100), np.full((100, 4), generation, np.float32),
                           ["p"] * 100, [None] * 100, ["f"] * 100, [None] * 100,
                           ["pipeline"] * 100)
            yield from old.rows("source = 'enrolled'")
        GalleryTable.replace(address, 4, rows(), {"generation": str(generation)}).tidy()
"""
# Replaces everything, slowly, and says when it has begun.
SLOW_BUILDER = """
import sys, time
import numpy as np
from siamese.gallery.rows import Rows
from siamese.gallery.address import writing
from siamese.gallery.table import GalleryTable
print("ready", flush=True)
sys.stdin.readline()
def rows():
    for start in range(0, 2000, 100):
        yield Rows(np.arange(start, start + 100), np.ones((100, 64), np.float32), ["p"] * 100,
                   [None] * 100, ["f"] * 100, [b"x" * 20_000] * 100, ["pipeline"] * 100)
        time.sleep(0.02)
with writing(sys.argv[1]):
    GalleryTable.replace(sys.argv[1], 64, rows(), {"generation": "1"})
"""
# Opens and reads again and again; every time it must find one generation, and that entire.
READER = """
import json, sys
import numpy as np
from siamese.gallery.table import GalleryTable
from siamese.gallery.search import Searcher
address = sys.argv[1]
held = GalleryTable.open(address)  # while nobody writes yet
print("ready", flush=True)
sys.stdin.readline()
seen, most = set(), 0
while True:
    table = GalleryTable.open(address)
    generation = table.metadata["generation"]
    [count] = {len(rows) for rows in [table.read(["vector"], "source = 'pipeline'")]}
    assert count == 300, count
    vectors = np.array(table.read(["vector"], "source = 'pipeline'")["vector"].to_pylist())
    assert (vectors == float(generation)).all(), generation
    numbers, _ = Searcher(table).nearest(np.full((1, 4), float(generation), np.float32), 3)
    assert numbers.tolist() == [[0, 1, 2]], numbers
    enrolled = table.lance.count_rows("source = 'enrolled'")
    assert enrolled >= most, "a row that was there has gone"
    most = enrolled
    assert len(held) == 300  # what was opened first is still there, as it was
    assert (np.array(held.read(["vector"])["vector"].to_pylist()) == 0).all()
    seen.add(generation)
    if table.lance.count_rows("label = 'stop'"):
        print(json.dumps({"generations": len(seen)}), flush=True)
        break
"""


def start(code: str, *arguments: object) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT / "src",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def rows(n: int, first: int = 0, label: str = "p", source: Source = "pipeline") -> Rows:
    none = [None] * n
    numbers = np.arange(first, first + n)
    vectors = np.zeros((n, 4), np.float32)
    return Rows(numbers, vectors, [label] * n, none, ["f"] * n, none, [source] * n)


@pytest.mark.slow
def test_writers_lose_no_row_and_readers_see_whole_galleries(tmp_path: Path) -> None:
    address = tmp_path / "gallery"
    GalleryTable.replace(address, 4, [rows(300)], {"generation": "0"})
    writers = [start(WRITER, address, base, 30) for base in (1000, 2000)]
    builder, reader = start(BUILDER, address, 8), start(READER, address)
    for process in (reader, *writers, builder):
        go(process)
    for process in (*writers, builder):
        assert process.wait() == 0
    with writing(address):
        GalleryTable.open(address).append(rows(1, 5001, "stop", "enrolled"))
    output, _ = reader.communicate()
    assert reader.returncode == 0
    assert json.loads(output)["generations"] >= 2  # it did read while others wrote

    table = GalleryTable.open(address)
    enrolled = table.read(["number"], "source = 'enrolled'")["number"].to_pylist()
    assert sorted(enrolled) == [*range(1000, 1030), *range(2000, 2030), 5001]
    assert table.metadata["generation"] == "8"


@pytest.mark.slow
def test_rows_that_are_being_replaced_are_whole_whenever_the_writer_is_killed(
    tmp_path: Path,
) -> None:
    """By `kill -9`, at twelve moments of half a second of writing, the commit's among them."""
    generations = []
    for delay in [*np.linspace(0.02, 0.4, 8), 0.42, 0.44, 0.47, 0.8]:
        address = tmp_path / f"{delay:.3f}"
        GalleryTable.replace(address, 4, [rows(300)], {"generation": "0"})
        writer = start(SLOW_BUILDER, address)
        go(writer)
        time.sleep(delay)
        writer.kill()
        writer.wait()
        table = GalleryTable.open(address)
        generation = table.metadata["generation"]
        vectors = table.read(["vector"])["vector"]
        right = (300, 4, 0.0) if generation == "0" else (2000, 64, 1.0)
        assert (len(vectors), len(vectors[0].as_py()), vectors[-1].as_py()[0]) == right
        generations.append(generation)
        with writing(address):  # the lock went with its owner
            assert table.append(rows(0)) == 0
    assert generations.count("0") >= 3
