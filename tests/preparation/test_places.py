"""Places for images: those that DVC cannot watch are refused, those that others lack are noted."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from siamese.base.data_params import NO_PATH
from siamese.base.errors import InputError
from siamese.images.files import find_images
from siamese.images.reading import load_image
from siamese.preparation.places import check_places
from tests.support.listed import listed
from tests.support.pictures import draw


def check(path: Path | str, workspace: Path, images: Path | str = NO_PATH) -> list[str]:
    return check_places(Path(path), Path(images), workspace)


def test_places_that_dvc_could_not_watch_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "work", tmp_path / "photos"
    (inside / "photos").mkdir(parents=True)
    outside.mkdir()
    for allowed in ("photos", "data/images", outside, inside / "photos"):
        check(allowed, inside)
        check("table.csv", inside, images=allowed)
    with pytest.raises(InputError, match=rf"data\.path .* out of the repository.*{outside}"):
        check("../photos", inside)
    with pytest.raises(InputError, match=rf"data\.images .* out of the repository.*{outside}"):
        check("table.csv", inside, images="../photos")
    for forbidden in (".", "data", "data/raw", "data/raw/x", "data/duplicates", str(inside)):
        with pytest.raises(InputError, match=r"is what the pipeline itself writes"):
            check(forbidden, inside)


def test_a_folder_that_nobody_tracks_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = Path("some/photos")
    draw(tmp_path / path / "a/1.png")
    assert check(path, tmp_path) == []  # no repository at all
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    [note] = check(path, tmp_path)
    assert "`dvc add some/photos`" in note
    (tmp_path / "some/photos.dvc").touch()
    assert check(path, tmp_path) == []
    (tmp_path / "some/photos.dvc").unlink()
    subprocess.run(["git", "add", "some"], cwd=tmp_path, check=True)
    assert check(path, tmp_path) == []
    [note] = check(path, tmp_path, images=tmp_path.parent / "elsewhere")
    assert "data.images is" in note
    assert "outside the repository" in note
    [note] = check(tmp_path / path, tmp_path)
    assert "an absolute path" in note


def test_every_output_of_the_pipeline_is_refused(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    ignored = (root / "data/.gitignore").read_text().split()
    for name in [name for name in ignored if "." not in name]:
        with pytest.raises(InputError, match=r"is what the pipeline itself writes"):
            check(f"data{name}", tmp_path)


def test_one_tracked_image_does_not_speak_for_the_others(tmp_path: Path) -> None:
    git = ("git", "-C", str(tmp_path))
    for name in (
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "b/2.png",
        "b/.thumbnails/1.png",
        "b/@eaDir/1.png",
    ):
        draw(tmp_path / "photos" / name)
    (tmp_path / "photos/notes.txt").touch()
    (tmp_path / ".gitignore").write_text("/photos/b\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "photos/a/1.png"], check=True)
    [note] = check("photos", tmp_path)
    assert "of 4 images in photos (data.path) Git tracks 1:" in note
    subprocess.run([*git, "add", "photos/a"], check=True)
    [note] = check("photos", tmp_path)
    assert "the others, photos/b/1.png for example;" in note
    (tmp_path / "photos/b.dvc").touch()
    assert check("photos", tmp_path) == [], (
        "the rest is in DVC; text and hidden files are no images"
    )
    (tmp_path / "photos/b.dvc").unlink()
    subprocess.run([*git, "add", "--force", "photos/b"], check=True)
    assert check("photos", tmp_path) == []
    # A table is no image, and counts.
    (tmp_path / "table.csv").touch()
    [note] = check("table.csv", tmp_path, images="photos")
    assert "neither DVC nor Git tracks table.csv (data.path)" in note
    # Git does not enter a repository in the folder.
    subprocess.run(["git", "init", "-q", str(tmp_path / "cloned")], check=True)
    draw(tmp_path / "cloned/a/1.png")
    [note] = check("cloned", tmp_path)
    assert "neither DVC nor Git tracks cloned" in note


STRANGE = (
    "@photos",
    "[2024] photos",
    "%old",
    "-x",
    ":(top)x",
    "a${x}b",
    "!t",
    "*g",
    "é",
    " x",
    "~",
)


@pytest.mark.parametrize("name", STRANGE)
def test_a_name_that_means_something_to_git_is_only_a_name(name: str, tmp_path: Path) -> None:
    draw(tmp_path / name / "a/1.png")
    draw(tmp_path / "x/a/1.png")
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    [note] = check(name, tmp_path)
    [command] = re.findall("`(dvc add [^`]*)`", note)
    assert Path(shlex.split(command)[2]) == Path(name)
    subprocess.run(["git", "--literal-pathspecs", "add", "--", name], cwd=tmp_path, check=True)
    assert check(name, tmp_path) == []
    assert check("x", tmp_path) != []


def test_a_hooks_variables_do_not_lead_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "other"):
        draw(tmp_path / name / "photos/a/1.png")
        subprocess.run(["git", "-C", str(tmp_path / name), "init", "-q"], check=True)
    subprocess.run(["git", "-C", str(tmp_path / "here"), "add", "-A"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    assert check("photos", tmp_path / "here") == []


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.path is 'caf\\udce9', a name that is not UTF-8"):
        check(os.fsdecode(b"caf\xe9"), tmp_path)
    with pytest.raises(InputError, match="is 'a\\\\x00b', a name that is not UTF-8, or none"):
        check("a\0b", tmp_path)


def test_links_that_lead_to_one_another_end_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert len(check("loop", tmp_path)) <= 1
    with pytest.raises(InputError, match="loop: no such folder or file"):
        listed(tmp_path / "loop")
    [file] = find_images([tmp_path / "loop"])
    with pytest.raises(InputError, match="loop: too many levels of symbolic links"):
        load_image(file, 8)
