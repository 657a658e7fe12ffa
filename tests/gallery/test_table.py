"""Rows in LanceDB: written in one commit, found again, read while others write."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.gallery.address import writing
from siamese.gallery.rows import FIRST_ENROLLED, Rows, enrolled_number, vectors_of
from siamese.gallery.table import GalleryTable, one_of


def rows(*numbers: int, dim: int = 2, label: str = "cat") -> Rows:
    n = len(numbers)
    vectors = np.array(numbers, dtype=np.float32)[:, None].repeat(dim, axis=1)
    return Rows(
        np.array(numbers, dtype=np.int64),
        vectors,
        [label] * n,
        [None, *["animal"] * n][:n],
        [f"{number}.png" for number in numbers],
        [b"png", *[None] * n][:n],
        ["pipeline"] * n,
    )


def numbers_in(table: GalleryTable) -> list[int]:
    return sorted(table.read(["number"])["number"].to_pylist())


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    GalleryTable.replace(tmp_path / "g", 2, [rows(3, 1), rows(2)], {"model": "abc"})
    table = GalleryTable.open(tmp_path / "g")
    assert len(table) == 3
    assert table.dimensions == 2
    assert table.metadata == {"model": "abc", "format": "1"}
    [found] = table.rows("number = 3")
    np.testing.assert_array_equal(found.vectors, [[3, 3]])
    assert found.vectors.dtype == np.float32
    assert (found.labels, found.superclasses) == (["cat"], [None])
    assert (found.files, found.images, found.source) == (["3.png"], [b"png"], ["pipeline"])
    looked_up = table.lookup(np.array([[2, 3], [2, 77]]), ["file"])
    assert looked_up.to_pylist() == [
        {"number": 2, "file": "2.png"},
        {"number": 3, "file": "3.png"},
    ]


def test_the_layout_that_other_languages_read(tmp_path: Path) -> None:
    schema = GalleryTable.replace(tmp_path / "g", 2, [rows(1)]).lance.schema
    assert {field.name: str(field.type) for field in schema} == {
        "number": "int64",
        "vector": "fixed_size_list<item: float>[2]",
        "label": "string",
        "superclass": "string",
        "file": "string",
        "image": "binary",
        "source": "string",
    }
    assert schema.metadata == {b"siamese.format": b"1"}


def test_slices_have_each_row_once(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(*range(60)), rows(*range(60, 100))])
    for number in range(100, 110):
        table.append(rows(number))
    table.delete("number % 7 = 0")
    expected = [number for number in range(110) if number % 7]
    for n_rows in (1, 13, 1000):
        batches = list(table.slices(["number", "vector"], n_rows))
        assert max(len(batch) for batch in batches) <= n_rows
        found = np.concatenate([batch.column("number").to_numpy() for batch in batches])
        assert sorted(found) == expected
        vectors = np.concatenate([vectors_of(batch.column("vector")) for batch in batches])
        np.testing.assert_array_equal(vectors[:, 0], found)


def test_every_commit_is_noticed(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(1)])
    reader = GalleryTable.open(tmp_path / "g")
    commits = [reader.newest_commit()]
    for change in (
        lambda: table.append(rows(2)),
        lambda: table.delete("number = 2"),
        lambda: GalleryTable.replace(tmp_path / "g", 2, [rows(1)]),
        lambda: shutil.rmtree(tmp_path / "g"),
        lambda: GalleryTable.replace(tmp_path / "g", 2, [rows(1)]),
    ):
        change()
        assert reader.newest_commit() not in commits
        assert reader.newest_commit() == reader.newest_commit()
        commits.append(reader.newest_commit())


def test_many_numbers_are_looked_up_as_few_are(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 1, [rows(*range(5000), dim=1)])
    wanted = np.arange(1, 9000, 3)
    found = table.lookup(wanted, ["file"])
    assert found["number"].to_pylist() == [n for n in wanted.tolist() if n < 5000]
    assert found["file"].to_pylist()[:2] == ["1.png", "4.png"]
    assert table.lookup(np.array([], dtype=np.int64), ["file"]).num_rows == 0


def test_replacing_is_seen_by_who_opens_and_not_by_who_has_opened(tmp_path: Path) -> None:
    old = GalleryTable.replace(tmp_path / "g", 2, [rows(1, 2)], {"model": "old"})
    new = GalleryTable.replace(tmp_path / "g", 3, [rows(7, dim=3)], {"model": "new"})
    assert numbers_in(old) == [1, 2]
    assert old.metadata["model"] == "old"
    assert numbers_in(new) == [7]
    assert new.metadata["model"] == "new"
    old.refresh()
    assert (numbers_in(old), old.metadata["model"], old.dimensions) == ([7], "new", 3)


def test_rows_that_fail_leave_the_old_gallery_and_say_their_error(tmp_path: Path) -> None:
    GalleryTable.replace(tmp_path / "g", 2, [rows(1)])
    bad = rows(2)
    bad.vectors[0, 1] = np.nan

    def broken() -> Iterator[Rows]:
        yield rows(*range(10, 20))
        yield bad

    with pytest.raises(InputError, match=r"the vector of 2\.png \(number 2\) holds a value"):
        GalleryTable.replace(tmp_path / "g", 2, broken())
    with pytest.raises(InputError, match=r"expected vectors as float32 \[1, 2\].*found \[1, 3\]"):
        GalleryTable.replace(tmp_path / "g", 2, [rows(3, dim=3)])
    assert numbers_in(GalleryTable.open(tmp_path / "g")) == [1]


def test_an_empty_gallery_can_be_filled(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [], {"model": "abc"})
    assert len(table) == 0
    assert table.read(["number"]).num_rows == 0
    assert table.append(rows(1, 2)) == 2
    assert numbers_in(GalleryTable.open(tmp_path / "g")) == [1, 2]


def test_appending_a_number_twice_changes_nothing(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(1)], {"model": "abc"})
    assert table.append(rows(2, 3, 2)) == 2
    version = table.version
    assert table.append(rows(2, 1)) == 0
    assert table.version == version
    assert table.append(rows(3, 4)) == 1
    assert numbers_in(table) == [1, 2, 3, 4]
    assert table.metadata["model"] == "abc"


def test_deleting_tells_how_many(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(1, 2, 3)], {"model": "abc"})
    assert table.delete("number > 1") == 2
    assert table.delete("number > 1") == 0
    assert numbers_in(GalleryTable.open(tmp_path / "g")) == [1]
    assert GalleryTable.open(tmp_path / "g").metadata["model"] == "abc"


def test_many_small_writes_are_joined(tmp_path: Path) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(0)], {"model": "abc"})
    for number in range(1, 25):
        table.append(rows(number))
    assert table.is_in_pieces()
    table.tidy()
    assert not table.is_in_pieces()
    assert numbers_in(table) == list(range(25))
    assert table.metadata["model"] == "abc"


@pytest.mark.parametrize("text", ["it's", "a'; b", '"', "naïve", "\\", "%", "100"])
def test_any_text_can_be_asked_for(tmp_path: Path, text: str) -> None:
    table = GalleryTable.replace(tmp_path / "g", 2, [rows(1), rows(2, label=text)])
    assert table.read(["number"], one_of("label", [text]))["number"].to_pylist() == [2]
    assert table.read(["number"], one_of("label", [])).num_rows == 0


@given(st.binary(min_size=12, max_size=12), st.text(max_size=3), st.binary(min_size=12), st.text())
def test_a_number_tells_images_and_labels_apart(
    pixels: bytes, label: str, other_pixels: bytes, other_label: str
) -> None:
    one, other = (
        np.frombuffer(content[:12], np.uint8).reshape(2, 2, 3) for content in (pixels, other_pixels)
    )
    number = enrolled_number(one, label)
    assert FIRST_ENROLLED <= number < 2**63
    assert number == enrolled_number(one.copy(order="F"), label)
    is_same = pixels == other_pixels[:12] and label == other_label
    assert (number == enrolled_number(other, other_label)) == is_same
    assert number != enrolled_number(one.reshape(1, 4, 3), label)


def test_no_gallery_and_damage_are_told_apart(tmp_path: Path) -> None:
    assert GalleryTable.find(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="there is no gallery; `siamese gallery build` makes one"):
        GalleryTable.open(tmp_path / "none")
    GalleryTable.replace(tmp_path / "g", 2, [rows(1)])
    for manifest in (tmp_path / "g").rglob("*.manifest"):
        manifest.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="the gallery cannot be read"):
        GalleryTable.open(tmp_path / "g")


def test_another_format_is_refused(tmp_path: Path) -> None:
    import lancedb

    lancedb.connect(tmp_path / "g").create_table("gallery", pa.table({"number": [1]}))
    with pytest.raises(InputError, match="a gallery of format None, expected '1'"):
        GalleryTable.open(tmp_path / "g")


def test_an_address_may_be_a_url(tmp_path: Path) -> None:
    address = f"file://{tmp_path / 'g'}"
    with writing(address):
        GalleryTable.replace(address, 2, [rows(1)])
    assert numbers_in(GalleryTable.open(tmp_path / "g")) == [1]
    with pytest.raises(InputError, match="LanceDB cannot open this address"):
        GalleryTable.open("nothing://of/the/kind")


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    code = (
        "import sys; from filelock import FileLock, Timeout\n"
        "try: FileLock(sys.argv[1]).acquire(timeout=0); print('free')\n"
        "except Timeout: print('taken')"
    )

    def asked_elsewhere() -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "g" / ".gallery.lock")]
        return subprocess.check_output(command, text=True).strip()

    with writing(tmp_path / "g"):
        assert asked_elsewhere() == "taken"
    assert asked_elsewhere() == "free"
