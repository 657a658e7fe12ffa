"""Exact copies: how many, of which labels, and in which files."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.dataset import Classes, Dataset
from siamese.preparation.copies import copied_queries, copy_notes
from siamese.preparation.labelled_images import folder_images
from siamese.preparation.prepare import prepare
from tests.support.listed import listed
from tests.support.pictures import draw
from tests.support.prepare_params import params


def data(rows: list[tuple[str, str, str]]) -> Dataset:
    """Samples of a class, a split and a picture each; enrolled where the split says so."""
    table = pd.DataFrame(rows, columns=["label", "split", "picture"])
    fine, names = pd.factorize(table["label"], sort=True)
    first = table.groupby("picture")["label"].transform(lambda own: own.index[0])
    samples = pd.DataFrame(
        {
            "sample": range(len(rows)),
            "split": table["split"].replace("enrolled", "test"),
            "fine": fine,
            "file": [f"{label}/{row}.png" for row, label in enumerate(table["label"])],
            "duplicate_of": first.where(first != first.index).astype("Int64"),
            "enrolled": table["split"] == "enrolled",
        }
    )
    return Dataset(np.empty((len(rows), 0, 0, 3), np.uint8), samples, Classes(tuple(names)))


def test_without_copies_there_is_nothing_to_say() -> None:
    rows = [("cat", "train", "1"), ("dog", "train", "2"), ("cat", "test", "3")]
    assert copy_notes(data(rows)) == []
    # A copy in the same class and split harms nobody, and two of the test split are alike.
    rows += [("cat", "train", "1"), ("cat", "test", "3")]
    assert copy_notes(data(rows)) == []


def test_the_notes_word_for_word() -> None:
    rows = [(label, "train", "missing") for label in ("ant", "bee", "cat", "dog", "elk", "ant")]
    rows += [("bee", "train", "1"), ("cat", "validation", "1"), ("dog", "train", "2")]
    rows += [("dog", "test", "2"), ("elk", "test", "1"), ("elk", "test", "3")]
    assert copy_notes(data(rows)) == [
        "note: pictures with more than one label: 2 (9 images); no model can be right about"
        " them. Keep them under the right label alone, and remove what stands for a missing"
        " picture:\n"
        "  ant/0.png (`ant`) = bee/1.png (`bee`) = cat/2.png (`cat`) = 2 more\n"
        "  bee/6.png (`bee`) = cat/7.png (`cat`) = elk/10.png (`elk`)",
        "note: test images with an exact copy in the gallery: 2 of 3, which flatters the figures;"
        " those called `no_copies` are without them:\n"
        "  dog/9.png (`dog`) = dog/8.png (`dog`)\n"
        "  elk/10.png (`elk`) = bee/6.png (`bee`)",
    ]


def test_a_test_set_that_is_part_of_the_training_set_takes_a_few_lines() -> None:
    rows = [("cat", split, str(number)) for number in range(40) for split in ("train", "test")]
    (note,) = copy_notes(data(rows))
    assert note.startswith("note: test images with an exact copy in the gallery: 40 of 40,")
    lines = note.splitlines()
    assert lines[1] == "  cat/1.png (`cat`) = cat/0.png (`cat`)"
    assert lines[-1] == "  and 35 more"
    assert len(lines) == 7


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["train", "validation", "test", "enrolled"]),
            st.sampled_from("1234"),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_query_is_copied_if_a_sample_of_the_gallery_is_the_same_picture(
    rows: list[tuple[str, str, str]],
) -> None:
    in_gallery = {picture for _, split, picture in rows if split != "test"}
    expected = [picture in in_gallery for _, split, picture in rows if split == "test"]
    assert copied_queries(data(rows)).tolist() == expected


def test_prepare_says_so_of_files(tmp_path: Path) -> None:
    for label, shade in (("cat", 0), ("dog", 100)):
        for number in range(6):
            draw(tmp_path / f"photos/{label}/{number}.png", shade + 3 * number)
    draw(tmp_path / "photos/dog/none.png", 0)
    images = folder_images(listed(tmp_path / "photos"))
    (tmp_path / "out").mkdir()
    summary = prepare(images, tmp_path / "out", params(), image_size=8).summary()
    (note,) = (line for line in summary if "more than one label: 1 (2 images)" in line)
    assert note.endswith("\n  cat/0.png (`cat`) = dog/none.png (`dog`)")
    assert summary[-1].endswith("; 1 identical pairs")


def test_a_forgery_that_equals_something_genuine_is_named() -> None:
    """Not one that equals another forgery."""
    rows = [("ann", "train", "1"), ("ann", "train", "2"), ("ann", "train", "1")]
    rows += [("bob", "test", "3"), ("bob", "test", "3"), ("ann", "test", "4"), ("ann", "test", "4")]
    dataset = data(rows)
    dataset.samples["forged"] = [False, False, True, True, False, True, True]
    assert copy_notes(dataset) == [
        "note: forgeries that are exact copies of something genuine: 2 of 4; nobody can tell them"
        " apart, and no pair is drawn of them. Remove them, or what they are copies of:\n"
        "  ann/2.png (`ann`) = ann/0.png (`ann`)\n"
        "  bob/3.png (`bob`) = bob/4.png (`bob`)"
    ]
