"""A gallery is the same one however it is named: for look-ups, the lock and the database."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.gallery.address import canonical, local_folder, writing
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import Model
from tests.support.galleries import build_gallery, noise_images
from tests.support.workspace import Workspace

FORMS = {
    "a path": "{here}/gal",
    "home": "~/gal",
    "home, with a slash": "~/gal/",
    "relative": "gal",
    "with a dot": "./gal",
    "with slashes": "gal//",
    "up and down": "other/../gal",
    "a link": "link",
    "through a link": "here/gal/",
    "a URL": "file://{here}/gal",
    "a URL with a slash": "file://{here}/gal/",
    "a URL with one slash": "file:{here}/gal",
    "a URL of this machine": "FILE://localhost{here}/gal",
    "a URL with an escape": "file://{here}/%67al",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand at home, with links to the gallery and to where it is; the gallery is yet to be."""
    home = tmp_path.resolve()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    (home / "link").symlink_to("gal")
    (home / "here").symlink_to(home)
    return home


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_names_one_folder(here: Path, form: str) -> None:
    address = form.format(here=here)
    assert canonical(address) == str(here / "gal")
    assert canonical(canonical(address)) == str(here / "gal")
    with writing(address):
        table = GalleryTable.create(address, 2, {"made": "first"})
    assert (here / "gal/gallery.lance").is_dir()
    assert (here / "gal/.gallery.lock").exists()
    assert sorted(path.name for path in here.iterdir()) == ["gal", "here", "link"]
    assert table.address == str(here / "gal")
    assert GalleryTable.open("gal").metadata["made"] == "first"
    assert GalleryTable.replace(address, 2, []).version == 2  # of the same table
    with pytest.raises(InputError, match="there is a gallery already"):
        GalleryTable.create("gal", 2)


def test_no_form_lets_a_gallery_be_made_anew(here: Path, finished: Workspace, model: Model) -> None:
    Gallery.create(here / "gal", model).enroll(noise_images(model, 3), "noise")
    for form in FORMS.values():
        address = form.format(here=here)
        with pytest.raises(InputError, match="there is a gallery already"):
            Gallery.create(address, model)
        assert Gallery.open(address, model).info().enrolled == 3
    for form in ("~/gal/", "link", "file://{here}/gal"):
        built = build_gallery(finished, form.format(here=here))
        assert (built.pipeline, built.enrolled) == (1437, 3)


def test_object_stores_keep_their_address() -> None:
    for address in ("s3://bucket/gallery", "S3://b/a%20b", "gs://b", "az://b/x?y#z", "s3://b/../~"):
        assert canonical(address) == canonical(f"{address}//") == address
        assert local_folder(address) is None
    assert local_folder("/a/b") == Path("/a/b")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "'' cannot be the address of a gallery"),
        ("a\nb", "cannot be the address"),
        ("a\0b", "cannot be the address"),
        (os.fsdecode(b"caf\xe9"), r"'caf\\udce9' cannot be the address"),
        ("file:///a%00b", "cannot be the address"),
        ("file:///a%E9b", "cannot be the address"),
        ("file://host/a", "names no folder; expected file:// and an absolute path"),
        ("file:a", "names no folder"),
        ("file://", "names no folder"),
    ],
)
def test_what_is_no_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        canonical(address)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1))
def test_a_path_and_its_url_are_one(name: str) -> None:
    path = Path("/tmp/galleries") / f"a{name}"
    assert canonical(path) == canonical(path.as_uri())
    assert canonical(canonical(path)) == canonical(path)


def test_odd_names_are_folders_of_that_name(tmp_path: Path) -> None:
    for name in ("a b", "a%20b", "a?b", "a#b", "s3:x", "é", "a*", "it's", "a\\b"):
        GalleryTable.create(tmp_path / name, 2)
        assert (tmp_path / name / "gallery.lance").is_dir()
        assert GalleryTable.find(str(tmp_path / name)) is not None
