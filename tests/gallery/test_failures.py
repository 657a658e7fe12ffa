"""A full disk, a folder that may not be changed: one sentence, and the gallery as it was."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import load_embeddings, save_embeddings
from siamese.gallery.failures import Unreadable, cause, changing, reading
from siamese.gallery.gallery import Gallery
from siamese.model.folder import Model
from tests.support.galleries import noise_images
from tests.support.workspace import ROOT, Workspace

# No file may grow beyond this, as if the disk were full: less than all rows or many images take.
FULL = 500_000


def command(*arguments: object, limit: int = FULL) -> subprocess.CompletedProcess[str]:
    """Run a command in a process whose files can grow to the limit only."""
    return subprocess.run(
        [sys.executable, "-m", "siamese.cli.main", *map(str, arguments)],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def content(gallery: Gallery) -> list[dict]:
    gallery.refresh()
    return gallery.table.read(gallery.table.lance.schema.names).sort_by("number").to_pylist()


def test_a_full_disk_leaves_the_gallery_as_it_was(
    gallery: Gallery, model: Model, finished: Workspace, tmp_path: Path
) -> None:
    from PIL import Image

    address, data = gallery.table.address, finished.path / "data"
    gallery.enroll(noise_images(model, 2), "noise")
    before, version = content(gallery), gallery.table.version
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(1)
    size = model.network.image_size
    for number in range(1000):
        image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    stored = load_embeddings(data / "embeddings/gallery.parquet")
    longer = type(stored)(stored.samples, stored.fine, None, stored.vectors * np.float32(1.001))
    save_embeddings(longer, tmp_path / "longer.parquet")
    enrol = "enroll", folder, "--gallery", address, "--model", data / "model"
    build = "gallery", "build", "--gallery", address, "--model", data / "model"
    files = "--embeddings", tmp_path / "longer.parquet", "--prepared", data / "prepared"
    for arguments in (enrol, (*build, *files), ("gallery", "tidy", "--gallery", address)):
        done = command(*arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"siamese: {address}: the gallery cannot be changed (LanceError(IO): File too large"
            " (os error 27)); it is as it was"
        )
        assert "Traceback" not in done.stderr
        assert content(gallery) == before
        assert gallery.table.version == version
    nothing = command(*enrol, limit=1000)
    assert nothing.returncode == 1
    assert "no temporary copy of the model can be written there (" in nothing.stderr
    assert len(nothing.stderr.splitlines()) == 1
    # And with room, the same commands do their work.
    assert command(*enrol, limit=2**30).stdout == f"{address}: 1,000 images enrolled\n"
    assert command(*build, *files, limit=2**30).returncode == 0
    assert gallery.info().pipeline == 1437
    gallery.refresh()
    assert gallery.info().enrolled == 1002


def test_a_place_that_cannot_be_written_to_is_named(
    model: Model, finished: Workspace, tmp_path: Path
) -> None:
    """Root may write anywhere, but not below a file."""
    (tmp_path / "file").touch()
    for address in (tmp_path / "file", tmp_path / "file/gallery"):
        said = f"{address}: the gallery cannot be written to "
        with pytest.raises(InputError) as raised:
            Gallery.create(address, model)
        assert str(raised.value).startswith(said)
        data = finished.path / "data"
        done = command(
            *("gallery", "build", "--gallery", address, "--model", data / "model"),
            *("--embeddings", data / "embeddings/gallery.parquet", "--prepared", data / "prepared"),
            limit=2**30,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"siamese: {said}")
        assert len(done.stderr.splitlines()) == 1
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
