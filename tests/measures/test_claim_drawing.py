"""Claims against what a reader of the rules would draw: every distance tells its two images."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.measures.claim_drawing import CLAIMS, DRAWS, Claims, draw_claims
from siamese.measures.claims import RULES, claim_distance, spread_of

# Image i lies at 2 to the power of i: no two pairs of images are equally far apart.
LABELS = np.array([0] * 6 + [3] * 5 + [1] * 2 + [-1] * 4 + [-2] * 2 + [-6] * 2 + [3])
PICTURES = np.arange(len(LABELS))
PICTURES[5] = 0  # a copy within a class,
PICTURES[12] = 6  # and under another label
VECTORS = (2.0 ** np.arange(len(LABELS))).astype(np.float32)[:, None]
ROWS = range(len(LABELS))
PAIR_AT = {abs(2.0**i - 2.0**j): {i, j} for i in ROWS for j in ROWS if i < j}


def images_of(claims: Claims) -> list[tuple[int, set[int]]]:
    """Return the image and the references of each claim, read off its distances."""
    found = []
    for distances, own, claimed, kind in zip(
        claims.distances, claims.own, claims.claimed, claims.kind, strict=True
    ):
        pairs = [PAIR_AT[distance] for distance in distances.tolist()]
        [image] = set.intersection(*pairs)
        label = -1 - own if kind == "forgery" else own
        assert LABELS[image] == label
        assert (kind == "true") == (label == claimed)
        assert kind != "forgery" or own == claimed
        found.append((image, set.union(*pairs) - {image}))
    return found


@pytest.mark.parametrize("n_references", [2, 3, 4])
def test_every_image_claims_what_it_may(n_references: int) -> None:
    claims = draw_claims(VECTORS, LABELS, PICTURES, n_references)
    assert claims is not None
    of_set: dict[tuple[int, ...], set[int]] = defaultdict(set)
    n_claims: dict[tuple[int, ...], int] = defaultdict(int)
    for image, enrolled in images_of(claims):
        assert len(enrolled) == n_references
        of_set[tuple(sorted(enrolled))].add(image)
        n_claims[tuple(sorted(enrolled))] += 1
    for references, images in of_set.items():
        [label] = {int(LABELS[row]) for row in references}
        pictures = {int(PICTURES[row]) for row in references}
        assert len(pictures) == n_references, "no copy is a second reference"
        wanted = {
            row
            for row in ROWS
            if (LABELS[row] >= 0 and PICTURES[row] not in pictures) or LABELS[row] == -1 - label
        }
        assert images == wanted, "there are fewer strangers than are wanted, so all of them"
        assert n_claims[references] % len(images) == 0, "sets that were drawn again count again"
    assert {int(LABELS[references[0]]) for references in of_set} == {0, 3}, "1 has too few images"
    assert claims.n_classes == 2
    sizes = [n_claims[references] // len(images) for references, images in of_set.items()]
    assert sum(sizes) == DRAWS * 2


def test_more_references_are_the_fewer_and_others() -> None:
    one, other = (draw_claims(VECTORS, LABELS, PICTURES, number) for number in (2, 3))
    assert one
    assert other
    sets = [
        list(dict.fromkeys(frozenset(references) for _, references in images_of(claims)))
        for claims in (one, other)
    ]
    assert all(any(few <= more for more in sets[1]) for few in sets[0])


def test_the_seed_decides() -> None:
    drawn = [draw_claims(VECTORS, LABELS, PICTURES, 2, seed) for seed in (0, 0, 1)]
    assert all(drawn)
    first, again, other = (claims.distances.tolist() for claims in drawn if claims)
    assert first == again != other


def test_of_many_images_some_tell_enough() -> None:
    labels = np.arange(60).repeat(40)
    vectors = np.arange(len(labels), dtype=np.float32)[:, None]  # an image lies at its number
    claims = draw_claims(vectors, labels, np.arange(len(labels)), 1)
    assert claims is not None
    assert claims.n_classes == 60
    assert claims.count("true") == 8 * 60 * 39 <= CLAIMS
    assert claims.count("stranger") == 8 * 60 * 41 <= CLAIMS
    assert claims.count("forgery") == 0
    is_strange = claims.kind == "stranger"
    assert (claims.own[is_strange] != claims.claimed[is_strange]).all()
    assert len(np.unique(claims.own[is_strange])) == 60
    # References of one class are 39 apart at the most, others no nearer than their classes.
    gaps = np.abs(claims.own - claims.claimed)
    assert (claims.distances[:, 0] >= 40 * gaps - 39).all()
    assert (claims.distances[:, 0] <= 40 * gaps + 39).all()


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, -1, 0], [-1, -2]])
def test_without_two_images_of_a_class_nothing_is_claimed(labels: list[int]) -> None:
    vectors = np.zeros((len(labels), 2), dtype=np.float32)
    assert draw_claims(vectors, np.array(labels), np.arange(len(labels)), 1) is None


def test_a_class_alone_meets_no_strangers() -> None:
    claims = draw_claims(VECTORS[:5], LABELS[:5], PICTURES[:5], 1)
    assert claims is not None
    assert set(claims.kind) == {"true"}


def test_against_one_kind_of_false_claims() -> None:
    claims = draw_claims(VECTORS, LABELS, PICTURES, 2)
    assert claims is not None
    for kind in ("stranger", "forgery"):
        some = claims.against(kind)
        distances, same = some.decided_by("min")
        assert set(some.kind) == {"true", kind}
        assert np.count_nonzero(same) == claims.count("true")
        assert np.count_nonzero(~same) == claims.count(kind)
        assert distances.tolist() == [min(row) for row in some.distances.tolist()]


@given(st.lists(st.lists(st.floats(0, 2), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_rule_makes_one_distance_of_several(distances: list[list[float]]) -> None:
    spread = np.arange(len(distances)) / 8
    found = {rule: claim_distance(np.array(distances), spread, rule) for rule in RULES}
    assert found["min"].tolist() == [min(row) for row in distances]
    expected = [math.fsum(row) / 3 for row in distances]
    assert found["mean"] == pytest.approx(expected)
    assert found["relative"] == pytest.approx(np.array(expected) - spread)


@pytest.mark.parametrize("n_references", [1, 2, 5])
def test_the_spread_of_references_is_their_mean_distance(n_references: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n_references, 3)).astype(np.float32)
    gaps = [math.dist(one, other) for one in vectors.tolist() for other in vectors.tolist()]
    assert spread_of(vectors) == pytest.approx(math.fsum(gaps) / len(gaps))


def test_the_spread_of_many_references_is_that_of_some_from_end_to_end() -> None:
    vectors = np.arange(4000, dtype=np.float32)[:, None]
    assert spread_of(vectors) == pytest.approx(4000 / 3, rel=0.01)


@pytest.mark.parametrize("n_references", [2, 3])
def test_claims_have_the_spread_of_their_references(n_references: int) -> None:
    claims = draw_claims(VECTORS, LABELS, PICTURES, n_references)
    assert claims is not None
    for (_, enrolled), spread in zip(images_of(claims), claims.spread, strict=True):
        assert spread == pytest.approx(spread_of(VECTORS[sorted(enrolled)]))
