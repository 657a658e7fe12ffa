"""What names of folders say of the pictures in them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.images.files import find
from siamese.images.folder_names import (
    SPLIT_WORDS,
    Level,
    labels_of,
    split_folders,
    split_of,
)

FILLERS = ("", "set", "_images", " data", "-2", "2017")


@given(
    st.sampled_from(sorted(SPLIT_WORDS)),
    st.sampled_from(FILLERS),
    st.sampled_from([str.lower, str.upper, str.title]),
)
def test_a_name_of_a_split(word: str, filler: str, spelled: Callable[[str], str]) -> None:
    assert split_of(spelled(word + filler)) == SPLIT_WORDS[word]


@pytest.mark.parametrize(
    "name",
    ["", "owl", "tests", "trainer", "contest", "steam train", "train_test", "dev board", "2"],
)
def test_a_name_of_no_split(name: str) -> None:
    assert split_of(name) is None


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, empty, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("birds/owl/barn/1.png", "birds/owl/2.png", "birds/duck/3.png"),
        *("set/train/a/b/1.png", "set/test/a/b/2.png", "mixed/1.png", "mixed/more/2.png"),
        *(
            "part/train/a/1.png",
            "part/val/b/2.png",
            "nest/owl/young/1.png",
            "nest/hawk/young/2.png",
        ),
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("paths", "level", "expected"),
    [
        (["birds/duck/3.png"], "top", {"duck": 1}),
        (["birds/duck"], "top", {"duck": 1}),
        (["birds/duck/../duck"], "leaf", {"duck": 1}),
        (["birds/owl/barn", "birds/duck"], 2, {"barn": 1, "duck": 1}),
        (["birds"], "top", {"owl": 2, "duck": 1}),
        (["birds"], "leaf", {"owl/barn": 1, "owl": 1, "duck": 1}),
        (["bir*"], "leaf", {"owl/barn": 1, "owl": 1, "duck": 1}),
        (["birds/*/*.png"], "leaf", {"owl": 1, "duck": 1}),
        # As the pipeline takes the folder: the splits are no classes.
        (["set"], "top", {"a": 2}),
        (["set"], "leaf", {"a/b": 2}),
        (["set/train"], 2, {"a/b": 1}),
        (["part"], "top", {"a": 1, "b": 1}),  # enrolment needs no test split
        (["nest/*"], "top", {"young": 2}),
    ],
)
@pytest.mark.usefixtures("here")
def test_labels(paths: list[str], level: Level, expected: dict[str, int]) -> None:
    labels, _ = labels_of(find(paths).files, level)
    found = list(labels.values())
    assert {label: found.count(label) for label in found} == expected


@pytest.mark.usefixtures("here")
def test_labels_in_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("birds/duck")
    assert [*labels_of(find(["."]).files, "top")[0].values()] == ["duck"]
    monkeypatch.chdir("..")
    labels, [note] = labels_of(find(["."]).files, "top")
    assert sorted(labels.values()) == ["duck", "owl", "owl"]
    assert "folders are nested 2 deep" in note


@pytest.mark.usefixtures("here")
def test_a_folder_that_may_be_a_class_or_hold_classes_is_refused() -> None:
    with pytest.raises(InputError, match="mixed holds pictures and folders of pictures"):
        labels_of(find(["mixed"]).files, "top")
    with pytest.raises(InputError, match=r"duck/3\.png is nested 1 deep.* first 2 folders"):
        labels_of(find(["birds"]).files, 2)


@pytest.mark.usefixtures("here")
def test_one_label_from_folders_in_several_is_noted() -> None:
    _, notes = labels_of(find(["nest/*"]).files, "top")
    assert notes[0].startswith(
        "note: `young` is a folder in nest/hawk and in nest/owl, and is taken"
    )
    assert labels_of(find(["nest"]).files, "leaf")[1] == []


@pytest.mark.parametrize(
    "names",
    [
        {"trainA", "trainB", "testA", "testB"},
        {"train_small", "test"},
        {"train", "test_v2"},
        {"PublicTest", "training"},
    ],
)
def test_splits_of_several_sets_are_refused(names: set[str]) -> None:
    with pytest.raises(InputError, match="which are names of splits"):
        split_folders(Path("photos"), names)
