"""Listing class folders, with every fault that people make in them."""

import os
from pathlib import Path

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.images.files import is_picture
from tests.support.listed import listed
from tests.support.pictures import draw


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("owl/1.png", "owl/2.PNG", "owl/deep/er/3.jpg", "cat/1.png", "cat/b.gif"):
        draw(tmp_path / "photos" / name)
    for name in ("cat/notes.txt", "README", ".hidden/1.png", "owl/.2.png"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("no image")
    return tmp_path / "photos"


def test_class_folders(photos: Path) -> None:
    listing = listed(photos)
    assert listing.classes.fine == ("cat", "owl")
    assert listing.classes.coarse == ()
    files = ["cat/1.png", "cat/b.gif", "owl/1.png", "owl/2.PNG", "owl/deep/er/3.jpg"]
    assert listing.samples["file"].tolist() == files
    assert listing.samples["fine"].tolist() == [0, 0, 1, 1, 1]
    assert listing.samples["split"].isna().all()
    assert listing.samples["coarse"].isna().all()
    assert "group" not in listing.samples


def test_folders_of_splits_whatever_their_case(tmp_path: Path) -> None:
    for name in ("Train/a/1.png", "Train/b/1.png", "TEST/a/1.png", "TEST/b/1.png"):
        draw(tmp_path / name)
    (tmp_path / "meta").mkdir()  # without an image: no class
    listing = listed(tmp_path)
    assert listing.classes.fine == ("a", "b")
    assert listing.samples["split"].tolist() == ["test"] * 2 + ["train"] * 2


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "val"], "`train`, `val`, which are names of splits, but none for `test`"),
        (["test", "validation"], "names of splits, but none for `train`"),
        (["train", "test", "more"], "names of splits, and `more` beside them"),
    ],
)
def test_splits_that_are_not_complete_are_not_taken_for_classes(
    tmp_path: Path, folders: list[str], message: str
) -> None:
    for folder in folders:
        for label in "ab":
            draw(tmp_path / folder / label / "1.png")
    with pytest.raises(InputError, match=message):
        listed(tmp_path)


def test_what_is_passed_over_is_noted(photos: Path) -> None:
    for file in photos.rglob("*"):
        if file.is_file() and not is_picture(file.name):
            file.unlink()
    assert listed(photos).notes == ()
    for name in ("1.heic", "2.HEIC", "README", ".hidden"):
        (photos / "owl" / name).write_bytes(b"a picture, or not")
    [note] = listed(photos).notes
    assert note.endswith("in no format of pictures that is read: 2 .heic, 1 without suffix")
    (photos / "bat").mkdir()
    (photos / "bat/1.heic").write_bytes(b"a picture")
    first, second = listed(photos).notes
    assert f"{photos / 'bat'} has files, but no picture" in first
    assert "3 .heic" in second


def test_a_name_that_is_no_text_is_refused(photos: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")  # Latin-1, from an old archive
    (photos / "owl/1.png").rename(photos / "owl" / name)
    with pytest.raises(InputError, match=r"'owl/caf\\udce9\.png' is not UTF-8"):
        listed(photos)


@pytest.mark.parametrize(
    "splits",
    [
        {"Training": "train", "Testing": "test"},
        {"train": "train", "dev": "validation", "TEST": "test"},
        {"train": "train", "val": "validation", "test": "test"},
    ],
)
def test_other_names_of_splits(tmp_path: Path, splits: dict[str, str]) -> None:
    for folder in splits:
        for label in "ab":
            draw(tmp_path / "photos" / folder / label / "1.png")
    samples = listed(tmp_path / "photos").samples
    folders = samples["file"].str.split("/").str[0]
    assert dict(zip(folders, samples["split"], strict=True)) == splits


def test_classes_that_are_called_like_a_split_stay_classes(tmp_path: Path) -> None:
    for label in ("train", "bus"):
        draw(tmp_path / label / "1.png")
    assert listed(tmp_path).classes.fine == ("bus", "train")


def test_places_that_hold_no_data_set_are_refused(photos: Path) -> None:
    with pytest.raises(InputError, match="no such folder or file"):
        listed(photos / "bat")
    with pytest.raises(InputError, match="expected a folder of class folders, or a table"):
        listed(photos / "README")
    (photos.parent / "empty").mkdir()
    with pytest.raises(InputError, match=r"no image in it; expected .*\.png"):
        listed(photos.parent / "empty")
    draw(photos / "stray.png")
    with pytest.raises(InputError, match=r"stray\.png lies in no class folder"):
        listed(photos)


@pytest.mark.parametrize("name", ["bat", "cat/more", "owl/deep/er/more"])
def test_a_link_to_a_folder_is_refused_at_any_depth(photos: Path, name: str) -> None:
    (photos / name).symlink_to(photos / "owl")
    with pytest.raises(InputError, match=f"{name} is a link to a folder"):
        listed(photos)


def test_a_link_to_a_file_is_a_file(photos: Path) -> None:
    (photos / "cat/link.png").symlink_to(photos / "owl/1.png")
    assert "cat/link.png" in set(listed(photos).samples["file"])


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{label}/{number}.png" for label in "ba" for number in rng.permutation(12)]
    for name in names:
        draw(tmp_path / name)
    assert listed(tmp_path).samples["file"].tolist() == sorted(names)
