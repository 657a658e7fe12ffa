"""Places for images: those that DVC cannot watch are refused, those that others lack are noted."""

import subprocess
from pathlib import Path

import pytest

from siamese.base.data_params import NO_PATH
from siamese.base.errors import InputError
from siamese.preparation.places import check_places
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
