import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.sources import cifar100
from siamese.sources.cifar100 import read_cifar100
from tests.support.tiny_archive import (
    FOLDER,
    Ops,
    array_ops,
    member,
    pickle2,
    records,
    shuffled,
    write_archive,
)

Records = dict[str, Any]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "in" / "archive.tar.gz"


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever the archive holds, decoding leaves no file behind."""
    workplace = tmp_path / "work"
    workplace.mkdir()
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(workplace)
    yield
    assert not list(workplace.iterdir())
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("in", "work")] == []


def test_decodes_the_official_layout(archive: Path) -> None:
    content = records()
    dataset = read_cifar100(write_archive(archive, content))
    assert dataset.images.shape == (20, 32, 32, 3)
    assert dataset.images.dtype == np.uint8
    assert dataset.classes.fine == ("ant", "bee", "cat", "dog")
    assert dataset.classes.coarse == ("insect", "mammal")
    samples = dataset.samples
    assert samples["sample"].tolist() == list(range(20))
    assert samples["split"].tolist() == ["train"] * 12 + ["test"] * 8
    for row, sample in samples.iterrows():
        record = content[sample["split"]]
        source = record[b"filenames"].index(sample["file"].encode())
        assert sample["fine"] == record[b"fine_labels"][source]
        assert sample["coarse"] == record[b"coarse_labels"][source]
        for channel in range(3):  # red plane, green plane, blue plane
            plane = record[b"data"][source, 1024 * channel : 1024 * (channel + 1)]
            assert (dataset.images[row, :, :, channel].ravel() == plane).all()  # type: ignore[index]


def test_a_repacked_archive_gives_the_same(archive: Path) -> None:
    first = read_cifar100(write_archive(archive, records()))
    second = read_cifar100(write_archive(archive, shuffled(records(), seed=3)))
    assert (first.images == second.images).all()
    assert first.samples.equals(second.samples)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_python_3_are_read_too(archive: Path, protocol: int) -> None:
    expected = read_cifar100(write_archive(archive, records()))
    python3 = {
        name: pickle.dumps({key.decode(): value for key, value in record.items()}, protocol)
        for name, record in records().items()
    }
    found = read_cifar100(write_archive(archive, python3))
    assert (found.images == expected.images).all()
    assert found.samples.equals(expected.samples)


def test_an_array_in_column_major_order(archive: Path) -> None:
    expected = read_cifar100(write_archive(archive, records()))
    content: Records = records()
    data = content["train"][b"data"]
    content["train"][b"data"] = array_ops(data.shape, data.tobytes(order="F"), fortran=True)
    assert (read_cifar100(write_archive(archive, content)).images == expected.images).all()


def refused(archive: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_cifar100(archive)
    text = str(caught.value)
    assert str(archive) in text
    assert "\n" not in text
    assert len(text) < 400


# Damage to a record: what is done to it, and what the message says.
RECORDS: dict[str, tuple[Callable[[Records], object], str]] = {
    "no data": (lambda r: r["train"].pop(b"data"), "train: has no `data`"),
    "no fine labels": (lambda r: r["test"].pop(b"fine_labels"), "test: has no `fine_labels`"),
    "no coarse labels": (lambda r: r["test"].pop(b"coarse_labels"), "has no `coarse_labels`"),
    "no file names": (lambda r: r["train"].pop(b"filenames"), "train: has no `filenames`"),
    "no names": (lambda r: r["meta"].pop(b"fine_label_names"), "meta: has no `fine_label_names`"),
    "no coarse names": (lambda r: r["meta"].pop(b"coarse_label_names"), "has no `coarse_label"),
    "names twice": (lambda r: r["meta"][b"fine_label_names"].append(b"ant"), "repeated name"),
    "no name": (lambda r: r["meta"].update({b"coarse_label_names": []}), "is empty"),
    "names no text": (lambda r: r["meta"].update({b"coarse_label_names": [1]}), "list of texts"),
    "names no UTF-8": (lambda r: r["meta"].update({b"coarse_label_names": [b"\xff"]}), "UTF-8"),
    "labels a text": (lambda r: r["test"].update({b"fine_labels": b"0123"}), "list of whole num"),
    "label a text": (lambda r: r["test"][b"fine_labels"].__setitem__(0, b"0"), "list of whole num"),
    "label a bool": (lambda r: r["test"][b"fine_labels"].__setitem__(0, True), "list of whole num"),
    "label too large": (lambda r: r["test"][b"fine_labels"].__setitem__(0, 4), "has 4, expected 0"),
    "label negative": (lambda r: r["train"][b"coarse_labels"].__setitem__(0, -1), "has -1, exp"),
    "label huge": (
        lambda r: r["test"][b"fine_labels"].__setitem__(
            0, Ops(b"\x8b\xe8\x03\0\0" + b"\x7f" * 1000)
        ),
        "has a huge number",
    ),
    "labels missing": (lambda r: r["train"][b"fine_labels"].pop(), "11 entries for 12 rows"),
    "file names missing": (lambda r: r["test"][b"filenames"].pop(), "7 entries for 8 rows"),
    "file name a number": (lambda r: r["test"][b"filenames"].__setitem__(0, 5), "list of texts"),
    "two superclasses": (lambda r: r["test"][b"coarse_labels"].__setitem__(2, 0), "of `cat` stand"),
    "labels hold themselves": (
        lambda r: r["test"].update({b"fine_labels": Ops(b"]q\x00h\x00a")}),
        "list of whole numbers",
    ),
    "a list": (lambda r: r.update(train=pickle2([1, 2])), "a pickled list, expected a dictionary"),
    "no pickle": (lambda r: r.update(test=b"hello"), "test: not a readable pickle"),
    "half a pickle": (
        lambda r: r.update(test=pickle2(r["test"])[:5000]),
        "test: not a readable pic",
    ),
    "empty": (lambda r: r.update(meta=b""), "meta: not a readable pickle"),
}


# Entries `data` that are no images.
DATA = {
    "a text": b"abc",
    "without a state": Ops(b"cnumpy.core.multiarray\n_reconstruct\n)R"),
    "with an odd state": Ops(b"cnumpy.core.multiarray\n_reconstruct\n)R)b"),
    "narrow": np.zeros((12, 3071), np.uint8),
    "flat": np.zeros(12 * 3072, np.uint8),
    "no rows": np.zeros((0, 3072), np.uint8),
    "signed": array_ops((12, 3072), bytes(12 * 3072), b"i1"),
    "objects": array_ops((12, 3072), [1] * 5, b"O8"),
    "objects called bytes": array_ops((1, 3072), [1] * 3072),
    "fewer bytes": array_ops((12, 3072), bytes(12 * 3072 - 1)),
    "negative shape": array_ops((-12, 3072), bytes(12 * 3072)),
}


@pytest.mark.parametrize("name", DATA)
def test_what_is_no_array_of_images_is_refused(name: str, archive: Path) -> None:
    content: Records = records()
    content["train"][b"data"] = DATA[name]
    refused(write_archive(archive, content), r"train: `data` is not an array of uint8 \[N, 3072\]")


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_not_as_it_should_be_is_refused(name: str, archive: Path) -> None:
    damage, message = RECORDS[name]
    content: Records = records()
    damage(content)
    refused(write_archive(archive, content), message)


def test_a_pickle_that_would_run_code_is_refused(archive: Path, tmp_path: Path) -> None:
    command = f"touch {tmp_path / 'canary'}".encode()
    content: Records = records()
    content["train"] = pickle2(Ops(b"cposix\nsystem\n(U" + bytes([len(command)]) + command + b"tR"))
    refused(write_archive(archive, content), "train: a pickle that asks for 'posix.system'")


EXTRAS = {
    "absolute": (member("/etc/canary", size=1), b"x", "points out of the archive"),
    "climbs out": (member(f"{FOLDER}/../../canary", size=1), b"x", "points out of the archive"),
    "symbolic link": (member(f"{FOLDER}/train", tarfile.SYMTYPE, link="/etc/passwd"), b"", "plain"),
    "hard link": (member(f"{FOLDER}/train", tarfile.LNKTYPE, link="../x"), b"", "neither a plain"),
    "long name": (member("/" + "x" * 5000), b"", "points out of the archive"),
    "device": (member("null", tarfile.CHRTYPE), b"", "neither a plain file nor a folder"),
    "pipe": (member("pipe", tarfile.FIFOTYPE), b"", "neither a plain file nor a folder"),
    "folder": (member(f"{FOLDER}/train", tarfile.DIRTYPE), b"", "is a folder, expected a pickle"),
    "twice": (member(f"{FOLDER}/test", size=1), b"x", "two members `cifar-100-python/test`"),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_member_that_does_not_belong_is_refused(name: str, archive: Path) -> None:
    info, body, message = EXTRAS[name]
    refused(write_archive(archive, records(), [(info, body)]), message)


def test_other_plain_files_are_no_matter(archive: Path) -> None:
    extra = [(member(f"{FOLDER}/file.txt~", size=3), b"abc"), (member("notes", size=1), b"x")]
    assert len(read_cifar100(write_archive(archive, records(), extra)).images) == 20


@pytest.mark.parametrize("name", ["meta", "train", "test"])
def test_a_missing_member_is_named(name: str, archive: Path) -> None:
    content = records()
    del content[name]
    refused(write_archive(archive, content), f"no member `{FOLDER}/{name}`")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b""), gzip.compress(b"x" * 2000)],
    # Named, for gzip writes the time: processes that collect at two seconds would disagree.
    ids=["empty", "text", "gzip of nothing", "gzip of text"],
)
def test_what_is_no_archive_is_refused(content: bytes, archive: Path) -> None:
    archive.write_bytes(content)
    refused(archive, r"not a readable \.tar\.gz|no member")


def test_an_uncompressed_tar_and_no_file_are_refused(archive: Path) -> None:
    refused(archive, "no such file")
    refused(archive.parent, "no such file")
    write_archive(archive, records())
    archive.write_bytes(gzip.decompress(archive.read_bytes()))
    refused(archive, r"not a readable \.tar\.gz file \(Not a gzipped file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_archive_and_a_flipped_bit_are_refused(share: float, archive: Path) -> None:
    content = bytearray(write_archive(archive, records()).read_bytes())
    archive.write_bytes(content[: int(len(content) * share)])
    refused(archive, r"not a readable \.tar\.gz file")
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused(archive, r"not a readable \.tar\.gz file")


def test_gzips_checksum_is_read_though_the_tar_ends_before(archive: Path) -> None:
    unpacked = gzip.decompress(write_archive(archive, records()).read_bytes())
    padded = gzip.compress(unpacked + bytes(4 << 20))
    archive.write_bytes(padded)
    assert len(read_cifar100(archive).images) == 20
    archive.write_bytes(padded[:-8] + bytes(8))
    refused(archive, "CRC check failed")


def test_a_member_that_claims_to_be_huge_is_refused_unread(archive: Path) -> None:
    info = member(f"{FOLDER}/train", size=1 << 40)
    archive.write_bytes(gzip.compress(info.tobuf()))
    refused(archive, "claims 1,099,511,627,776 bytes")
    archive.write_bytes(gzip.compress(member("other", size=1 << 40).tobuf()))
    refused(archive, "claims 1,099,511,627,776 bytes")


def test_an_archive_that_unpacks_to_too_much_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar100, "MAX_UNPACKED", 1 << 20)
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb") as file:
        # A header for a long name, whose "name" the tar reader itself would take into memory.
        file.write(member("name", tarfile.GNUTYPE_LONGNAME, size=1 << 30).tobuf())
        file.write(bytes(4 << 20))
    archive.write_bytes(bomb.getvalue())
    refused(archive, "unpacks to more than 1,048,576 bytes")


def test_an_archive_of_countless_members_is_refused(archive: Path) -> None:
    extra = [(member(f"file {number}"), b"") for number in range(cifar100.MAX_MEMBERS)]
    refused(write_archive(archive, records(), extra), "more than 1,000 members")


def _tar() -> bytes:
    """A whole tar, uncompressed, with headers of several kinds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("ä" * 120))  # needs a pax header
        for name in ("meta", "train"):
            tar.addfile(member(f"{FOLDER}/{name}", size=3), io.BytesIO(b"abc"))
    return buffer.getvalue()[:5120]


TAR = _tar()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(TAR) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )
)
def test_any_damage_to_a_tar_ends_in_an_input_error(
    edits: list[tuple[int, int]], archive: Path
) -> None:
    content = bytearray(TAR)
    for position, byte in edits:
        content[position] = byte
    for start in range(0, len(content), 512):  # make the checksums right, or headers are skipped
        block = content[start : start + 512]
        if any(block[148:156]):
            total = sum(block[:148]) + 8 * 32 + sum(block[156:])
            content[start + 148 : start + 156] = b"%06o\0 " % total
    archive.write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(InputError):
        read_cifar100(archive)
