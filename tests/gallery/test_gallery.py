"""The gallery of the digits: its answers against `evaluate`'s, enrolment, removal, refusal."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import load_embeddings
from siamese.gallery.answers import Enrolment, LabelCount
from siamese.gallery.gallery import Gallery
from siamese.gallery.rows import FIRST_ENROLLED
from siamese.measures.knn import class_ranking, nearest
from siamese.measures.verification import pair_distances
from siamese.model.folder import Model, load_model
from tests.support.galleries import noise_images, save_other_model
from tests.support.workspace import Workspace


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
    numbers, vectors = next(iter(gallery._searcher._pieces()))
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


def test_what_others_write_is_seen_after_refresh(gallery: Gallery, model: Model) -> None:
    other = Gallery.open(gallery.table.address, model)
    other.enroll(noise_images(model, 1), "noise")
    assert gallery.info().enrolled == 0
    gallery.refresh()
    assert gallery.info().enrolled == 1
