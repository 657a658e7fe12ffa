"""Listing class folders: which folder is the class, what is a split, what is passed over."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from siamese.base.errors import InputError
from siamese.images.files import find_images, is_picture
from siamese.preparation.class_folders import forged_suffix_of
from siamese.preparation.listing import Listing
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


def draw_in(root: Path, *folders: str) -> Path:
    for folder in folders:
        draw(root / folder / "1.png")
    return root


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "val"], "`train`, `val`, which are names of splits, but none for `test`"),
        (["test1"], "`test1`, which are names of splits, but none for `train`"),
        (["test", "validation"], "names of splits, but none for `train`"),
        (["train", "test", "more"], "names of splits, and `more` beside them"),
        (["train", "val", "more"], "names of splits, and `more` beside them"),
        (["seg_train", "seg_test", "seg_pred"], "names of splits, and `seg_pred` beside them"),
        (["train", "eval"], "`eval` may be the validation or the test split; call it"),
        (["train", "test", "hold-out"], "`hold-out` may be the validation or the test split"),
    ],
)
def test_splits_that_are_not_complete_are_not_taken_for_classes(
    tmp_path: Path, folders: list[str], message: str
) -> None:
    draw_in(tmp_path, *(f"{folder}/{label}" for folder in folders for label in "ab"))
    with pytest.raises(InputError, match=message):
        listed(tmp_path)


@pytest.mark.parametrize(
    "splits",
    [
        {"Training": "train", "Testing": "test"},
        {"train": "train", "dev": "validation", "TEST": "test"},
        {"train": "train", "val": "validation", "test": "test"},
        {"train": "train", "test1": "test"},
        {"training_set": "train", "test_set": "test"},
        {"train2017": "train", "val2017": "validation", "test2017": "test"},
        {"TrainImages": "train", "Validation-Images": "validation", "test images": "test"},
        {"seg_train": "train", "seg_test": "test"},
        {"train_val": "train", "test": "test"},
        {"train1": "train", "train2": "train", "test": "test"},
    ],
)
def test_names_of_splits(tmp_path: Path, splits: dict[str, str]) -> None:
    draw_in(tmp_path, *(f"{folder}/{label}" for folder in splits for label in "ab"))
    listing = listed(tmp_path)
    assert listing.classes.fine == ("a", "b")
    folders = listing.samples["file"].str.split("/").str[0]
    assert dict(zip(folders, listing.samples["split"], strict=True)) == splits


@pytest.mark.parametrize(
    "labels",
    [
        ("bus", "train"),
        ("bus", "car", "test1"),
        ("bullet_train", "freight_train"),
        ("blood_test", "steam_train"),
        ("test tube", "train station"),
        ("train set", "train station"),
        ("train", "trainStation"),
    ],
)
def test_classes_that_are_called_like_a_split_stay_classes(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    listing = listed(draw_in(tmp_path, *labels))
    assert listing.classes.fine == labels
    assert listing.samples["split"].isna().all()
    noted = [name for name in labels if any(f"`{name}` is taken" in n for n in listing.notes)]
    assert noted == [name for name in labels if name in ("train", "test1", "train set")]


def test_pictures_in_a_split_need_a_class_folder(tmp_path: Path) -> None:
    """As in Kaggle's cats and dogs, where the name of a file is the label."""
    draw_in(tmp_path, "train", "test1")
    with pytest.raises(InputError, match=r"test1/1\.png lies in no class folder; .*/split/label/"):
        listed(tmp_path)


NESTED = ("Fruit/Apple/Golden", "Fruit/Apple/Gala", "Fruit/Banana", "Milk/Arla/Mild")


def labels_in(listing: Listing) -> dict[str, tuple[str, str | None]]:
    """The class and the superclass of each file."""
    samples, classes = listing.samples, listing.classes
    fine = [classes.fine[number] for number in samples["fine"]]
    coarse = [None if pd.isna(n) else classes.coarse[n] for n in samples["coarse"]]
    return dict(zip(samples["file"], zip(fine, coarse, strict=True), strict=True))


@pytest.mark.parametrize(
    ("level", "folders", "expected"),
    [
        ("top", NESTED, [("Fruit", None)] * 3 + [("Milk", None)]),
        (1, NESTED, [("Fruit", None)] * 3 + [("Milk", None)]),
        (
            "leaf",
            NESTED,
            [
                ("Fruit/Apple/Gala", "Fruit/Apple"),
                ("Fruit/Apple/Golden", "Fruit/Apple"),
                ("Fruit/Banana", "Fruit"),
                ("Milk/Arla/Mild", "Milk/Arla"),
            ],
        ),
        (
            2,
            NESTED,
            [("Fruit/Apple", "Fruit")] * 2 + [("Fruit/Banana", "Fruit"), ("Milk/Arla", "Milk")],
        ),
        (
            "leaf",
            ("Greek/character01", "Latin/character01"),
            [("Greek/character01", "Greek"), ("Latin/character01", "Latin")],
        ),
        # A class without a folder above it: no class has a superclass then.
        ("leaf", ("birds/owl", "cat"), [("birds/owl", None), ("cat", None)]),
    ],
)
@pytest.mark.parametrize("splits", [("",), ("train", "test")])
def test_which_of_nested_folders_is_the_class(
    tmp_path: Path,
    level: str | int,
    folders: tuple[str, ...],
    expected: list[tuple[str, str | None]],
    splits: tuple[str, ...],
) -> None:
    for split in splits:
        draw_in(tmp_path / split, *folders)
    labels = labels_in(listed(tmp_path, label_level=level))
    for split in splits:
        files = sorted(file for file in labels if file.startswith(split))
        assert [labels[file] for file in files] == expected


def test_nested_folders_are_noted_where_nobody_has_said_which_is_the_class(tmp_path: Path) -> None:
    draw_in(tmp_path, *NESTED)
    [note] = listed(tmp_path).notes
    assert "folders are nested 3 deep; the first level names the class" in note
    assert "`--label-level leaf` takes all" in note
    for level in (1, 2, "leaf"):
        assert listed(tmp_path, label_level=level).notes == ()


def test_a_folder_that_is_not_nested_deep_enough_is_named(tmp_path: Path) -> None:
    draw_in(tmp_path, *NESTED)
    with pytest.raises(InputError, match=r"Fruit/Banana/1\.png is nested 2 deep.* first 3 folders"):
        listed(tmp_path, label_level=3)


@pytest.mark.parametrize(
    ("level", "folders"),
    [("top", ("all/a", "all/b")), (1, ("all/a", "all/b")), ("leaf", ("all/train/a", "all/test/a"))],
)
def test_a_folder_around_the_class_folders_is_named(
    tmp_path: Path, level: str | int, folders: tuple[str, ...]
) -> None:
    draw_in(tmp_path, *folders)
    with pytest.raises(InputError, match=r"all images are in its folder `all`, .*; give .*/all$"):
        listed(tmp_path, label_level=level)


def test_pictures_beside_class_folders_are_a_class_too(tmp_path: Path) -> None:
    draw_in(tmp_path, "birds", "birds/owl", "pets/cat")
    listing = listed(tmp_path, label_level="leaf")
    assert listing.classes.fine == ("birds", "birds/owl", "pets/cat")
    [note] = listing.notes
    assert "`birds` has images beside the class folders in it" in note


def test_what_is_passed_over_is_noted(photos: Path) -> None:
    for file in photos.rglob("*"):
        if file.is_file() and not is_picture(file.name):
            file.unlink()
    # Level 1, said expressly: no note on nested folders.
    [hidden] = listed(photos, label_level=1).notes
    assert hidden.startswith("note: passed over, as hidden or as what a system keeps for itself: ")
    assert hidden.endswith("1 .hidden/, 1 .*.png")
    for name in ("1.heic", "2.HEIC", "README", ".hidden"):
        (photos / "owl" / name).write_bytes(b"a picture, or not")
    note, _ = listed(photos, label_level=1).notes
    assert note.endswith("in no picture format that can be read: 2 .heic, 1 without suffix")
    (photos / "bat").mkdir()
    (photos / "bat/1.heic").write_bytes(b"a picture")
    first, second, _ = listed(photos, label_level=1).notes
    assert f"{photos / 'bat'} has files, but no picture" in first
    assert "3 .heic" in second


SYSTEM = (
    *("@eaDir/1.jpg", "owl/@eaDir/1.jpg", "#recycle", "$RECYCLE.BIN", "__MACOSX/owl"),
    *(".Trash-1000", "lost+found", "System Volume Information", ".thumbnails", "~snapshot"),
    *("@Recently-Snapshot", "owl/.picasaoriginals"),
)


def test_what_systems_keep_for_themselves_is_no_class(tmp_path: Path) -> None:
    draw_in(tmp_path, "owl", "cat", "@photos", *SYSTEM)
    (tmp_path / "owl/Thumbs.db").write_bytes(b"thumbnails")
    draw(tmp_path / "owl/._1.png")
    listing = listed(tmp_path)
    assert listing.classes.fine == ("@photos", "cat", "owl")
    assert len(listing.samples) == 3
    [note] = listing.notes
    assert "2 @eaDir/" in note
    assert "1 .*.png" in note
    assert note.count(",") == len(SYSTEM)


def test_a_name_that_is_no_text_is_refused(photos: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # Latin-1, from an old archive
    (photos / "owl/1.png").rename(photos / "owl" / f"{name}.png")
    with pytest.raises(InputError, match=r"owl/caf\\udce9\.png' is not UTF-8; rename it") as caught:
        listed(photos)
    str(caught.value).encode()
    (photos / "owl" / f"{name}.png").unlink()
    (photos / name).mkdir()
    (photos / name / "notes.txt").touch()  # would be named in a note
    with pytest.raises(InputError, match=r"photos/caf\\udce9' is not UTF-8"):
        listed(photos)


def test_two_forms_of_one_name_are_one_class(tmp_path: Path) -> None:
    """As an archive made on macOS has it for one split, one made elsewhere for the other."""
    names = {form: unicodedata.normalize(form, "café/crème") for form in ("NFC", "NFD")}
    draw_in(tmp_path, f"train/{names['NFC']}", f"test/{names['NFD']}", "train/tea/x", "test/tea/x")
    listing = listed(tmp_path, label_level="leaf")
    assert listing.classes.fine == (names["NFC"], "tea/x")
    assert listing.classes.coarse == ("café", "tea")
    # The files keep the names that they have on disk.
    assert all((listing.root / name).is_file() for name in listing.samples["file"])
    [note] = listing.notes
    assert note.startswith(f"note: `{names['NFC']}`: written in two ways that look the same")


def test_names_that_differ_in_capitals_or_blanks_alone_are_noted(tmp_path: Path) -> None:
    labels = ("Owl", "barn owl", "barn_owl", "cat", "owl", "owl ")
    listing = listed(draw_in(tmp_path, *labels))
    assert listing.classes.fine == labels
    [note] = listing.notes
    assert note.startswith("note: `Owl` and `owl` and `owl `: classes whose names differ in")


@pytest.mark.parametrize("name", ["@photos", "[2024] photos", "%old", "-x", "*", "?", "{a}"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    root = draw_in(tmp_path / name, name, "cat")
    assert listed(root).classes.fine == tuple(sorted((name, "cat")))
    assert find_images([root / name]) == [root / name / "1.png"]


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


def draw_many(root: Path, **counts: int) -> Path:
    """Draw so many pictures in each folder."""
    for folder, count in counts.items():
        for number in range(count):
            draw(root / folder / f"{number}.png", number)
    return root


def forged_files(listing: Listing) -> list[str]:
    return listing.samples.loc[listing.samples["forged"], "file"].tolist()


def test_a_folder_of_forgeries_is_no_class(tmp_path: Path) -> None:
    folder = draw_many(tmp_path, ann=3, ann_forg=2, bob=3)
    assert listed(folder).classes.fine == ("ann", "ann_forg", "bob")
    assert "forged" not in listed(folder).samples
    listing = listed(folder, forged_suffix="_forg")
    assert listing.classes.fine == ("ann", "bob")
    assert forged_files(listing) == ["ann_forg/0.png", "ann_forg/1.png"]
    assert listing.samples["forged"].dtype == bool
    assert labels_in(listing)["ann_forg/1.png"] == ("ann", None)
    assert listing.notes == ()


@pytest.mark.parametrize(
    ("folders", "level", "forged"),
    [
        (("train/a", "train/a_forg", "train/b", "test/a", "test/b", "test/b_forg"), "top", 2),
        (("x/a", "x/a_forg", "x/b", "y/a"), "leaf", 1),
        (("x/a/1", "x/a_forg/1", "x/b/1", "y/a/1"), 2, 1),
    ],
)
def test_forgeries_in_splits_and_in_nested_classes(
    tmp_path: Path, folders: tuple[str, ...], level: str | int, forged: int
) -> None:
    draw_in(tmp_path, *folders)
    assert forged_suffix_of(tmp_path, level) == "_forg"  # type: ignore[arg-type]
    listing = listed(tmp_path, label_level=level, forged_suffix="_forg")
    assert len(forged_files(listing)) == forged
    assert not any("_forg" in name for name in listing.classes.fine + listing.classes.coarse)


@pytest.mark.parametrize(
    ("folders", "suffix"),
    [
        (("001", "001_forg", "002"), "_forg"),
        (("ann", "ann-forged", "bob", "bob-forged"), "-forged"),
        (("ann", "ann forgeries", "bob"), " forgeries"),
        (("ann", "ann_forg", "bob_forg"), ""),  # of nobody
        (("coin", "forgery", "stamp"), ""),
        (("ann", "ann_fake"), ""),
    ],
)
def test_what_folders_of_forgeries_are_called(
    tmp_path: Path, folders: tuple[str, ...], suffix: str
) -> None:
    assert forged_suffix_of(draw_in(tmp_path, *folders), "top") == suffix


def test_a_suffix_that_no_folder_has_is_noted(tmp_path: Path) -> None:
    (note,) = listed(draw_in(tmp_path, "a", "b"), forged_suffix="_fake").notes
    assert "no class folder's name ends in `_fake` (data.forged_suffix)" in note


def test_a_class_has_as_many_images_as_are_genuine(tmp_path: Path) -> None:
    folder = draw_many(tmp_path, ann=2, ann_forg=9, bob=5, bob_forg=1, cy=4)
    listing = listed(folder, forged_suffix="_forg", min_images=3)
    assert listing.classes.fine == ("bob", "cy")
    assert forged_files(listing) == ["bob_forg/0.png"], "those of `ann` go with her"
    assert any("1 class with 2 images in all, for example `ann`" in one for one in listing.notes)


def test_a_forgery_of_nothing_is_refused(tmp_path: Path) -> None:
    folder = draw_many(tmp_path, ann=2, bob=2, cy_forg=2, dan=2)
    message = r"cy_forg/0\.png: a forgery of `cy`, of which there is no genuine .*--drop-labels"
    with pytest.raises(InputError, match=message):
        listed(folder, forged_suffix="_forg")
    listing = listed(folder, forged_suffix="_forg", drop_labels=["cy"])
    assert listing.classes.fine == ("ann", "bob", "dan")
    assert not listing.samples["forged"].any()
