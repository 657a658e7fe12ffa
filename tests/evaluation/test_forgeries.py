"""What is reported of forgeries and claims, against plain loops and scikit-learn."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from siamese.base.errors import InputError
from siamese.evaluation.class_measurement import class_measurement
from siamese.evaluation.figures import figures_for
from siamese.evaluation.promises import promises
from siamese.evaluation.skilled_pairs import SkilledPairs, skilled_pairs
from siamese.measures.claim_drawing import Claims, draw_claims
from siamese.measures.verification import equal_error_rate, error_rates
from siamese.model.calibration import Calibration, ClaimCalibration, Curve
from tests.support.made_up_embeddings import THRESHOLDS, MadeUpSplit, params, with_forgeries

CLAIMS = ClaimCalibration("mean", (1, 3), (0.5, 1.0), (0.1, 0.2), (0.15, 0.25), "forgery")
CALIBRATION = Calibration(0.75, 0.5, Curve((0.0, 1.0), (0.0, 1.0), (1.0, 0.0)), CLAIMS)


def plain_skilled(made: MadeUpSplit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances, kinds and classes of all skilled pairs, image by image."""
    assert made.forged is not None
    assert made.pictures is not None
    genuine, forged = (
        list(zip(part.samples.tolist(), part.fine.tolist(), part.vectors, strict=True))
        for part in (made.queries, made.forged)
    )
    claimed = {label for _, label, _ in forged}
    like = [pair for pair in product(genuine, genuine) if pair[0][0] < pair[1][0]]
    found = [
        (math.dist(one, other), is_like, label)
        for pairs, is_like in ((like, True), (product(genuine, forged), False))
        for (first, label, one), (second, of, other) in pairs
        if label == of and label in claimed and made.pictures[first] != made.pictures[second]
    ]
    distances, same, labels = zip(*found, strict=True)
    return np.array(distances), np.array(same), np.array(labels)


def test_skilled_pairs_equal_a_plain_loop() -> None:
    made = with_forgeries()
    distances, same, labels = plain_skilled(made)
    found = made.evaluate()
    skilled = found.metrics["skilled"]
    assert skilled["auc"] == pytest.approx(roc_auc_score(same, -distances), abs=5e-5)
    assert skilled["eer"] == pytest.approx(equal_error_rate(distances, same), abs=5e-5)
    far, frr = error_rates(distances, same, THRESHOLDS.accuracy_threshold)
    assert skilled["accuracy"] == pytest.approx(1 - (far + frr) / 2, abs=5e-5)
    assert found.skilled is not None
    assert (found.skilled.like.sum(), found.skilled.unlike.sum()) == (same.sum(), (~same).sum())

    assert made.forged is not None
    assert made.pictures is not None
    shown = made.queries.with_forgeries(made.forged)
    pairs = skilled_pairs(shown.vectors, shown.fine, made.pictures[shown.samples])
    assert pairs is not None
    rows = zip(pairs.distances.round(5), pairs.same, pairs.labels, strict=True)
    assert sorted(rows) == sorted(zip(distances.round(5), same, labels, strict=True))


def test_the_pairs_to_draw_are_the_skilled_ones_by_sample() -> None:
    made = with_forgeries()
    assert made.forged is not None
    vectors = {
        sample: vector
        for part in (made.queries, made.forged)
        for sample, vector in zip(part.samples.tolist(), part.vectors, strict=True)
    }
    distances, same, _ = plain_skilled(made)
    pairs = made.evaluate().hard_pairs
    assert sorted(zip(pairs["distance"].round(5), pairs["same"], strict=True)) == sorted(
        zip(distances.round(5), same, strict=True)
    )
    for left, right, is_like, distance in pairs.itertuples(index=False):
        assert math.dist(vectors[left], vectors[right]) == pytest.approx(distance, abs=1e-5)
        assert is_like == (right not in made.forged.samples)
        assert left in made.queries.samples

    plain = MadeUpSplit().evaluate()
    pd.testing.assert_frame_equal(plain.hard_pairs, plain.per_pair)


def test_of_very_many_images_of_a_class_some_are_paired() -> None:
    labels = np.array([0] * 150 + [-1] * 120 + [1] * 3 + [-2])
    vectors = np.arange(274, dtype=np.float32)[:, None]
    found = skilled_pairs(vectors, labels, np.arange(274))
    assert found is not None
    assert found.same.sum() == 100 * 99 / 2 + 3
    assert (~found.same).sum() == 100 * 100 + 3
    like, unlike = (
        found.distances[(found.labels == 0) & kind] for kind in (found.same, ~found.same)
    )
    assert 0 < like.min() <= like.max() < 150
    assert 0 < unlike.min() <= unlike.max() < 270
    assert unlike.max() - unlike.min() > 200, "not of the first images alone"


def test_random_pairs_are_without_forgeries() -> None:
    made = with_forgeries()
    assert made.forged is not None
    found = made.evaluate()
    has_forgery = made.pairs[["left", "right"]].isin(made.forged.samples).any(axis=1)
    assert 3 < has_forgery.sum() < 9
    assert found.per_pair[["left", "right", "same"]].equals(made.pairs[~has_forgery])
    whole = made.pairs
    made.pairs = whole[~has_forgery]
    alone = made.evaluate()
    assert alone.metrics == found.metrics
    made.forged = None
    plain = made.evaluate()
    for topic in ("knn", "retrieval", "verification"):
        assert plain.metrics[topic] == found.metrics[topic]
    assert set(plain.metrics) == set(found.metrics) - {"skilled", "claims"}
    assert plain.skilled is None
    for name, interval in plain.details["intervals"].items():
        if not name.startswith("claims"):
            assert found.details["intervals"][name] == interval
    made.pairs = whole
    with pytest.raises(InputError, match="not of two queries"):
        made.evaluate()


def test_all_unlike_pairs_may_be_of_forgeries() -> None:
    made = with_forgeries()
    assert made.forged is not None
    has_forgery = made.pairs[["left", "right"]].isin(made.forged.samples).any(axis=1)
    made.pairs = made.pairs[has_forgery | made.pairs["same"]]
    found = made.evaluate()
    assert "verification" not in found.metrics
    assert found.metrics["skilled"]
    assert found.details["calibration"]["pairs"]["accuracy"]["done"]["far"] >= 0


def plain_rates(
    distances: list[float], same: list[bool], threshold: float
) -> tuple[float, float, float]:
    """EER, FAR and FRR."""
    found, kinds = np.array(distances), np.array(same)
    return equal_error_rate(found, kinds), *error_rates(found, kinds, threshold)


def test_claims_equal_plain_loops() -> None:
    made = with_forgeries()
    assert made.forged is not None
    assert made.pictures is not None
    found = made.evaluate()
    details = found.details["claims"]
    assert details["rule"] == "mean"
    assert details["references"] == [1, 3, 5]
    values = found.metrics["claims"] | details
    calibrated = made.calibration.claims
    assert calibrated is not None
    shown = made.queries.with_forgeries(made.forged)
    # Against five the threshold for three is what a claim would be decided by.
    for place, (number, at) in enumerate(((1, 0), (3, 1), (5, 1))):
        tried = draw_claims(shown.vectors, shown.fine, made.pictures[shown.samples], number)
        assert tried is not None
        assert details["classes"][place] == len({*tried.claimed.tolist()})
        for kind, name in (("forgery", "forgeries"), ("stranger", "strangers")):
            distances, same = [], []
            for row, found_kind in zip(tried.distances.tolist(), tried.kind, strict=True):
                if found_kind in ("true", kind):
                    distances.append(math.fsum(row) / number)
                    same.append(found_kind == "true")
            assert details[kind][place] == len(same) - sum(same)
            assert details["true"][place] == sum(same)
            eer, far, frr = plain_rates(distances, same, calibrated.threshold[at])
            assert values[f"eer_{name}_{number}"] == pytest.approx(eer, abs=5e-5)
            assert values[f"far_{name}_{number}"] == pytest.approx(far, abs=5e-5)
            assert values[f"frr_{number}"] == pytest.approx(frr, abs=5e-5)


def test_without_a_calibrated_threshold_claims_have_equal_error_rates_alone() -> None:
    details = MadeUpSplit().evaluate().details
    figures = {name for name in details["claims"] if name.endswith(("1", "3", "5"))}
    assert figures == {"eer_strangers_1", "eer_strangers_3", "eer_strangers_5"}
    assert "rule" not in details["claims"]
    assert set(details["calibration"]) == {"pairs"}


CLASSES = np.array([2, 5, 6, 9])
KINDS = ("true", "stranger", "forgery")


@st.composite
def tried(draw: st.DrawFn) -> Claims:
    """Claims against one reference, two of each kind or more, with ties."""
    n = draw(st.integers(0, 10))
    labels = st.lists(st.sampled_from(CLASSES.tolist()), min_size=n, max_size=n)
    claimed, others = np.array([2, 5, 2, 9, 6, 5, *draw(labels)]), [2, 5, 9, 2, 6, 5, *draw(labels)]
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=n, max_size=n))
    kind = np.array([*np.repeat(KINDS, 2), *kinds])
    own = np.where(kind == "stranger", others, claimed)
    kind = np.where((kind == "stranger") & (own == claimed), "true", kind)
    steps = draw(st.lists(st.integers(0, 4), min_size=n + 6, max_size=n + 6))
    return Claims(np.array(steps)[:, None] / 4, np.zeros(n + 6), claimed, own, kind)


@given(tried(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_weight_counts_as_that_many_classes(claims: Claims, drawn: list[int]) -> None:
    genuine = claims.kind != "stranger"
    skilled = SkilledPairs(
        np.zeros((genuine.sum(), 2), dtype=np.int64),
        claims.distances[genuine, 0],
        claims.kind[genuine] == "true",
        claims.claimed[genuine],
    )
    figures = figures_for(params())
    measure = class_measurement(figures, CLASSES, skilled, {1: claims}, CALIBRATION)
    found = measure(np.array(drawn, dtype=np.float64))
    times = dict(zip(CLASSES.tolist(), drawn, strict=True))
    rows: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for (distance,), claimed, own, kind in zip(
        claims.distances.tolist(), claims.claimed, claims.own, claims.kind, strict=True
    ):
        copies = times[claimed] * (times[own] if kind == "stranger" else 1)
        rows[kind] += [distance] * copies
    for kind, name in (("stranger", "strangers"), ("forgery", "forgeries")):
        names = [f"claims.{key}_{name}_1" for key in ("eer", "far")]
        if not rows["true"] or not rows[kind]:
            assert all(math.isnan(found[one]) for one in names)
            continue
        distances = rows["true"] + rows[kind]
        same = [True] * len(rows["true"]) + [False] * len(rows[kind])
        eer, far, frr = plain_rates(distances, same, 0.5)
        assert [found[one] for one in names] == pytest.approx([eer, far])
        if kind == "stranger":
            assert found["claims.frr_1"] == pytest.approx(frr)
        else:
            assert found["skilled.auc"] == pytest.approx(roc_auc_score(same, -np.array(distances)))
            assert found["skilled.eer"] == pytest.approx(eer)
            _, far, frr = plain_rates(distances, same, 0.75)
            assert found["skilled.accuracy"] == pytest.approx(1 - (far + frr) / 2)


def test_an_interval_drawn_class_by_class() -> None:
    made = with_forgeries()
    distances, same, labels = plain_skilled(made)
    found = made.evaluate().details
    assert found["bootstrap"]["unit"] == "test images; for `skilled` and `claims` classes"
    classes = np.unique(made.queries.fine)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(100):
        chosen = [np.flatnonzero(labels == classes[one]) for one in rng.integers(6, size=6)]
        rows = np.concatenate(chosen)
        if len(rows):
            drawn.append(roc_auc_score(same[rows], -distances[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found["intervals"]["skilled.auc"] == pytest.approx([low, high], abs=6e-5)


def test_what_was_promised_stands_beside_what_is_done() -> None:
    distances, same = np.array([0.4, 0.6, 0.8, 0.7]), np.array([True, True, True, False])
    kind = np.array(["true", "true", "forgery", "stranger"])
    one = np.array([[0.4], [0.6], [0.45], [0.2]])
    claims = {1: Claims(one, np.zeros(4), np.zeros(4, np.int64), np.array([0, 0, 0, 1]), kind)}
    found = promises(CALIBRATION, distances, same, claims)
    assert found == {
        "pairs": {
            "accuracy": {
                "threshold": 0.75,
                "promised": {"far": 0.75, "frr": 0.25},
                "done": {"far": 1.0, "frr": 0.3333},
            },
            "eer": {
                "threshold": 0.5,
                "promised": {"far": 0.5, "frr": 0.5},
                "done": {"far": 0.0, "frr": 0.6667},
            },
        },
        "against": "forgery",
        "claims": {
            "1": {
                "threshold": 0.5,
                "promised": {"far": 0.1, "frr": 0.15},
                "done": {"far": 1.0, "frr": 0.5},
            }
        },
    }, "the test split has no claims against three"
    no_forgery = {1: Claims(*(part[kind != "forgery"] for part in vars(claims[1]).values()))}
    assert promises(CALIBRATION, distances, same, no_forgery)["claims"] == {}
    without = promises(replace(CALIBRATION, claims=None), distances, same, claims)
    assert without == {"pairs": found["pairs"]}
