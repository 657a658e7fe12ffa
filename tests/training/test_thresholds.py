"""The thresholds for claims against loops over thresholds, and on a network's own validation."""

from dataclasses import replace

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.measures.claim_drawing import draw_claims
from siamese.measures.claims import REFERENCES
from siamese.measures.verification import pair_distances
from siamese.model.calibration import ClaimCalibration
from siamese.network.embedding import embed_images
from siamese.training.thresholds import calibrate, calibrate_claims, calibrate_network
from tests.support.tiny_training import load, new_network


def made_up(n_classes: int, per_class: int, forged: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings around the centres of their classes, forgeries a little aside; and labels."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, 8))
    genuine, fakes = (np.arange(n_classes).repeat(count) for count in (per_class, forged))
    vectors = centres[np.concatenate([genuine, fakes])]
    vectors = vectors + 0.7 * rng.normal(size=vectors.shape)
    vectors[len(genuine) :] += 0.5
    return vectors.astype(np.float32), np.concatenate([genuine, -1 - fakes])


def calibrated(vectors: np.ndarray, labels: np.ndarray) -> ClaimCalibration:
    found = calibrate_claims(vectors, labels, np.arange(len(labels)))
    assert found is not None
    return found


def rates(distances: list[float], same: list[bool], threshold: float) -> tuple[float, float]:
    unlike = [d for d, s in zip(distances, same, strict=True) if not s]
    like = [d for d, s in zip(distances, same, strict=True) if s]
    return sum(d <= threshold for d in unlike) / len(unlike), sum(
        d > threshold for d in like
    ) / len(like)


@pytest.mark.parametrize("forged", [0, 6])
def test_rule_and_thresholds_are_the_best_of_all(forged: int) -> None:
    vectors, labels = made_up(5, 12, forged)
    found = calibrated(vectors, labels)
    assert found.against == ("forgery" if forged else "stranger")
    assert found.references == REFERENCES
    gaps: dict[str, float] = {"min": 0, "mean": 0, "relative": 0}
    for place, number in enumerate(REFERENCES):
        claims = draw_claims(vectors, labels, np.arange(len(labels)), number)
        assert claims is not None
        chosen = np.isin(claims.kind, ["true", found.against])
        same = (claims.kind[chosen] == "true").tolist()
        each = claims.distances[chosen].tolist()
        means = [sum(row) / len(row) for row in each]
        spread = claims.spread[chosen].tolist()
        relative = [mean - less for mean, less in zip(means, spread, strict=True)]
        for rule, distances in (
            ("min", [min(row) for row in each]),
            ("mean", means),
            ("relative", relative),
        ):
            points = [rates(distances, same, cut) for cut in [-9.0, *distances[::40]]]
            # Where the rates meet, up to one step, their mean is the equal error rate.
            far, frr = min(points, key=lambda point: abs(point[0] - point[1]))
            gaps[rule] += (far + frr) / 2
            if rule != found.rule:
                continue
            at = rates(distances, same, found.threshold[place])
            assert at == pytest.approx((found.far[place], found.frr[place]))
            assert abs(at[0] - at[1]) <= min(abs(far - frr) for far, frr in points)
    assert found.rule == min(gaps, key=gaps.__getitem__)


def test_any_rule_may_be_the_best() -> None:
    # Classes of two kinds of images, with other classes between: to be near one of them is enough.
    rng = np.random.default_rng(0)
    labels = np.arange(4).repeat(20)
    vectors = rng.normal(size=(80, 8)) * 0.3
    vectors[np.arange(80), labels] += np.where(np.arange(80) % 2, 5, -5)
    assert calibrated(vectors.astype(np.float32), labels).rule == "min"
    assert calibrated(*made_up(5, 12)).rule == "mean"
    # Classes that spread more or less: what is far from an even one is near for an uneven one.
    spread = np.geomspace(0.1, 3, 12).repeat(20)
    centres = rng.normal(size=(12, 8)).repeat(20, axis=0)
    uneven = (4 * centres + spread[:, None] * rng.normal(size=(240, 8))).astype(np.float32)
    assert calibrated(uneven, np.arange(12).repeat(20)).rule == "relative"


@pytest.mark.parametrize("n_forged", [4, 5])
def test_forgeries_of_few_classes_do_not_decide(n_forged: int) -> None:
    vectors, labels = made_up(10, 12, 6)
    kept = labels >= -n_forged
    found = calibrated(vectors[kept], labels[kept])
    assert found.against == ("stranger" if n_forged == 4 else "forgery")
    if n_forged == 4:
        assert found == calibrated(vectors[labels >= 0], labels[labels >= 0])


def test_numbers_of_references_that_few_classes_have_are_left_out() -> None:
    vectors, labels = made_up(5, 12)
    # Of five classes, all have two images, three have six, and two have twelve.
    counts = [2, 2, 6, 12, 12]
    kept = np.concatenate([np.flatnonzero(labels == one)[: counts[one]] for one in range(5)])
    assert calibrated(vectors[kept], labels[kept]).references == (1, 3, 5)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0], [0, -1, -1]])
def test_without_claims_of_both_kinds_there_are_no_thresholds(labels: list[int]) -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert calibrate_claims(vectors, np.array(labels), np.arange(3)) is None


def test_exact_copies_change_nothing() -> None:
    vectors, labels = made_up(5, 12)
    pictures, twice = np.arange(60), np.tile(np.arange(60), 2)
    copied = calibrate_claims(vectors[twice], labels[twice], pictures[twice])
    assert copied == calibrated(vectors, labels)
    assert copied != calibrated(vectors[twice], labels[twice])


def test_the_embeddings_of_a_diverged_network_are_refused() -> None:
    vectors, labels = made_up(3, 4)
    with pytest.raises(InputError, match="not finite"):
        calibrate_claims(vectors * np.nan, labels, np.arange(12))


def test_a_network_is_calibrated_on_its_validation_split() -> None:
    data, network = load(1), new_network()
    found = calibrate_network(network, data)
    vectors = embed_images(network, data.validation_images)
    distances = pair_distances(vectors, *data.validation_pairs.T)
    assert replace(found, claims=None) == calibrate(distances, data.validation_same)
    assert found.claims == calibrated(vectors, data.validation_labels)
    assert found.claims.references == (1, 3), "each class has four images there"
