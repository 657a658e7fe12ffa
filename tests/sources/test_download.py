import hashlib
from pathlib import Path
from typing import Any

import pytest

from siamese.base import files
from siamese.base.data_params import DataParams
from siamese.base.dataset import load_dataset
from siamese.base.errors import InputError
from siamese.base.params import Section, read_sections
from siamese.sources import download as module
from siamese.sources.canonical import content_hash
from siamese.sources.cifar100 import read_cifar100
from siamese.sources.download import download
from tests.support.tiny_archive import records, shuffled, write_archive

NAMES = ["classes.json", "images.npy", "samples.parquet"]


class Project:
    """A workspace with a tiny stand-in for CIFAR-100, whose official archive is a local file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = folder / "data" / "raw"
        self.downloads = folder / "data" / "downloads"
        self.official = write_archive(folder / "official", records())
        self.sha256 = files.sha256(self.official)
        self.size = self.official.stat().st_size

    def download(self, archive: str | None = None, **changes: Any) -> None:
        arguments = {
            "name": "cifar100",
            "urls": [f"file://{self.official}"],
            "size": self.size,
            "sha256": self.sha256,
            "target": self.raw,
            "downloads": self.downloads,
        }
        download(**(arguments | changes), archive=archive)  # type: ignore[arg-type]

    def hashes(self) -> dict[str, str]:
        return {path.name: files.sha256(path) for path in sorted(self.raw.iterdir())}

    def downloaded(self) -> list[str]:
        return sorted(path.name for path in self.downloads.glob("*"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    content = content_hash(read_cifar100(project.official))
    monkeypatch.setattr(module, "CIFAR100_CONTENT", content)
    return project


class DataSection(Section):
    data: DataParams


def repacked(project: Project) -> Path:
    return write_archive(project.folder / "repacked.tar.gz", shuffled(records(), seed=1))


def other(project: Project) -> Path:
    return write_archive(project.folder / "other.tar.gz", records(seed=9))


def test_the_official_archive_is_fetched_kept_and_decoded(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.download()
    assert list(project.hashes()) == NAMES
    dataset = load_dataset(project.raw)
    assert dataset.images.shape == (20, 32, 32, 3)
    assert list(dataset.samples.columns) == ["sample", "split", "fine", "coarse", "file"]
    assert [str(dtype) for dtype in dataset.samples.dtypes[["sample", "fine", "coarse"]]] == [
        "int64",
        "int64",
        "Int64",
    ]
    assert project.downloaded() == [module.ARCHIVE_NAME]
    assert "12 train, 8 test" in capsys.readouterr().out


def test_the_next_run_does_not_fetch_again(project: Project) -> None:
    project.download()
    before = project.hashes()
    project.download(urls=["/no/such/file"])
    assert project.hashes() == before


def test_an_archive_placed_by_hand_is_used(project: Project) -> None:
    project.downloads.mkdir(parents=True)
    (project.downloads / module.ARCHIVE_NAME).write_bytes(project.official.read_bytes())
    project.download(urls=["/no/such/file"])
    assert list(project.hashes()) == NAMES


def test_another_packing_gives_the_same_bytes(project: Project) -> None:
    project.download()
    before = project.hashes()
    project.download(archive=str(repacked(project)))
    assert project.hashes() == before


def test_a_local_copy_is_read_in_place(project: Project) -> None:
    project.download(archive=str(repacked(project)), urls=["/no/such/file"])
    assert project.downloaded() == []
    assert list(project.hashes()) == NAMES


def test_a_copy_from_a_url_is_fetched_once(project: Project) -> None:
    copy = repacked(project)
    url = f"file://{copy}"
    project.download(archive=url)
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    assert project.downloaded() == [f"copy-{key}.tar.gz"]
    copy.unlink()
    project.download(archive=url)
    assert list(project.hashes()) == NAMES


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_copy_of_something_else_is_refused(prefix: str, project: Project) -> None:
    project.download()
    before = project.hashes()
    with pytest.raises(InputError, match=r"not CIFAR-100's: their hash is [0-9a-f]{64}, expected"):
        project.download(archive=f"{prefix}{other(project)}")
    assert project.hashes() == before
    # A fetched one is not kept, or it would be refused again when its source has been mended.
    assert project.downloaded() == [module.ARCHIVE_NAME]
    assert other(project).exists()


def test_a_damaged_copy_is_not_kept(project: Project) -> None:
    copy = repacked(project)
    copy.write_bytes(copy.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"not a readable \.tar\.gz"):
        project.download(archive=f"file://{copy}")
    assert project.downloaded() == []
    assert not project.raw.exists()


def test_a_missing_copy_is_named_in_full(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=str(tmp_path / "copy.tar.gz")):
        project.download(archive="copy.tar.gz")
    assert not project.raw.exists()  # and the official one was not taken instead


def test_the_checksum_outweighs_the_content(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "CIFAR100_CONTENT", "0" * 64)
    project.download()
    assert "note: " in capsys.readouterr().out
    assert list(project.hashes()) == NAMES


def test_when_nothing_can_be_fetched_the_message_says_how_to_go_on(project: Project) -> None:
    with pytest.raises(InputError) as caught:
        project.download(urls=["/no/such/file", "http://127.0.0.1:9/x"])
    message = str(caught.value)
    for part in (
        "/no/such/file: there is no such file",
        "http://127.0.0.1:9/x: ",
        "make repro ARCHIVE=path-or-URL",
        "SIAMESE_ARCHIVE",
        f"place it at {project.downloads / module.ARCHIVE_NAME}",
        f"{project.size:,} bytes",
        project.sha256,
    ):
        assert part in message
    assert not project.raw.exists()


def test_digits_need_no_archive(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.download(name="digits", archive="/no/such/file")
    out = capsys.readouterr().out
    assert "SIAMESE_ARCHIVE=/no/such/file is ignored" in out
    assert "1,437 train, 360 test" in out
    assert load_dataset(project.raw).images.shape == (1797, 8, 8, 3)
    assert project.downloaded() == []


def test_an_empty_variable_is_no_archive(project: Project) -> None:
    project.download(archive="")
    assert project.downloaded() == [module.ARCHIVE_NAME]


GOOD = {
    "name": "cifar100",
    "path": "data/none",
    "images": "data/none",
    "unreadable": "stop",
    "image_size": 32,
    "fit": "pad",
    "novel_classes": 0,
    "urls": ["https://example.org/x"],
    "bytes": 1,
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "cifar10"),
        ("name", "folder"),  # without a path
        ("path", "''"),
        ("unreadable", "skip"),
        ("fit", "stretch"),
        ("novel_classes", -1),
        ("image_size", 7),
        ("image_size", 257),
        ("image_size", 32.5),
        ("urls", "[]"),
        ("urls", "['']"),
        ("urls", "https://example.org/x"),
        ("bytes", 0),
        ("bytes", "'1'"),
        ("sha256", "'" + "0" * 63 + "'"),
        ("sha256", "A" * 64),
    ],
)
def test_bad_parameters_are_named(key: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    lines = {k: f"'{v}'" if k == "sha256" else v for k, v in GOOD.items()}
    file.write_text("data:\n" + "".join(f"  {k}: {v}\n" for k, v in lines.items()))
    assert read_sections(DataSection, file).data.bytes == 1
    lines[key] = value
    file.write_text("data:\n" + "".join(f"  {k}: {v}\n" for k, v in lines.items()))
    with pytest.raises(InputError, match=rf"`data\.{key}"):
        read_sections(DataSection, file)
