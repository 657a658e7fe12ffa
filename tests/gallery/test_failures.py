"""A full disk, a folder that may not be changed: one sentence, and the gallery as it was."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.embeddings.embedding_file import load_embeddings, save_embeddings
from siamese.gallery.failures import Unreadable, cause, changing, reading
from siamese.gallery.gallery import Gallery
from siamese.model.folder import Model
from tests.support.galleries import noise_images
from tests.support.workspace import Workspace

# Less than all rows take in a file, or many images, and more than the model's temporary copy.
FULL = 500_000


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond a size in bytes, as if the disk were full then."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def content(gallery: Gallery) -> list[dict]:
    gallery.refresh()
    return gallery.table.read(gallery.table.lance.schema.names).sort_by("number").to_pylist()


def test_a_full_disk_leaves_the_gallery_as_it_was(
    gallery: Gallery,
    model: Model,
    finished: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, data = gallery.table.address, finished.path / "data"
    gallery.enroll(noise_images(model, 2), "noise")
    before, version = content(gallery), gallery.table.version
    folder = tmp_path / "many"
    folder.mkdir()
    for number, image in enumerate(noise_images(model, 1002)[2:]):
        Image.fromarray(image).save(folder / f"{number}.png")
    stored = load_embeddings(data / "embeddings/gallery.parquet")
    longer = type(stored)(stored.samples, stored.fine, None, stored.vectors * np.float32(1.001))
    save_embeddings(longer, tmp_path / "longer.parquet")
    common = ["--gallery", address, "--model", str(data / "model")]
    files = ["--embeddings", str(tmp_path / "longer.parquet"), "--prepared", str(data / "prepared")]
    enrol, build = ["enroll", str(folder), *common], ["gallery", "build", *common, *files]
    for command in (enrol, build, ["gallery", "tidy", "--gallery", address]):
        capsys.readouterr()
        with disk_with_room_for(FULL):
            assert main(command) == 1
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"siamese: {address}: the gallery cannot be changed (LanceError(IO): File too large"
            " (os error 27)); it is as it was"
        )
        assert content(gallery) == before
        assert gallery.table.version == version
    with disk_with_room_for(1000):
        assert main(enrol) == 1
    assert "no temporary copy of the model can be written there (" in capsys.readouterr().err
    # With room, the same commands do their work.
    assert main(enrol) == main(build) == main(["gallery", "tidy", "--gallery", address]) == 0
    gallery.refresh()
    assert (gallery.info().pipeline, gallery.info().enrolled) == (1437, 1002)


def test_a_place_that_cannot_be_written_to_is_named(
    model: Model, finished: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may write anywhere, but not below a file."""
    (tmp_path / "file").touch()
    data = finished.path / "data"
    files = ["--embeddings", str(data / "embeddings/gallery.parquet")]
    files += ["--prepared", str(data / "prepared"), "--model", str(data / "model")]
    for address in (tmp_path / "file", tmp_path / "file/gallery"):
        said = f"{address}: the gallery cannot be written to "
        with pytest.raises(InputError) as raised:
            Gallery.create(address, model)
        assert str(raised.value).startswith(said)
        assert main(["gallery", "build", "--gallery", str(address), *files]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"siamese: {said}")
        assert len(error.splitlines()) == 1
        with pytest.raises(InputError, match="there is no gallery"):
            Gallery.open(address)


def test_a_folder_that_may_only_be_read_answers_and_is_not_changed(
    gallery: Gallery, model: Model
) -> None:
    folder = Path(gallery.table.address)
    gallery.enroll(noise_images(model, 1), "noise")
    if may_write_anyway(folder):
        pytest.skip("this user may write to a folder without permission, as root may")
    assert Gallery.open(folder, model).classify(noise_images(model, 1), k=1)[0].votes[0].label
    for change in (
        lambda: gallery.enroll(noise_images(model, 2), "more"),
        lambda: gallery.remove(label="noise"),
        lambda: gallery.tidy(),
    ):
        with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
            change()
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)


def may_write_anyway(folder: Path) -> bool:
    """Take the permission to write away from a folder and all in it, and try."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        (folder / "try").touch()
    except PermissionError:
        return False
    (folder / "try").unlink()
    return True


def test_only_what_lancedb_raises_is_turned_into_a_sentence() -> None:
    text = "lance error: Not found: a/b.lance, /root/x-1.0/src/local.rs:273:40"
    assert cause(RuntimeError(text)) == "Not found: a/b.lance"
    assert cause(OSError()) == "OSError"
    with pytest.raises(Unreadable) as unreadable, reading("here"):
        raise RuntimeError(text)
    assert str(unreadable.value).startswith(
        "here: the gallery cannot be read (Not found: a/b.lance)"
    )
    with pytest.raises(InputError) as unchanged, changing("here"):
        raise OSError("no\nspace")
    assert str(unchanged.value) == "here: the gallery cannot be changed (no space); it is as it was"
    answer = f"Generic S3 error: {'x' * 500} <Code>A</Code><Message>No such\nbucket.</Message>"
    assert cause(OSError(answer)) == "No such bucket."
    assert len(cause(OSError("many words " * 100))) <= 300
    with pytest.raises(InputError, match=r"^as it is$"), reading("here"):
        raise InputError("as it is")
    with pytest.raises(KeyError), changing("here"):
        raise KeyError("a mistake in the code")
