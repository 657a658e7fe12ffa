"""Building the gallery: from matching files, a second time, after training, and when killed."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import load_embeddings, save_embeddings
from siamese.gallery.build import Built
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import Model, load_model
from siamese.network.embedding import embed_images
from tests.support.galleries import build_gallery, noise_images, save_other_model
from tests.support.workspace import ROOT, Workspace


def content(address: Path | str) -> list[dict]:
    table = GalleryTable.open(address)
    columns = ["number", "vector", "label", "superclass", "file", "image", "source"]
    return table.read(columns).sort_by("number").to_pylist()


def test_rows_are_the_pipelines(finished: Workspace, built: Path) -> None:
    rows = content(built)
    embeddings = load_embeddings(finished.path / "data/embeddings/gallery.parquet")
    assert [row["number"] for row in rows] == embeddings.samples.tolist()
    vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(vectors, embeddings.vectors)
    assert [row["label"] for row in rows] == [str(label) for label in embeddings.fine]
    assert {row["superclass"] for row in rows} == {None}
    assert {row["source"] for row in rows} == {"pipeline"}


def test_the_same_embeddings_again_change_nothing(finished: Workspace, gallery: Gallery) -> None:
    address, distance = Path(gallery.table.address), gallery.novelty_distance
    assert distance is not None
    files = {file: file.stat().st_mtime_ns for file in address.rglob("*.lance")}
    assert build_gallery(finished, address) == Built(False, 1437, 0, False, distance)
    assert {file: file.stat().st_mtime_ns for file in address.rglob("*.lance")} == files


def test_a_build_keeps_enrolled_rows(finished: Workspace, gallery: Gallery, model: Model) -> None:
    gallery.enroll(noise_images(model, 3), "noise")
    before = content(gallery.table.address)
    # Any other file makes it build again.
    built = build_gallery(
        finished, gallery.table.address, embeddings_file=rewritten(finished, gallery)
    )
    assert built == Built(True, 1437, 3, False, built.novelty_distance)
    assert content(gallery.table.address) == before


def rewritten(finished: Workspace, gallery: Gallery) -> Path:
    """Write the same embeddings as other bytes."""
    import pyarrow.parquet as pq

    file = Path(gallery.table.address).parent / "again.parquet"
    table = pq.read_table(finished.path / "data/embeddings/gallery.parquet")
    pq.write_table(table, file, compression="zstd")
    return file


def test_after_training_what_was_enrolled_is_embedded_again(
    finished: Workspace, gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    images = noise_images(model, 3)
    gallery.enroll(images, "noise")
    folder = save_other_model(model, tmp_path / "model")
    retrained = load_model(folder)
    data = finished.path / "data"
    old = load_embeddings(data / "embeddings/gallery.parquet")
    pixels = np.load(data / "prepared/images.npy")[old.samples]
    vectors = embed_images(retrained.network, pixels)
    save_embeddings(type(old)(old.samples, old.fine, old.coarse, vectors), tmp_path / "e.parquet")
    built = build_gallery(
        finished,
        gallery.table.address,
        model_folder=folder,
        embeddings_file=tmp_path / "e.parquet",
    )
    assert (built.enrolled, built.embedded_again) == (3, True)
    rows = [row for row in content(gallery.table.address) if row["source"] == "enrolled"]
    stored = {row["number"]: row["vector"] for row in rows}
    again = Gallery.open(gallery.table.address, retrained)
    for image, vector in zip(images, retrained.embed(images), strict=True):
        [found] = again.search(image[None], k=1)
        np.testing.assert_allclose(stored[found[0].number], vector, atol=1e-5)
    with pytest.raises(InputError, match="another model made this gallery"):
        gallery.refresh()


def test_files_that_do_not_belong_together_are_refused(
    finished: Workspace, model: Model, tmp_path: Path
) -> None:
    data = finished.path / "data"
    folder = save_other_model(model, tmp_path / "model")
    with pytest.raises(InputError, match="another model made these embeddings"):
        build_gallery(finished, tmp_path / "g", model_folder=folder)
    old = load_embeddings(data / "embeddings/gallery.parquet")
    save_embeddings(
        type(old)(old.samples, old.fine[::-1], old.coarse, old.vectors), tmp_path / "e.parquet"
    )
    with pytest.raises(InputError, match="embeddings of other samples than those in"):
        build_gallery(finished, tmp_path / "g", embeddings_file=tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"none\.parquet: no such file; `dvc repro embed` makes"):
        build_gallery(finished, tmp_path / "g", embeddings_file=tmp_path / "none.parquet")
    prepared = Path(shutil.copytree(data / "prepared", tmp_path / "prepared"))
    (prepared / "classes.json").unlink()
    with pytest.raises(InputError, match=r"classes\.json: no such file; `dvc repro prepare` makes"):
        build_gallery(finished, tmp_path / "g", prepared=prepared)
    assert GalleryTable.find(tmp_path / "g") is None


def start_build(finished: Workspace, address: Path, embeddings: Path) -> subprocess.Popen:
    data = finished.path / "data"
    arguments = ["--gallery", address, "--model", data / "model", "--embeddings", embeddings]
    arguments += ["--prepared", data / "prepared"]
    command = [sys.executable, "-m", "siamese.cli.main", "gallery", "build", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT / "src", stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_build_killed_at_any_moment_leaves_the_old_gallery_whole(
    finished: Workspace, gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    """By `kill -9`, from the first byte that it writes to after the last."""
    gallery.enroll(noise_images(model, 3), "noise")
    kept, address = Path(gallery.table.address), tmp_path / "killed"
    old = content(kept)
    # Vectors that can be told from the old ones, and are still near enough to be the model's.
    stored = load_embeddings(finished.path / "data/embeddings/gallery.parquet")
    longer = stored.vectors * np.float32(1.001)
    embeddings = tmp_path / "longer.parquet"
    save_embeddings(type(stored)(stored.samples, stored.fine, None, longer), embeddings)

    def is_old_after(delay: float) -> bool:
        shutil.rmtree(address, ignore_errors=True)
        shutil.copytree(kept, address)
        data = address / "gallery.lance" / "data"
        before = set(data.iterdir())
        process = start_build(finished, address, embeddings)
        while process.poll() is None and set(data.iterdir()) == before:
            time.sleep(0.001)  # until it writes rows
        time.sleep(delay)
        process.kill()
        process.wait()
        now = content(address)
        if now != old:
            vectors = np.array([row["vector"] for row in now[:1437]], dtype=np.float32)
            np.testing.assert_array_equal(vectors, longer)
            assert now[1437:] == old[1437:]
        Gallery.open(address, model).classify(noise_images(model, 1))
        return now == old

    # The moment between the first row and the last is short: hitting it may take several tries.
    assert any(is_old_after(0) for _ in range(20))
    for delay in (0, 0.003, 0.006, 0.01, 0.1):
        is_old_after(delay)

    # The next build removes what a killed one left, except what readers may have open.
    shutil.rmtree(address)
    shutil.copytree(kept, address)
    left_behind = address / "gallery.lance/data/left-behind.lance"
    left_behind.write_bytes(b"half of a file")
    assert start_build(finished, address, embeddings).wait() == 0
    assert content(address) != old
    assert not left_behind.exists()
