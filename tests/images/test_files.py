"""Which files are taken for pictures."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese.base.errors import InputError
from siamese.images.files import IMAGE_SUFFIXES, find_images
from siamese.images.reading import FORMATS, load_image


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files, empty, in folders; it is the working folder."""
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "cats/one.webp",
        "cats/deep/two.gif",
        "cats/x.png/three.tiff",
        "cats/.cache/four.png",
        "odd[1].png",
        "without",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


IN_CATS = ["cats/deep/two.gif", "cats/one.webp", "cats/x.png/three.tiff"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.png"], ["b.png"]),
        (["notes.txt", "without", ".hidden.png"], [".hidden.png", "notes.txt", "without"]),
        (["cats"], IN_CATS),
        (["."], ["a.JPG", "b.png", *IN_CATS, "odd[1].png"]),
        (["*.png"], ["b.png", "odd[1].png"]),
        (["*"], ["a.JPG", "b.png", *IN_CATS, "odd[1].png"]),
        (["cats/**/*.gif"], ["cats/deep/two.gif"]),
        (["**/t*"], ["cats/deep/two.gif", "cats/x.png/three.tiff"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["b.png", "cats/../b.png", "*.png", Path("b.png")], ["b.png", "odd[1].png"]),
        (["cats", "cats/deep", "b.png"], ["b.png", *IN_CATS]),
        ([], []),
    ],
)
def test_what_is_found(paths: list[Path | str], expected: list[str], tree: Path) -> None:
    assert [str(file) for file in find_images(paths)] == expected


def test_absolute_paths_and_patterns(tree: Path) -> None:
    expected = [tree / "b.png", tree / "odd[1].png"]
    assert find_images([tree / "*.png"]) == expected
    assert find_images([str(tree / "b.png"), tree / "odd[1].png"]) == expected


@pytest.mark.parametrize("path", ["no.png", "no/", "empty", "*.bmp", "empty/*", "*.txt"])
def test_a_path_that_stands_for_nothing_is_named(path: str, tree: Path) -> None:
    with pytest.raises(InputError) as raised:
        find_images(["b.png", path])
    assert str(raised.value).startswith(f"{path}: no ")


def test_a_link_to_nothing_is_left_to_the_reader(tree: Path) -> None:
    (tree / "link.png").symlink_to("nothing")
    assert find_images(["link.png"]) == [Path("link.png")]
    with pytest.raises(InputError, match=r"link\.png: no such file"):
        load_image("link.png", 8)


def test_folders_that_contain_themselves_are_searched_once(tree: Path) -> None:
    (tree / "cats" / "again").symlink_to(tree / "cats")
    assert [str(file) for file in find_images(["cats"])] == IN_CATS


@given(st.lists(st.sampled_from(["b.png", "cats", "*.png", "cats/*", "."]), max_size=6))
def test_sorted_and_none_twice(tree_once: Path, names: list[str]) -> None:
    found = find_images([tree_once / name for name in names])
    assert all(one < other for one, other in pairwise(found))
    assert found == find_images([tree_once / name for name in {*names}])


@pytest.fixture(scope="module")
def tree_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tree")
    for name in ("b.png", "c.png", "cats/one.png", "cats/deep/two.gif"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).touch()
    return target


def test_the_suffixes_are_those_of_the_formats() -> None:
    """By Pillow's own table, each belongs to one of the formats, and each format has one."""
    Image.init()
    format_of = Image.registered_extensions()
    names = {format_of[suffix] for suffix in IMAGE_SUFFIXES}
    # Two are read as part of another: a phone's JPEG with further pictures, a BMP without header.
    assert names - {"MPO", "DIB"} <= set(FORMATS)
    assert {name for name in FORMATS if name in Image.OPEN} <= names
