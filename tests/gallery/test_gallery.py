"""The gallery of the digits: its answers against `evaluate`'s, enrolment, removal, refusal."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import load_embeddings
from siamese.gallery import vector_index
from siamese.gallery.answers import Enrolment, LabelCount
from siamese.gallery.gallery import Gallery
from siamese.gallery.png import encode_png
from siamese.gallery.rows import FIRST_ENROLLED
from siamese.measures.knn import class_ranking, nearest
from siamese.measures.verification import pair_distances
from siamese.model.folder import Model, load_model
from tests.support.galleries import build_gallery, noise_images, save_other_model
from tests.support.workspace import ROOT, Workspace


def test_accuracy_through_the_database_is_exactly_that_of_evaluate(
    finished: Workspace, built: Path, model: Model, dataset: Dataset
) -> None:
    metrics = json.loads((finished.path / "metrics/evaluation.json").read_text())["knn"]
    gallery = Gallery.open(built, model)
    rows = dataset.rows("test")
    names = [dataset.classes.fine[label] for label in dataset.fine()[rows]]
    for k in (1, 5, 20):
        answers = gallery.classify(np.asarray(dataset.images[rows]), k)
        hits = [answer.votes[0].label == name for answer, name in zip(answers, names, strict=True)]
        assert round(float(np.mean(hits)), 4) == metrics[f"k{k}"]


@pytest.mark.parametrize("at_once", [7, 360])  # the scan on disk, and vectors in memory
def test_every_vote_is_that_of_evaluate(
    finished: Workspace, built: Path, model: Model, dataset: Dataset, at_once: int
) -> None:
    embeddings = finished.path / "data/embeddings"
    rows = load_embeddings(embeddings / "gallery.parquet")
    queries = load_embeddings(embeddings / "queries.parquet").vectors[: 3 * at_once]
    found, distances = nearest(rows.vectors, queries, 20)
    ranking = class_ranking(rows.fine[found], 5)

    gallery = Gallery.open(built, model)
    answers = []
    for start in range(0, len(queries), at_once):
        answers += gallery.classify_embeddings(queries[start : start + at_once], 20)
    names = dataset.classes.fine
    for row, answer in enumerate(answers):
        neighbours = answer.neighbours
        assert [one.number for one in neighbours] == rows.samples[found[row]].tolist()
        assert [one.distance for one in neighbours] == distances[row].tolist()
        assert [one.label for one in neighbours] == [names[n] for n in rows.fine[found[row]]]
        assert [vote.label for vote in answer.votes] == [names[n] for n in ranking[row] if n >= 0]
        shares = [sum(one.label == vote.label for one in neighbours) / 20 for vote in answer.votes]
        assert [vote.share for vote in answer.votes] == shares


def test_search_names_the_rows_and_their_images(
    built: Path, model: Model, dataset: Dataset
) -> None:
    gallery = Gallery.open(built, model)
    sample = int(dataset.rows("train")[3])
    [found] = gallery.search(np.asarray(dataset.images[[sample]]), k=3)
    assert found[0].number == sample
    assert found[0].distance < 1e-5
    assert found[0].file == dataset.samples["file"][sample]
    assert found[0].source == "pipeline"
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    numbers = [one.number for one in found]
    np.testing.assert_array_equal(gallery.images(numbers), dataset.images[numbers])


def test_images_of_two_sizes_are_made_alike(gallery: Gallery, model: Model) -> None:
    small, large = noise_images(model, 1)[0, :8, :8], noise_images(model, 1)[0]
    gallery.enroll(large[None], "large")
    [rows] = gallery.table.rows("label = 'large'")
    [number] = rows.numbers
    gallery.table.append(replace(rows, numbers=np.array([number - 1]), images=[encode_png(small)]))
    found = gallery.images([number - 1, number])
    np.testing.assert_array_equal(found[1], large)
    enlarged = Image.fromarray(small).resize(large.shape[1::-1], Image.Resampling.BICUBIC)
    assert np.abs(found[0].astype(int) - np.asarray(enlarged)).mean() < 30
    assert gallery.images([]).shape == (0, 0, 0, 3)


def test_verify_measures_the_distance_of_the_two_embeddings(
    built: Path, model: Model, dataset: Dataset
) -> None:
    images = np.asarray(dataset.images[:6])
    expected = pair_distances(model.embed(images), np.arange(3), np.arange(3, 6))
    verdicts = Gallery.open(built, model).verify(images[:3], images[3:])
    threshold = model.calibration.accuracy_threshold
    for verdict, distance in zip(verdicts, expected, strict=True):
        assert verdict.distance == pytest.approx(distance, abs=1e-6)
        assert verdict.same == (distance <= threshold)
    with pytest.raises(InputError, match="2 images are to be compared with 3"):
        Gallery.open(built, model).verify(images[:2], images[3:])


def test_files_give_what_their_pixels_give(
    built: Path, model: Model, dataset: Dataset, tmp_path: Path
) -> None:
    Image.fromarray(np.asarray(dataset.images[9])).save(tmp_path / "nine.png")
    gallery = Gallery.open(built, model)
    assert gallery.classify([tmp_path / "nine.png"]) == gallery.classify(dataset.images[[9]])
    assert gallery.classify([]) == []
    with pytest.raises(InputError, match=r"none\.png"):
        gallery.classify([tmp_path / "nine.png", tmp_path / "none.png"])


def test_an_image_far_from_everything_is_called_so(
    built: Path, model: Model, dataset: Dataset
) -> None:
    gallery = Gallery.open(built, model)
    limit = gallery.novelty_distance
    assert limit is not None
    vectors = near_and_far(gallery, limit)
    near, far = gallery.classify_embeddings(vectors, k=5)
    assert not near.is_novel
    assert near.label == near.votes[0].label
    assert far.is_novel
    assert far.label is None
    assert far.votes[0].label in dataset.classes.fine
    assert (near.novelty_distance, far.novelty_distance) == (limit, limit)


def near_and_far(gallery: Gallery, limit: float) -> np.ndarray:
    """Return two points, just nearer and just farther than the limit from the nearest row."""
    [rows] = gallery.table.rows("number = 0")
    numbers, vectors = next(iter(gallery._version.searcher._pieces()))
    assert numbers[0] == 0
    # Straight out from the origin, beyond all rows, which lie on the unit sphere.
    out = rows.vectors[0] / np.linalg.norm(rows.vectors[0])
    points = np.stack([out * (1 + limit * factor) for factor in (0.999, 1.001)])
    assert np.linalg.norm(vectors - points[1], axis=1).min() > limit
    return points.astype(np.float32)


def test_enrolling_adds_a_class_that_was_never_trained(gallery: Gallery, model: Model) -> None:
    images = noise_images(model, 3)
    assert gallery.enroll(images, "noise", ["a", "b", "c"]) == Enrolment(added=3, known=0)
    [answer] = gallery.classify(images[1:2], k=1)
    assert answer.label == "noise"
    neighbour = answer.neighbours[0]
    assert (neighbour.file, neighbour.source) == ("b", "enrolled")
    assert neighbour.number >= FIRST_ENROLLED
    np.testing.assert_array_equal(gallery.images([neighbour.number])[0], images[1])
    again = Gallery.open(gallery.table.address, model)
    assert LabelCount("noise", 0, 3) in again.labels()


def test_enrolling_twice_changes_nothing(gallery: Gallery, model: Model) -> None:
    images = noise_images(model, 2)
    gallery.enroll(images[:1], "noise")
    version = gallery.table.version
    assert gallery.enroll(images[:1], "noise") == Enrolment(added=0, known=1)
    assert gallery.table.version == version
    assert gallery.enroll(images[[0, 1, 1]], "noise") == Enrolment(added=1, known=2)
    assert gallery.enroll(images[:1], "other") == Enrolment(added=1, known=0)


def test_labels_must_fit(gallery: Gallery, model: Model) -> None:
    images = noise_images(model, 2)
    with pytest.raises(InputError, match="2 images, 1 labels and 2 files"):
        gallery.enroll(images, ["a"])
    with pytest.raises(InputError, match="a label is empty"):
        gallery.enroll(images, ["a", " "])
    assert gallery.info().enrolled == 0


def test_only_enrolled_rows_are_removed(gallery: Gallery, model: Model) -> None:
    images = noise_images(model, 4)
    gallery.enroll(images, ["noise", "noise", "3", "other"], ["a", "b", "c", "d"])
    assert gallery.remove(label="3") == 1  # and none of the pipeline's threes
    assert gallery.remove(file="a") == 1
    [found] = gallery.search(images[1:2], k=1)
    assert gallery.remove(number=found[0].number) == 1
    assert gallery.remove(label="other") == 1
    gallery.enroll(images[:1], unicodedata.normalize("NFD", "café"))
    assert gallery.labels()[-1].label == unicodedata.normalize("NFC", "café")
    assert gallery.remove(label=unicodedata.normalize("NFD", "café")) == 1
    assert gallery.info().enrolled == 0
    assert gallery.info().pipeline == 1437
    with pytest.raises(InputError, match=r"label '3': \d+ rows, all from the pipeline"):
        gallery.remove(label="3")
    with pytest.raises(InputError, match=r"label 'noise': no row of .* has it"):
        gallery.remove(label="noise")
    with pytest.raises(InputError, match="exactly one of label, file and number"):
        gallery.remove()
    with pytest.raises(InputError, match="exactly one of label, file and number"):
        gallery.remove(label="3", file="a")


def test_info_says_what_is_there(gallery: Gallery, model: Model, dataset: Dataset) -> None:
    gallery.enroll(noise_images(model, 2), "noise")
    info = gallery.info()
    assert (info.pipeline, info.enrolled, info.labels) == (1437, 2, 11)
    assert info.dimensions == model.params.embedding_dim
    assert info.index is None
    files = [file for file in Path(gallery.table.address).rglob("*") if file.is_file()]
    assert info.bytes == sum(file.stat().st_size for file in files)
    vectors = pipeline_vectors(gallery)
    splits = dataset.samples["split"].to_numpy()
    held_out = vectors[splits[: len(vectors)] == "validation"]
    known = vectors[splits[: len(vectors)] == "train"]
    gaps = np.sort(
        np.sqrt(((held_out[:, None].astype(float) - known[None]) ** 2).sum(axis=2)).min(axis=1)
    )
    within = int(np.ceil(0.99 * len(gaps)))
    assert info.novelty_distance == pytest.approx(gaps[within - 1], rel=1e-9)


def pipeline_vectors(gallery: Gallery) -> np.ndarray:
    """Return the pipeline's vectors; of the digits, gallery samples come before test samples."""
    table = gallery.table.lookup(np.arange(1437), ["vector"])
    return np.array(table["vector"].to_pylist(), dtype=np.float32)


def test_an_empty_gallery_is_filled_by_enrolment_alone(model: Model, tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "own", model)
    with pytest.raises(InputError, match="is empty; `siamese enroll` adds images"):
        gallery.classify(noise_images(model, 1), k=1)
    gallery.enroll(noise_images(model, 2), ["a", "b"])
    answers = gallery.classify(noise_images(model, 2), k=1)
    assert [answer.label for answer in answers] == ["a", "b"]
    assert gallery.info().novelty_distance is None
    with pytest.raises(InputError, match="there is a gallery already"):
        Gallery.create(tmp_path / "own", model)


def test_a_gallery_of_another_model_is_refused(
    gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    other = load_model(save_other_model(model, tmp_path / "model"))
    with pytest.raises(InputError, match=r"another model made this gallery.*siamese gallery build"):
        Gallery.open(gallery.table.address, other)
    with pytest.raises(InputError, match="was opened without a model"):
        Gallery.open(gallery.table.address).classify(noise_images(model, 1))
    # Another model rebuilds the gallery after this one has opened it.
    gallery.table.replace(gallery.table.address, 32, [], {"model": "other"})
    with pytest.raises(InputError, match="another model made this gallery"):
        gallery.enroll(noise_images(model, 1), "late")
    with pytest.raises(InputError, match="another model made this gallery"):
        gallery.refresh()


def test_a_default_number_of_neighbours_is_cut_to_the_rows_there_are(
    model: Model, tmp_path: Path
) -> None:
    images = noise_images(model, 8)
    gallery = Gallery.create(tmp_path / "own", model)
    gallery.enroll(images, ["a"] * 5 + ["b"] * 3)
    [answer] = gallery.classify(images[7:])
    assert len(answer.neighbours) == 8
    assert [(vote.label, vote.share) for vote in answer.votes] == [("a", 5 / 8), ("b", 3 / 8)]
    assert answer == gallery.classify(images[7:], k=8)[0]
    assert len(gallery.search(images[7:])[0]) == 8
    for ask in (gallery.classify, gallery.search):
        with pytest.raises(InputError, match=r"9 neighbours are asked for, but .* has 8 rows"):
            ask(images[7:], k=9)
    gallery.enroll(noise_images(model, 30), "c")
    assert len(gallery.classify(images[7:])[0].neighbours) == 20
    assert len(gallery.search(images[7:])[0]) == 10


@pytest.mark.parametrize("label", ["", " ", "a\tb", "a\n", "a\u2028b", os.fsdecode(b"caf\xe9")])
def test_a_label_is_one_line_of_text(gallery: Gallery, model: Model, label: str) -> None:
    with pytest.raises(InputError, match=r"a label is empty|cannot be the name of a class"):
        gallery.enroll(noise_images(model, 1), label)
    with pytest.raises(InputError, match="no row of"):
        gallery.remove(label=label)


def test_names_that_are_no_text_are_kept_and_removed(gallery: Gallery, model: Model) -> None:
    images, name = noise_images(model, 1), os.fsdecode(b"caf\xe9.png")
    gallery.enroll(images, "zoë\u200c", [name])
    [[found]] = gallery.search(images, k=1)
    assert (found.label, found.file) == ("zoë\u200c", "caf\\udce9.png")
    assert gallery.remove(file=name) == 1


def test_numbers_beyond_64_bits_have_no_row(gallery: Gallery) -> None:
    for number in (2**63, -(2**63), 10**30, -1):
        with pytest.raises(InputError, match=f"number {number}: no row of"):
            gallery.remove(number=number)
        with pytest.raises(InputError, match=f"row {number} has no image"):
            gallery.images([number])


def held_by(folder: Path, *contents: bytes) -> list[bool]:
    """Tell for each content whether a file of the folder holds it."""
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return [any(content in file for file in files) for content in contents]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_tidying_leaves_no_byte_of_what_was_removed(
    gallery: Gallery,
    finished: Workspace,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    is_indexed: bool,
) -> None:
    if is_indexed:
        monkeypatch.setattr(vector_index, "INDEX_FROM", 1000)
    folder = Path(gallery.table.address)
    removed, kept = noise_images(model, 2)
    gallery.enroll(noise_images(model, 2), ["secret", "kept"])
    build_gallery(finished, folder, novelty_share=0.9)  # both lie among the pipeline's rows
    gallery.refresh()
    vectors = model.embed(np.stack([removed, kept]))
    traces = [encode_png(removed), vectors[0].tobytes(), b"secret"]
    others = [encode_png(kept), vectors[1].tobytes(), b"kept"]
    assert all(held_by(folder, *traces, *others))
    before, info = content(gallery), gallery.info()
    assert (info.index is not None) == is_indexed

    assert gallery.remove(label="secret") == 1
    gallery.enroll(noise_images(model, 30)[2:], "more")
    build_gallery(finished, folder)
    assert all(held_by(folder, *traces)), "the reason for `tidy`"
    (folder / "gallery.lance/data/left-behind.lance").write_bytes(traces[0])
    gallery.tidy()
    assert not any(held_by(folder, *traces))
    assert all(held_by(folder, *others))
    assert gallery.remove(label="more") == 28
    after = content(gallery)
    assert after == [row for row in before if row["label"] != "secret"]
    assert (gallery.info().index is not None) == is_indexed
    assert gallery.classify(removed[None], k=1)[0].votes[0].label != "secret"
    [[found]] = gallery.search(kept[None], k=1)
    assert found.label == "kept"


def content(gallery: Gallery) -> list[dict]:
    return gallery.table.read(gallery.table.lance.schema.names).sort_by("number").to_pylist()


TIDY = """
import sys
from siamese import Gallery
for address in sys.argv[1:]:
    Gallery.open(address).tidy()
"""


def test_a_reader_goes_on_when_another_process_tidies(
    gallery: Gallery, finished: Workspace, model: Model
) -> None:
    address, noise = gallery.table.address, noise_images(model, 3)
    gallery.enroll(noise[:2], "noise")
    asked = {
        "classify": lambda held: held.classify(noise),
        "classify many": lambda held: held.classify(noise.repeat(40, axis=0)),
        "classify_embeddings": lambda held: held.classify_embeddings(model.embed(noise)),
        "search": lambda held: held.search(noise),
        "labels": lambda held: held.labels(),
        "info": lambda held: replace(held.info(), bytes=0),
        "images": lambda held: held.images(range(5)).tolist(),
        "verify": lambda held: held.verify(noise[:1], noise[1:2]),
        "novelty": lambda held: held.novelty_distance is not None,
    }
    readers = {name: Gallery.open(address, model) for name in asked}
    for name, held in readers.items():
        if "many" in name:
            held.classify(noise.repeat(40, axis=0))  # it holds the old vectors in memory
    writers = {"enroll": Gallery.open(address, model), "remove": Gallery.open(address, model)}
    late = Gallery.open(address, model).table

    build_gallery(finished, address, novelty_share=0.9)
    Gallery.open(address, model).enroll(noise[2:], "late")
    command = [sys.executable, "-c", TIDY, address]
    subprocess.run(command, cwd=ROOT / "src", check=True)

    newest = Gallery.open(address, model)
    for name, ask in asked.items():
        assert ask(readers[name]) == ask(newest), name
    assert readers["search"].search(noise[2:], k=1)[0][0].label == "late"
    with pytest.raises(InputError, match="the gallery cannot be read"):
        list(late.rows())  # what has begun to read cannot go over to other rows
    assert writers["enroll"].enroll(noise[2:], "again") == Enrolment(1, 0)
    assert writers["remove"].remove(label="noise") == 2


def test_a_reader_goes_on_when_the_gallery_is_deleted_and_made_again(
    finished: Workspace, gallery: Gallery, model: Model
) -> None:
    address, noise = Path(gallery.table.address), noise_images(model, 3)
    many = noise.repeat(40, axis=0)
    gallery.enroll(noise[:1], "first")
    assert {answer.votes[0].label for answer in gallery.classify(many[:40], k=1)} == {"first"}
    gallery.classify(many, k=1)  # now it holds all vectors
    version = gallery.table.version
    shutil.rmtree(address)
    with pytest.raises(InputError, match="there is no gallery"):
        gallery.classify(noise)
    with pytest.raises(InputError, match="there is no gallery"):
        gallery.refresh()
    Gallery.create(address, model).enroll(noise[:1], "second")
    assert Gallery.open(address).table.version <= version
    assert {answer.label for answer in gallery.classify(many, k=1)} == {"second"}
    assert gallery.info().enrolled == 1
    gallery.refresh()
    assert {answer.label for answer in gallery.classify(many, k=1)} == {"second"}


def test_a_reader_refuses_what_another_model_has_made(gallery: Gallery, model: Model) -> None:
    noise, blind = noise_images(model, 1), Gallery.open(gallery.table.address)
    vectors = model.embed(noise)
    gallery.table.replace(gallery.table.address, 32, gallery.table.rows(), {"model": "other"})
    assert gallery.classify(noise)  # from the version that was opened
    with pytest.raises(InputError, match="another model made this gallery"):
        gallery.refresh()
    blind.refresh()
    for held in (gallery, blind):
        with pytest.raises(InputError, match="another model made this gallery"):
            held.classify_embeddings(vectors)
    assert blind.info().model == "other"


def test_what_others_write_is_seen_after_refresh(gallery: Gallery, model: Model) -> None:
    other = Gallery.open(gallery.table.address, model)
    other.enroll(noise_images(model, 1), "noise")
    assert gallery.info().enrolled == 0
    gallery.refresh()
    assert gallery.info().enrolled == 1
