"""A data set's folder: what is missing or damaged is named, with what makes it again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from siamese.base.dataset import Classes, Dataset, is_forged, load_dataset, save_dataset
from siamese.base.errors import InputError
from siamese.base.files import write_json

FILES = ("images.npy", "samples.parquet", "classes.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples = pd.DataFrame(
        {
            "sample": np.arange(6),
            "split": ["train", "test"] * 3,
            "fine": np.arange(6) % 2,
            "coarse": pd.array([None] * 6, dtype="Int64"),
            "file": [f"{row}.png" for row in range(6)],
        }
    )
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    save_dataset(Dataset(images, samples, Classes(("cat", "dog"))), tmp_path)
    assert load_dataset(tmp_path).images.shape == (6, 4, 4, 3)
    return tmp_path


def refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(folder)
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder / name}: ")
    assert message in sentence
    assert "`dvc repro prepare`" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, name, "no such file; `dvc repro prepare` makes it")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["emptied", "cut in half", "beginning lost", "end lost"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: str) -> None:
    content = (folder / name).read_bytes()
    damaged = {
        "emptied": b"",
        "cut in half": content[: len(content) // 2],
        "beginning lost": bytes(20) + content[20:],
        "end lost": content[:-8] + b"\xff" * 8 if name != "images.npy" else content[:-8],
    }
    (folder / name).write_bytes(damaged[damage])
    refused(folder, name, "cannot be read (")


@pytest.mark.parametrize("content", [{"fine": ["cat"]}, ["cat"], {"fine": 2, "coarse": []}])
def test_names_of_another_shape_are_refused(folder: Path, content: Any) -> None:
    write_json(folder / "classes.json", content)
    refused(folder, "classes.json", "cannot be read (")


def test_a_table_without_a_column_is_refused(folder: Path) -> None:
    table = pd.read_parquet(folder / "samples.parquet").drop(columns=["split", "fine"])
    table.to_parquet(folder / "samples.parquet", index=False)
    refused(folder, "samples.parquet", "it lacks the columns split, fine")


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((6, 4, 4, 3), np.float32), "found float32 [6, 4, 4, 3]"),
        (np.zeros((6, 4, 4), np.uint8), "found uint8 [6, 4, 4]"),
        (np.zeros((6, 3, 4, 4), np.uint8), "found uint8 [6, 3, 4, 4]"),
    ],
)
def test_images_of_another_type_or_shape_are_refused(
    folder: Path, images: np.ndarray, found: str
) -> None:
    np.save(folder / "images.npy", images)
    refused(folder, "images.npy", f"expected uint8 [N, H, W, 3], {found}")


def test_images_and_table_that_do_not_belong_together_are_refused(folder: Path) -> None:
    np.save(folder / "images.npy", np.zeros((5, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"5 images but 6 rows .* `dvc repro prepare`"):
        load_dataset(folder)


def test_every_sample_is_in_the_gallery_a_query_or_a_forgery(folder: Path) -> None:
    dataset = load_dataset(folder)
    assert not is_forged(dataset.samples).any()
    assert dataset.forged("train", "test").tolist() == []
    dataset.samples["forged"] = [True, True, False, False, False, False]
    dataset.samples["enrolled"] = [False, False, False, True, False, False]
    save_dataset(dataset, folder)
    dataset = load_dataset(folder)
    assert dataset.gallery().tolist() == [2, 3, 4]
    assert dataset.queries().tolist() == [5]
    assert dataset.forged("train", "test").tolist() == [0, 1]
    assert dataset.forged("test").tolist() == [1]
    dataset.samples["duplicate_of"] = pd.array([None, None, None, 1, None, None], dtype="Int64")
    assert dataset.forged("train", "test").tolist() == [0], "1 is a copy of something genuine"
    assert dataset.rows("train").tolist() == [2, 4]
    assert dataset.rows("test").tolist() == [3, 5]


def test_a_class_that_training_has_only_forgeries_of_is_novel(folder: Path) -> None:
    dataset = load_dataset(folder)
    dataset.samples["fine"] = [0, 1, 0, 1, 1, 0]
    assert dataset.novel_classes().tolist() == []
    dataset.samples["forged"] = dataset.samples["sample"] == 4
    assert dataset.novel_classes().tolist() == [1]
