"""A claim against all that is under a label, compared with plain loops over embeddings."""

import math
import shutil
import unicodedata
from pathlib import Path
from statistics import fmean, median

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.embeddings.embedding_file import load_embeddings
from siamese.gallery.claims import ClaimVerdict, judge
from siamese.gallery.gallery import Gallery
from siamese.gallery.held import Held
from siamese.gallery.search import Searcher
from siamese.gallery.table import GalleryTable
from siamese.measures.claims import RULES, Rule
from siamese.model.folder import Model
from tests.support.galleries import claims_at, noise_images, with_claims
from tests.support.vectors import galleries, rows_of
from tests.support.workspace import Workspace

CLAIMS = claims_at(0.3, 0.4, 0.5)


def euclidean(left: np.ndarray, right: np.ndarray) -> float:
    return math.dist(left.tolist(), right.tolist())


def by_rule(rule: Rule, distances: list[list[float]], references: list[np.ndarray]) -> list[float]:
    """The distances to all references, claim by claim, become one each."""
    if rule == "min":
        return [min(gaps) for gaps in distances]
    spread = fmean(euclidean(one, other) for one in references for other in references)
    return [fmean(gaps) - (spread if rule == "relative" else 0) for gaps in distances]


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_claims_are_judged_as_by_a_loop_over_embeddings(
    finished: Workspace, gallery: Gallery, dataset: Dataset, rule: Rule, is_held: bool
) -> None:
    files = finished.path / "data/embeddings"
    rows, queries = (load_embeddings(files / f"{name}.parquet") for name in ("gallery", "queries"))
    noise = noise_images(gallery.model, 3)
    gallery.enroll(noise, "7")
    references = [*rows.vectors[rows.fine == 7], *gallery.model.embed(noise)]
    asked = queries.vectors[:12]
    distances = [[euclidean(query, one) for one in references] for query in asked]
    expected = by_rule(rule, distances, references)

    claims = claims_at(0.0, median(expected), rule=rule)
    gallery = Gallery.open(gallery.table.address, with_claims(gallery.model, claims))
    assert not is_held or gallery.hold()
    images = np.asarray(dataset.images[queries.samples[:12]])
    verdicts = gallery.verify_claim(images, "7")
    assert [one.distance for one in verdicts] == pytest.approx(expected, abs=1e-5)
    given = gallery.verify_claim(images, "7", asked)
    assert [one.distance for one in given] == pytest.approx(expected, abs=1e-12)
    assert [one.accepted for one in given] == [one <= median(expected) for one in expected]
    for verdict, gaps in zip(given, distances, strict=True):
        assert (verdict.label, verdict.rule) == ("7", rule)
        assert (verdict.references, verdict.calibrated_references) == (len(references), 3)
        assert (verdict.threshold, verdict.far, verdict.frr) == (median(expected), 0.03, 0.015)
        assert verdict.nearest.distance == pytest.approx(min(gaps), abs=1e-12)
        assert verdict.nearest.label == "7"
        assert not verdict.is_copy
    nearest = [gaps.index(min(gaps)) for gaps in distances]
    numbers = rows.samples[rows.fine == 7].tolist()
    assert [one.nearest.number for one in given] == [numbers[at] for at in nearest]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(galleries())
def test_any_gallery_judges_alike_in_memory_and_on_disk(
    tmp_path: Path, case: tuple[np.ndarray, np.ndarray, np.ndarray, int]
) -> None:
    numbers, vectors, queries, k = case
    parts = [
        rows_of(numbers[:k], vectors[:k], "it's"),
        rows_of(numbers[k:], vectors[k:], "other"),
        rows_of(2**62 + numbers[:1], vectors[:1], "it's", "enrolled"),
    ]
    table = GalleryTable.replace(tmp_path / "g", vectors.shape[1], parts)
    held = Held.read(table, 2**30)
    assert held is not None
    assert {*held.label_names()} == {*Searcher(table).label_names()}
    images = np.zeros((len(queries), 1, 1, 3), dtype=np.uint8)
    for rule in RULES:
        claims = claims_at(float(np.abs(vectors).max()), rule=rule)
        on_disk = judge(Searcher(table), table, images, queries, "it's", claims)
        assert judge(held, table, images, queries, "it's", claims) == on_disk
        for verdict, query in zip(on_disk, queries, strict=True):
            references = [*vectors[:k], vectors[0]]
            gaps = [euclidean(query, one) for one in references]
            [distance] = by_rule(rule, [gaps], references)
            # Of a difference, the last bits are those of what it is taken of.
            assert verdict.distance == pytest.approx(distance, abs=1e-9 * max(gaps))
            assert verdict.accepted == (verdict.distance <= verdict.threshold)
            assert verdict.nearest.distance == pytest.approx(min(gaps))


def test_the_threshold_is_that_of_so_many_references(model: Model, tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "own", with_claims(model, CLAIMS))
    noise = noise_images(model, 8)
    found = []
    for row in range(7):
        gallery.enroll(noise[row : row + 1], "new")
        [verdict] = gallery.verify_claim(noise[7:], "new")
        assert verdict.references == row + 1
        found.append((verdict.calibrated_references, verdict.threshold, verdict.far))
    one, three, five = (1, 0.3, 0.01), (3, 0.4, 0.03), (5, 0.5, 0.05)
    assert found == [one, one, three, three, five, five, five]


def test_a_claim_at_the_threshold_is_accepted(model: Model, tmp_path: Path) -> None:
    noise = noise_images(model, 4)
    Gallery.create(tmp_path / "own", model).enroll(noise[:3], "new")

    def judged(threshold: float) -> ClaimVerdict:
        gallery = Gallery.open(tmp_path / "own", with_claims(model, claims_at(threshold)))
        return gallery.verify_claim(noise[3:], "new")[0]

    distance = judged(0).distance
    assert judged(distance).accepted
    assert not judged(math.nextafter(distance, 0)).accepted


def test_what_is_enrolled_pixel_by_pixel_is_a_copy(
    gallery: Gallery, dataset: Dataset, tmp_path: Path
) -> None:
    gallery = Gallery.open(gallery.table.address, with_claims(gallery.model, CLAIMS))
    row = int(dataset.rows("train")[0])
    own = dataset.images[row]
    label = dataset.classes.fine[dataset.fine()[row]]
    [noise] = noise_images(gallery.model, 1)
    gallery.enroll(noise[None], label)
    nearly = np.array(own)
    nearly[0, 0, 0] ^= 1
    verdicts = gallery.verify_claim(np.stack([own, noise, nearly]), label)
    assert [one.is_copy for one in verdicts] == [True, True, False]
    assert [one.nearest.number for one in verdicts[::2]] == [row, row]
    # Of another class, it is no copy.
    other = next(name for name in dataset.classes.fine if name != label)
    assert not gallery.verify_claim(noise[None], other)[0].is_copy


def test_a_label_that_nobody_has_enrolled_names_those_near_it(
    gallery: Gallery, tmp_path: Path
) -> None:
    gallery = Gallery.open(gallery.table.address, with_claims(gallery.model, CLAIMS))
    noise = noise_images(gallery.model, 4)
    composed, decomposed = "Zoë O'Neil", unicodedata.normalize("NFD", "Zoë O'Neil")
    gallery.enroll(noise[:3], [composed, "writer 12", "writer 13"])
    assert gallery.verify_claim(noise[3:], decomposed)[0].label == composed
    for is_held in (False, True):
        assert not is_held or gallery.hold()
        with pytest.raises(
            InputError, match=r"the label \"zoe o'neil\"; did you mean `Zoë O'Neil`"
        ):
            gallery.verify_claim(noise[3:], "zoe o'neil")
        with pytest.raises(
            InputError, match=r"'WRITER 1'; did you mean `writer 1\d`, `writer 1\d`"
        ):
            gallery.verify_claim(noise[3:], "WRITER 1")
        with pytest.raises(InputError, match="'somebody else'; `siamese gallery list` lists the"):
            gallery.verify_claim(noise[:0], "somebody else")
    empty = Gallery.create(tmp_path / "empty", gallery.model)
    with pytest.raises(InputError, match=r"no image of the gallery at .* has the label '7'; `sia"):
        empty.verify_claim(noise, "7")
    assert gallery.verify_claim(noise[:0], "7") == []


def test_a_model_without_thresholds_for_claims_says_so(gallery: Gallery) -> None:
    gallery = Gallery.open(gallery.table.address, with_claims(gallery.model, None))
    with pytest.raises(InputError, match=r"has no thresholds for claims: .* train it again"):
        gallery.verify_claim(noise_images(gallery.model, 1), "7")


def test_a_claim_sees_what_others_have_made_of_the_gallery(gallery: Gallery) -> None:
    address = gallery.table.address
    gallery = Gallery.open(address, with_claims(gallery.model, CLAIMS))
    noise = noise_images(gallery.model, 3)
    gallery.enroll(noise[:1], "new")
    assert gallery.verify_claim(noise[2:], "new")[0].references == 1
    shutil.rmtree(address)
    Gallery.create(address, gallery.model).enroll(noise[:2], "new")
    assert gallery.verify_claim(noise[2:], "new")[0].references == 2
