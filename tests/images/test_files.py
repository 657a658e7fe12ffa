"""Which files are taken for pictures."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese.base.errors import InputError
from siamese.images.files import IMAGE_SUFFIXES, find, find_images
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


def test_what_a_system_keeps_for_itself_is_passed_over(tree: Path) -> None:
    for name in ("cats/@eaDir/one.webp/THUMB.webp", "#recycle/x.png", "cats/._one.webp"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    found = find(["cats", "**/*.webp", "*"])
    assert [str(file) for file in found.files] == ["a.JPG", "b.png", *IN_CATS, "odd[1].png"]
    assert found.passed_over == {"@eaDir/": 2, ".cache/": 2, ".*.webp": 2}
    assert find(["cats", "#recycle"]).passed_over["#recycle/"] == 1  # as a shell expands `*`
    # Unless it is asked for.
    assert find_images(["cats/@eaDir"]) == find_images(["cats/@eaDir/*/*.webp"])
    assert find_images(["cats/@eaDir/one.webp/THUMB.webp"]) == find_images(["cats/@eaDir"])


def test_what_exists_is_no_pattern(tree: Path) -> None:
    for name in ("[ab]", "*", "-x"):
        (tree / name).mkdir()
        (tree / name / "1.png").touch()
        assert find_images([name]) == [Path(name, "1.png")]
        assert find([name]).files == {Path(name, "1.png"): Path(name)}


@pytest.mark.parametrize("path", ["{}.png", "{}", ".", "*"])
def test_names_that_are_not_utf8_are_refused(path: str, tree: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tree / name).mkdir()
    (tree / name / "1.png").touch()
    (tree / f"{name}.png").touch()
    with pytest.raises(InputError, match=r"caf\\udce9.*' is not UTF-8; rename it") as caught:
        find_images([path.format(name)])
    str(caught.value).encode()


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
