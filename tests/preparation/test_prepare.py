import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from siamese.base.dataset import Classes, Dataset, is_forged, load_dataset
from siamese.base.errors import InputError
from siamese.base.image_size import Size
from siamese.preparation.copies import identical_pairs
from siamese.preparation.labelled_images import LabelledImages, folder_images, raw_images
from siamese.preparation.prepare import prepare
from siamese.preparation.splits import PrepareParams
from tests.support.listed import listed
from tests.support.prepare_params import params

TENTH = params()


def prepared_set(raw: Dataset, size: int, how: PrepareParams = TENTH, **options: Any) -> Dataset:
    """What `prepare` writes, read into memory."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(raw_images(raw), Path(folder), how, image_size=size, **options)
        dataset = load_dataset(Path(folder))
        return Dataset(np.array(dataset.images), dataset.samples, dataset.classes)


def make(
    per_class: int = 20, classes: int = 3, size: int = 4, coarse: bool = True, values: int = 256
) -> Dataset:
    """`per_class` training and 5 test samples of each class, all in one mixed order."""
    rng = np.random.default_rng(0)
    train, test = per_class * classes, 5 * classes
    fine = rng.permutation(np.r_[np.arange(train) % classes, np.arange(test) % classes])
    split = np.array(["test"] * len(fine), dtype=object)
    for label in range(classes):
        split[np.flatnonzero(fine == label)[:per_class]] = "train"
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(fine)),
            "split": split.tolist(),
            "fine": fine.astype(np.int64),
            "coarse": pd.array(fine // 2 if coarse else [None] * len(fine), dtype="Int64"),
            "file": [f"{row}.png" for row in range(len(fine))],
        }
    )
    images = rng.integers(0, values, (len(fine), size, size, 3), dtype=np.uint8)
    return Dataset(images, samples, Classes(tuple("abcdefghij"[:classes]), ("x", "y")))


def test_only_training_samples_move_and_nothing_else_changes() -> None:
    raw = make()
    before = raw.samples.copy()
    prepared = prepared_set(raw, 4)
    moved = prepared.samples["split"] != raw.samples["split"]
    assert set(raw.samples["split"][moved]) == {"train"}
    assert set(prepared.samples["split"][moved]) == {"validation"}
    unchanged = ["sample", "fine", "coarse", "file"]
    assert prepared.samples[unchanged].equals(raw.samples[unchanged])
    assert prepared.classes == raw.classes
    assert raw.samples.equals(before)


@pytest.mark.parametrize("values", [1, 2, 256])
def test_duplicates_against_a_plain_loop(values: int) -> None:
    raw = make(per_class=10, size=1, values=values)
    prepared = prepared_set(raw, 1)
    images, pairs = raw.images, 0
    for row, found in enumerate(prepared.samples["duplicate_of"]):
        identical = [i for i in range(row) if (images[i] == images[row]).all()]
        pairs += len(identical)
        if identical:
            assert found == identical[0]
        else:
            assert found is pd.NA
    assert identical_pairs(prepared.samples) == pairs
    assert (pairs == 0) == (values == 256)


def test_copies_are_found_across_splits_and_after_resizing() -> None:
    raw = make()
    first = raw.rows("train")[0]
    copy = raw.rows("test")[-1]
    raw.images[copy] = raw.images[first]
    assert first < copy
    for size in (4, 8):
        duplicate_of = prepared_set(raw, size).samples["duplicate_of"]
        assert duplicate_of[copy] == first
        assert duplicate_of.notna().sum() == 1


def test_images_that_resizing_makes_identical_are_marked() -> None:
    raw = make(size=8)
    raw.images[:2] = 100
    raw.images[1, 0, 0] = 101
    assert prepared_set(raw, 8).samples["duplicate_of"].isna().all()
    assert prepared_set(raw, 2).samples["duplicate_of"][1] == 0


@pytest.mark.parametrize("size", [1, 3, 6, 7, 16])
def test_resizing_is_pillows(size: int) -> None:
    raw = make(size=6)
    prepared = prepared_set(raw, size)
    assert prepared.images.shape == (len(raw.images), size, size, 3)
    assert prepared.images.dtype == np.uint8
    for before, after in zip(raw.images, prepared.images, strict=True):
        picture = Image.fromarray(before).resize((size, size), Image.Resampling.BICUBIC)
        assert (np.asarray(picture) == after).all()
    assert size != 6 or (prepared.images == raw.images).all()  # the right size: byte by byte


def test_the_files_have_the_documented_types_and_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(raw_images(make(coarse=False)), tmp_path / name, TENTH, image_size=4)
    for name in ("images.npy", "samples.parquet", "classes.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table = pq.read_table(tmp_path / "one" / "samples.parquet")
    types = {field.name: str(field.type).removeprefix("large_") for field in table.schema}
    assert types == {
        "sample": "int64",
        "split": "string",
        "fine": "int64",
        "coarse": "int64",
        "file": "string",
        "duplicate_of": "int64",
    }
    assert table["coarse"].null_count == len(table)


def test_too_few_images_that_can_be_read_name_those_that_cannot(tmp_path: Path) -> None:
    """No class, no split is at fault then."""
    rows = [(f"{label}/{number}.png", label) for label in "ab" for number in range(10)]
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "a").mkdir()
    (tmp_path / rows[0][0]).touch()
    images = folder_images(listed(tmp_path / "table.csv", tmp_path))
    with pytest.raises(InputError) as caught:
        prepare(images, tmp_path, params(), image_size=4, unreadable="leave_out")
    assert "the split `train` is empty" in str(caught.value)
    assert "20 of 20 images cannot be read:\n  a/" in str(caught.value)
    assert "no such file or directory" in str(caught.value)


def test_images_that_the_disk_has_no_room_for_are_refused_before_any_is_read(
    tmp_path: Path,
) -> None:
    def read(size: Size, fit: str) -> Any:
        raise AssertionError("read")

    raw = make()
    images = LabelledImages(raw.samples, raw.classes, read)
    size = 10**7  # 300 TB each
    with pytest.raises(InputError) as caught:
        prepare(images, tmp_path, TENTH, image_size=size)
    message = str(caught.value)
    assert f"would take {75 * 3 * size**2:,} bytes (75 images of 10000000 x 10000000" in message
    assert "lower `data.image_size`" in message
    assert list(tmp_path.iterdir()) == []


def folder_of(
    root: Path, classes: Iterable[str], per_class: int, forged_suffix: str = ""
) -> LabelledImages:
    """Pictures of noise, `per_class` of each class, in class folders."""
    rng = np.random.default_rng(0)
    for label in classes:
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / label / f"{number:02}.png")
    return folder_images(listed(root, forged_suffix=forged_suffix))


def test_leaving_files_out_is_as_if_they_were_not_there(tmp_path: Path) -> None:
    """So the splits are cut over the others, and six of ten are enough for every split."""
    images = folder_of(tmp_path / "photos", "abc", 10)
    cut = prepare(images, new(tmp_path / "whole"), params(), image_size=4).samples
    tested = cut[(cut["fine"] == 0) & (cut["split"] != "train")]["file"]
    broken = [*tested, "b/00.png"]
    assert 3 <= len(broken) <= 4
    for name in broken:
        (tmp_path / "photos" / name).write_bytes(b"no picture")
    found = prepare(images, new(tmp_path / "found"), params(), image_size=4, unreadable="leave_out")
    assert sorted(name for name, _ in found.left_out) == sorted(broken)
    assert found.notes == []
    for name in broken:
        (tmp_path / "photos" / name).unlink()
    images = folder_images(listed(tmp_path / "photos"))
    prepare(images, new(tmp_path / "expected"), params(), image_size=4)
    for name in ("images.npy", "samples.parquet", "classes.json"):
        expected = (tmp_path / "expected" / name).read_bytes()
        assert (tmp_path / "found" / name).read_bytes() == expected, name


@pytest.mark.parametrize("is_broken", [False, True])
def test_images_that_a_novel_class_takes_out_of_training_are_not_written(
    is_broken: bool, tmp_path: Path
) -> None:
    """Which classes are novel is drawn among those whose test images can be read."""
    files = {}
    for split in ("train", "test"):
        folder_of(tmp_path / "photos" / split, "abcde", 8)
    images = folder_images(listed(tmp_path / "photos"))
    if is_broken:
        for file in (tmp_path / "photos/test/c").iterdir():
            file.write_bytes(b"no picture")
    options: dict[str, Any] = {"image_size": 4, "novel_classes": 2, "unreadable": "leave_out"}
    prepare(images, new(tmp_path / "found"), params(), **options)
    found = load_dataset(tmp_path / "found")
    assert len(found.novel_classes()) == 2
    assert not is_broken or 2 not in found.novel_classes()
    assert len(found.rows("train", "validation")) == 3 * 8
    assert len(found.rows("test")) == 5 * 8 - 8 * is_broken
    for name, image in zip(found.samples["file"], found.images, strict=True):
        with Image.open(tmp_path / "photos" / name) as picture:
            assert (np.asarray(picture) == image).all()
        files[name] = image
    assert found.samples["file"].tolist() == sorted(files)
    assert sorted(file.name for file in (tmp_path / "found").iterdir()) == [
        *("classes.json", "images.npy"),
        *(["left_out.csv"] if is_broken else []),
        "samples.parquet",
    ]


def test_dark_images_are_counted_and_one_is_named(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "photos", "ab", 10)
    rng = np.random.default_rng(0)
    for number in (3, 5):
        values = rng.integers(0, 2**14, (4, 4)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"photos/b/{number:02}.png")
    (note,) = prepare(images, new(tmp_path / "found"), params(), image_size=4).notes
    assert note.startswith("note: 2 of 20 images are dark, all their values below a quarter")
    assert "b/03.png" in note


def test_forgeries_are_marked_and_counted(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "photos", ("a", "a_forg", "b", "c"), 10, "_forg")
    for name in ("a_forg/03.png", "b/04.png"):
        (tmp_path / "photos" / name).write_bytes(b"no picture")
    (tmp_path / "photos/a_forg/07.png").write_bytes((tmp_path / "photos/a/01.png").read_bytes())
    done = prepare(images, new(tmp_path / "out"), params(), image_size=4, unreadable="leave_out")
    dataset = load_dataset(tmp_path / "out")
    forged = np.flatnonzero(is_forged(dataset.samples))
    files = dataset.samples["file"]
    assert files[forged].tolist() == [f"a_forg/{n:02}.png" for n in range(10) if n != 3]
    copy = np.setdiff1d(forged, dataset.forged("train", "validation", "test"))
    assert files[copy].tolist() == ["a_forg/07.png"]
    assert not files[dataset.rows("train", "validation", "test")].str.contains("forg").any()
    for name, image in zip(files, dataset.images, strict=True):
        with Image.open(tmp_path / "photos" / name) as picture:
            assert (np.asarray(picture) == image).all()
    field = pq.read_schema(tmp_path / "out" / "samples.parquet").field("forged")
    assert str(field.type) == "bool"
    (note,) = (line for line in done.summary() if "copies" in line)
    assert note.endswith("\n  a_forg/07.png (`a`) = a/01.png (`a`)")
    assert ", and 9 forged; 1 identical pairs" in done.summary()[-1]


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder
