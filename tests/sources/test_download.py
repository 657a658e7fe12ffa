import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from siamese.base import files
from siamese.base.data_params import Archive, DataParams
from siamese.base.dataset import load_dataset, save_dataset
from siamese.base.errors import InputError
from siamese.base.params import Section, read_sections
from siamese.cli.schema import check_params
from siamese.sources.canonical import content_hash
from siamese.sources.cifar100 import read_cifar100
from siamese.sources.download import get_data_set
from siamese.sources.registry import DATA_SETS, Fetched
from tests.support.tiny_archive import records, shuffled, write_archive
from tests.support.workspace import ROOT

NAMES = ["classes.json", "images.npy", "samples.parquet"]


# The archive of another data set, which nothing here may ask for.
ELSEWHERE = Archive(urls=["/no/such/archive"], bytes=1, sha256="0" * 64)


class DataSection(Section):
    data: DataParams


class Project:
    """A workspace, and a tiny data set whose official archive is a local file.

    It is called `tiny`: a row of the registry and an archive of its own are all that it takes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = folder / "data" / "raw"
        self.downloads = folder / "data" / "downloads"
        self.official = write_archive(folder / "official", records())
        self.archive = Archive(
            urls=[f"file://{self.official}"],
            bytes=self.official.stat().st_size,
            sha256=files.sha256(self.official),
        )

    def download(self, archive: str | None = None, name: str = "tiny", **changes: Any) -> None:
        archives = {"cifar100": ELSEWHERE, "tiny": self.archive.model_copy(update=changes)}
        dataset = get_data_set(name, archives, self.downloads, archive)
        assert dataset is not None
        with files.new_folder(self.raw) as folder:
            save_dataset(dataset, folder)

    def hashes(self) -> dict[str, str]:
        return {path.name: files.sha256(path) for path in sorted(self.raw.iterdir())}

    def downloaded(self) -> list[str]:
        return sorted(path.name for path in self.downloads.glob("*"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    content = content_hash(read_cifar100(project.official))
    monkeypatch.setitem(DATA_SETS, "tiny", Fetched(read_cifar100, "tiny.tar.gz", content))
    return project


def repacked(project: Project) -> Path:
    return write_archive(project.folder / "repacked.tar.gz", shuffled(records(), seed=1))


def other(project: Project) -> Path:
    return write_archive(project.folder / "other.tar.gz", records(seed=9))


@pytest.mark.parametrize("copy", [None, ""])  # an empty variable names none
def test_the_official_archive_is_fetched_once_and_decoded(
    copy: str | None, project: Project
) -> None:
    project.download(archive=copy)
    before = project.hashes()
    assert list(before) == NAMES
    dataset = load_dataset(project.raw)
    assert dataset.images.shape == (20, 32, 32, 3)
    assert list(dataset.samples.columns) == ["sample", "split", "fine", "coarse", "file"]
    types = dataset.samples.dtypes[["sample", "fine", "coarse"]]
    assert [str(dtype) for dtype in types] == ["int64", "int64", "Int64"]
    assert project.downloaded() == ["tiny.tar.gz"]
    project.download(urls=["/no/such/file"])
    assert project.hashes() == before


def test_an_archive_placed_by_hand_is_used(project: Project) -> None:
    project.downloads.mkdir(parents=True)
    (project.downloads / "tiny.tar.gz").write_bytes(project.official.read_bytes())
    project.download(urls=["/no/such/file"])
    assert list(project.hashes()) == NAMES


def test_a_copy_is_read_in_place_and_its_packing_does_not_matter(project: Project) -> None:
    project.download(archive=str(repacked(project)), urls=["/no/such/file"])
    assert project.downloaded() == []
    before = project.hashes()
    project.download()
    assert project.hashes() == before


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
    with pytest.raises(InputError, match=r"not those of tiny: their hash is [0-9a-f]{64}"):
        project.download(archive=f"{prefix}{other(project)}")
    assert project.hashes() == before
    # A fetched one is not kept, or it would be refused again when its source has been mended.
    assert project.downloaded() == ["tiny.tar.gz"]
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
    other = Fetched(read_cifar100, "tiny.tar.gz", "0" * 64)
    monkeypatch.setitem(DATA_SETS, "tiny", other)
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
        f"place it at {project.downloads / 'tiny.tar.gz'}",
        f"{project.archive.bytes:,} bytes",
        project.archive.sha256,
    ):
        assert part in message
    assert not project.raw.exists()


def test_digits_need_no_archive(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.download(archive="/no/such/file", name="digits")
    assert "SIAMESE_ARCHIVE=/no/such/file is ignored" in capsys.readouterr().out
    assert load_dataset(project.raw).images.shape == (1797, 8, 8, 3)
    assert project.downloaded() == []


def test_of_a_folder_there_is_nothing_to_fetch(tmp_path: Path) -> None:
    assert get_data_set("folder", {}, tmp_path / "downloads") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "archives", "message"),
    [
        ("cifar10", {}, r"`data\.name` is 'cifar10'; did you mean `cifar100`\?"),
        ("zzz", {}, r"`data\.name` is 'zzz'; known here: `cifar100`, `digits`, `folder`"),
        ("cifar100", {}, r"key `data\.archives\.cifar100` is missing"),
        ("digits", {"cifar10": ELSEWHERE}, r"`data\.archives\.cifar10`; did you mean `cifar100`\?"),
        ("digits", {"digits": ELSEWHERE}, r"unknown key `data\.archives\.digits`"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    name: str, archives: dict[str, Archive], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        get_data_set(name, archives, tmp_path)


def test_the_archives_of_params_yaml_are_those_of_the_registry() -> None:
    fetched = {name for name, row in DATA_SETS.items() if isinstance(row, Fetched)}
    assert set(check_params(ROOT / "params.yaml").data.archives) == fetched


GOOD: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("name", "folder"),  # without a path
        ("path", ""),
        ("unreadable", "skip"),
        ("fit", "stretch"),
        ("novel_classes", -1),
        ("image_size", 7),
        ("image_size", 769),
        ("image_size", 32.5),
        ("image_size", [32]),
        ("archives", []),
        ("archives.cifar100", "https://example.org/x"),
        ("archives.cifar100.urls", []),
        ("archives.cifar100.urls", [""]),
        ("archives.cifar100.urls", "https://example.org/x"),
        ("archives.cifar100.bytes", 0),
        ("archives.cifar100.bytes", "1"),
        ("archives.cifar100.sha256", "0" * 63),
        ("archives.cifar100.sha256", "A" * 64),
        ("archives.cifar100.url", "https://example.org/x"),
    ],
)
def test_bad_parameters_are_named(key: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"data": GOOD}))
    read_sections(DataSection, file)
    content = deepcopy(GOOD)
    *groups, last = key.split(".")
    group = content
    for name in groups:
        group = group[name]
    group[last] = value
    file.write_text(yaml.safe_dump({"data": content}))
    with pytest.raises(InputError, match=rf"`data\.{key}"):
        read_sections(DataSection, file)
