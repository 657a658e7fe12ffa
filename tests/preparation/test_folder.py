"""Listing folders and tables of images, with every fault that people make in them."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
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
    labels = samples["file"].str.split("/").str[1]
    table = pd.DataFrame({"file": samples["file"], "label": labels, "split": folders})
    of_table = listed(save(table, tmp_path / "table.csv"), tmp_path / "photos").samples
    assert of_table["split"].tolist() == samples["split"].tolist()


def test_classes_that_are_called_like_a_split_stay_classes(tmp_path: Path) -> None:
    for label in ("train", "bus"):
        draw(tmp_path / label / "1.png")
    assert listed(tmp_path).classes.fine == ("bus", "train")


def save(table: pd.DataFrame, file: Path) -> Path:
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file, index=False)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(photos: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {
            "taken": ["2020", "2021", "2022", "2023"],
            "file": ["owl/2.PNG", "cat/1.png", "owl/1.png", "cat/b.gif"],
            "label": ["007", "NA", "007", "NA"],
            "split": ["test", "train", "train", "test"],
            "group": [3, 1, 3, 2],
            "coarse": ["bird", "pet", "bird", "pet"],
        }
    )
    listing = listed(save(table, photos.parent / f"table{suffix}"), photos)
    assert listing.root == photos
    assert listing.classes.fine == ("007", "NA")
    assert listing.classes.coarse == ("bird", "pet")
    assert listing.samples["file"].tolist() == ["cat/1.png", "cat/b.gif", "owl/1.png", "owl/2.PNG"]
    assert listing.samples["fine"].tolist() == [1, 1, 0, 0]
    assert listing.samples["coarse"].tolist() == [1, 1, 0, 0]
    assert listing.samples["split"].tolist() == ["train", "test", "train", "test"]
    assert listing.samples["group"].tolist() == ["1", "2", "3", "3"]


GOOD = {"file": ["a", "b", "c"], "label": ["x", "y", "x"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": GOOD["file"], "lable": GOOD["label"]}, "lacks the column `label`; did you mean"),
        ({"file": ["a", "b", ""]}, "row 3 has no `file`"),
        ({"label": ["x", " ", "y"]}, "row 2 has no `label`"),
        ({"file": ["a", "../b", "c"]}, r"row 2: `file` is '\.\./b'; expected a path below"),
        ({"file": ["a", "b", "/c"]}, "row 3: `file` is '/c'"),
        ({"file": ["a", "\0", "c"]}, "row 2: .*no name has a NUL"),
        ({"file": ["a", "b", "a"]}, "row 3: a is listed a second time"),
        ({"file": ["a", "b", "./a"]}, "row 3: a is listed a second time"),
        ({"label": ["x", "x", "x"]}, "all 3 images are of one class, `x`"),
        ({"split": ["train", "tset", "test"]}, "row 2: `split` is 'tset'; expected one of"),
        ({"split": ["train", "train", "train"]}, "no row has the split `test`"),
        ({"split": ["train", "", "test"]}, "row 2 has no `split`"),
        ({"coarse": ["p", "p", "q"]}, "the label `x` has the superclasses .* `p` and `q`"),
        ({"file": [], "label": []}, "no row in it"),
    ],
)
def test_faults_in_a_table_are_named(
    tmp_path: Path, columns: dict[str, list[str]], message: str
) -> None:
    content = columns if "lable" in columns or columns.get("file") == [] else GOOD | columns
    file = save(pd.DataFrame(content), tmp_path / "table.csv")
    with pytest.raises(InputError, match=message):
        listed(file, tmp_path)


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
    table = save(pd.DataFrame(GOOD), photos.parent / "table.csv")
    with pytest.raises(InputError, match=r"set data\.images to the folder"):
        listed(table)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"table\.csv: cannot be read as a table"):
        listed(table, photos)


@pytest.mark.parametrize("name", ["bat", "cat/more", "owl/deep/er/more"])
def test_a_link_to_a_folder_is_refused_at_any_depth(photos: Path, name: str) -> None:
    (photos / name).symlink_to(photos / "owl")
    with pytest.raises(InputError, match=f"{name} is a link to a folder"):
        listed(photos)


@pytest.mark.parametrize(("name", "target"), [("bat", "cat"), ("cat/more/er", "owl")])
def test_a_link_to_a_folder_is_refused_in_a_table(photos: Path, name: str, target: str) -> None:
    link = photos / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(photos / target)
    files = [f"{name}/1.png", "owl/1.png"]
    table = save(pd.DataFrame({"file": files, "label": ["a", "b"]}), photos.parent / "table.csv")
    with pytest.raises(InputError, match=f"data.images: .*{name} is a link to a folder"):
        listed(table, photos)


def test_a_link_to_a_file_is_a_file(photos: Path) -> None:
    (photos / "cat/link.png").symlink_to(photos / "owl/1.png")
    assert "cat/link.png" in set(listed(photos).samples["file"])


@pytest.mark.parametrize("end", [",", ",x"])
def test_rows_with_more_fields_than_names_are_refused(tmp_path: Path, end: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"file,label\na.png,owl{end}\nb.png,cat{end}\n")
    with pytest.raises(InputError, match="more fields than its first line has names"):
        listed(table, tmp_path)


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{label}/{number}.png" for label in "ba" for number in rng.permutation(12)]
    for name in names:
        draw(tmp_path / name)
    assert listed(tmp_path).samples["file"].tolist() == sorted(names)
