"""A gallery in memory answers as the one on disk does, also while it changes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from siamese.base.errors import InputError
from siamese.gallery import gallery as gallery_module
from siamese.gallery import held as held_module
from siamese.gallery.gallery import Gallery
from siamese.gallery.held import Held
from siamese.gallery.rows import FIRST_ENROLLED, Rows
from siamese.gallery.table import GalleryTable
from siamese.model.folder import Model, load_model
from tests.support.galleries import (
    build_gallery,
    claims_at,
    noise_images,
    save_other_model,
    with_claims,
)
from tests.support.vectors import clustered, galleries, rows_of
from tests.support.workspace import Workspace

IDENTITY = {"model": "m", "embeddings": "e", "prepared": "p", "novelty_distance": "0.5"}


def answers(gallery: Gallery, queries: np.ndarray, k: int | None) -> list:
    return [
        gallery.search_embeddings(queries, k),
        gallery.classify_embeddings(queries, k),
        gallery.search_embeddings(queries[:1], k, exact=True),
        gallery.classify_embeddings(queries[:0], k),
    ]


def check(held: Gallery, queries: np.ndarray, *ks: int | None) -> None:
    """Compare with the gallery on disk, opened now."""
    assert held.is_held
    on_disk = Gallery.open(held.table.address, held._model)
    for k in ks:
        assert answers(held, queries, k) == answers(on_disk, queries, k)


@contextmanager
def no_lancedb(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it, no table can be read."""
    with monkeypatch.context() as patch:
        for name in ("batches", "count"):
            patch.setattr(GalleryTable, name, None)
        yield


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(galleries())
def test_any_gallery_answers_as_on_disk(
    tmp_path: Path, case: tuple[np.ndarray, np.ndarray, np.ndarray, int]
) -> None:
    numbers, vectors, queries, k = case
    half = len(numbers) // 2
    first = rows_of(numbers[:half], vectors[:half])
    rest = rows_of(numbers[half:], vectors[half:], "y", "enrolled")
    rest = replace(rest, superclasses=["s", *[None] * (len(rest) - 1)])
    GalleryTable.replace(tmp_path / "g", vectors.shape[1], [first, rest], IDENTITY)
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.hold()
    check(gallery, queries, k, 1, len(numbers), None)


def test_pictures_are_classified_and_claims_judged_without_lancedb(
    gallery: Gallery, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise_images(model, 3)
    gallery = Gallery.open(gallery.table.address, with_claims(model, claims_at(0.5)))

    def asked() -> list:
        return [
            gallery.classify(images),
            gallery.classify(images, 3),
            gallery.search(images),
            gallery.verify_claim(images, "3"),
        ]

    on_disk = asked()
    assert not gallery.is_held
    assert gallery.hold()
    with no_lancedb(monkeypatch):
        assert asked() == on_disk


def test_the_same_is_refused_in_the_same_words(gallery: Gallery, model: Model) -> None:
    held = Gallery.open(gallery.table.address, model)
    held.hold()
    good = np.zeros((1, held.table.dimensions), np.float32)
    wrong = [
        (good, 0),
        (good, 10**6),
        (good[:, 1:], 1),
        (good + np.nan, 1),
        (np.repeat(good, 100, axis=0) + np.float32(1e25), 1),
    ]
    for queries, k in wrong:
        with pytest.raises(InputError) as expected:
            gallery.search_embeddings(queries, k)
        with pytest.raises(InputError) as refused:
            held.search_embeddings(queries, k)
        assert str(refused.value) == str(expected.value)


def test_an_empty_gallery_is_held(model: Model, tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "own", model)
    assert gallery.hold()
    images = noise_images(model, 2)
    assert gallery.classify(images[:0]) == []
    with pytest.raises(InputError, match="is empty; `siamese enroll` adds images"):
        gallery.classify(images)
    gallery.enroll(images, ["a", "b"])
    assert [answer.label for answer in gallery.classify(images, k=1)] == ["a", "b"]


def test_what_changes_is_seen_as_on_disk(
    gallery: Gallery, finished: Workspace, model: Model
) -> None:
    images = noise_images(model, 6)
    queries = model.embed(images)
    gallery.hold()
    pipeline = gallery._version.held.pipeline  # type: ignore[union-attr]
    gallery.enroll(images[:2], ["a", "b"], ["1", "2"])
    check(gallery, queries, None, 3)
    assert gallery.search_embeddings(queries[:1], 1)[0][0].label == "a"
    gallery.remove(label="a")
    check(gallery, queries, None)

    # The same image again, under another name: the same number, but not the same row.
    gallery.enroll(images[:1], "a", ["another"])
    check(gallery, queries, None)
    other = Gallery.open(gallery.table.address, model)
    other.enroll(images[2:4], "c")
    assert gallery.search_embeddings(queries[2:3], 1)[0][0].label != "c"
    assert gallery.is_outdated()
    gallery.refresh()
    check(gallery, queries, None)
    assert not gallery.is_outdated()
    assert gallery._version.held.pipeline is pipeline, "it was not read again"  # type: ignore[union-attr]

    build_gallery(finished, gallery.table.address, novelty_share=0.9)
    gallery.refresh()
    check(gallery, queries, None)
    other.refresh()
    other.tidy()
    check(gallery, queries, None)  # from memory; the files are gone
    gallery.refresh()
    check(gallery, queries, None)


def test_a_pipeline_that_differs_is_read_again(tmp_path: Path) -> None:
    vectors = clustered(20, 4, seed=1)
    for metadata in ({**IDENTITY, "prepared": "q"}, {"model": "m"}, IDENTITY):
        GalleryTable.replace(tmp_path / "g", 4, [rows_of(np.arange(20), vectors)], IDENTITY)
        gallery = Gallery.open(tmp_path / "g")
        gallery.hold()
        n = 19 if metadata == IDENTITY else 20
        rows = rows_of(np.arange(n), -vectors[:n], "new")
        GalleryTable.replace(tmp_path / "g", 4, [rows], metadata)
        gallery.refresh()
        check(gallery, vectors, 5)


def test_a_large_gallery_gets_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "INDEX_FROM", 5000)
    vectors, numbers = clustered(6000, 16, seed=2), np.random.default_rng(0).permutation(6000)
    rows = rows_of(numbers, vectors)
    rows = replace(rows, labels=[f"label {number % 9}" for number in numbers])
    GalleryTable.replace(tmp_path / "g", 16, [rows], IDENTITY)
    table = GalleryTable.open(tmp_path / "g")
    new = clustered(40, 16, seed=3)
    table.append(rows_of(np.arange(40) + FIRST_ENROLLED, new, "y", "enrolled"))
    gallery, on_disk = Gallery.open(tmp_path / "g"), Gallery.open(tmp_path / "g")
    gallery.hold()
    queries = np.concatenate([clustered(40, 16, seed=4), new[:5]])
    right = on_disk.search_embeddings(queries)
    assert gallery.search_embeddings(queries, exact=True) == right
    found = gallery.search_embeddings(queries)
    hits = [len({*one} & {*other}) / 10 for one, other in zip(found, right, strict=True)]
    assert np.mean(hits) >= 0.99
    assert [one[0].number for one in found[40:]] == [FIRST_ENROLLED + n for n in range(5)]


def test_beyond_the_limit_lancedb_answers(gallery: Gallery, model: Model) -> None:
    images = noise_images(model, 30)
    queries = model.embed(images[:2])
    n_rows, dimensions = len(gallery.table), gallery.table.dimensions
    limit = (n_rows + 5) * (held_module.BYTES_PER_VALUE * dimensions + held_module.OTHER_BYTES)
    expected = gallery.search_embeddings(queries)
    assert not gallery.hold(limit=1000)
    assert gallery.search_embeddings(queries) == expected
    assert gallery.hold(limit=limit)
    gallery.enroll(images[:5], "a")
    assert gallery.is_held
    gallery.enroll(images, "b")
    assert not gallery.is_held
    assert gallery.search_embeddings(queries[:1], 1)[0][0].label in "ab"
    gallery.remove(label="b")
    check(gallery, queries, None)


def test_a_gallery_of_another_model_is_refused(
    gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    gallery.hold()
    other = load_model(save_other_model(model, tmp_path / "other"))
    vectors = model.embed(noise_images(model, 1))
    address = gallery.table.address
    shutil.rmtree(address)
    assert gallery.search_embeddings(vectors)  # from memory
    assert gallery.is_outdated()
    with pytest.raises(InputError, match="there is no gallery"):
        gallery.refresh()
    Gallery.create(address, other)
    for ask in (gallery.refresh, lambda: gallery.search_embeddings(vectors)):
        with pytest.raises(InputError, match="another model made this gallery"):
            ask()
    shutil.rmtree(address)
    Gallery.create(address, model).enroll(noise_images(model, 1), "back")
    gallery.refresh()
    assert gallery.search_embeddings(vectors)[0][0].label == "back"


def test_a_version_that_goes_while_it_is_read_is_left_for_the_newest(
    gallery: Gallery, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enroll(noise_images(model, 1), "a")
    read, other = Held.read.__func__, Gallery.open(gallery.table.address, model)  # type: ignore[attr-defined]
    calls = []

    def interrupted(cls: type[Held], *arguments: object) -> Held | None:
        calls.append(arguments)
        if len(calls) == 1:
            other.enroll(noise_images(model, 2), "b")
            other.tidy()
        return read(cls, *arguments)

    monkeypatch.setattr(Held, "read", classmethod(interrupted))
    assert gallery.hold()
    assert len(calls) == 2
    check(gallery, model.embed(noise_images(model, 2)), None)


def generation(number: int, n: int = 200) -> Rows:
    """Return rows whose every value says which generation they are of."""
    vectors = np.full((n, 4), number, np.float32)
    rows = rows_of(np.arange(n), vectors, f"label {number}")
    return replace(rows, files=[f"{number}"] * n, superclasses=[f"{number}"] * n)


@pytest.mark.parametrize("limit", [gallery_module.HOLD_LIMIT, 1])
def test_threads_get_whole_answers_while_others_change_the_gallery(
    tmp_path: Path, limit: int
) -> None:
    """Each is of one generation; held in memory, and beyond the limit on disk."""

    def write(number: int) -> None:
        metadata = {"model": "m", "embeddings": str(number), "prepared": "p"}
        metadata["novelty_distance"] = str(number)
        n = 200 - number  # so positions differ, too
        GalleryTable.replace(tmp_path / "g", 4, [generation(number, n)], metadata)

    write(0)
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.hold(limit) == (limit > 1)
    done, wrong, seen = Event(), list[object](), list[set[str]]()

    def ask() -> None:
        own: set[str] = set()
        try:
            while not done.is_set():
                [answer] = gallery.classify_embeddings(np.zeros((1, 4), np.float32), 7)
                label, number = answer.votes[0].label, answer.neighbours[0].file
                own.add(number)
                same = {(one.label, one.file, one.superclass) for one in answer.neighbours}
                if same != {(label, number, number)} or label != f"label {number}":
                    wrong.append(answer)
                if answer.novelty_distance != float(number):
                    wrong.append(answer)
                if [one.distance for one in answer.neighbours] != [2.0 * int(number)] * 7:
                    wrong.append(answer)
        except Exception as error:
            wrong.append(error)
        seen.append(own)

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 9):
        write(number)
        gallery.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(set.union(*seen)) > 2
