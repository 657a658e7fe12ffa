"""Given test pairs and their folds, against plain loops and scikit-learn."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from siamese.evaluation.evaluate import Evaluation
from siamese.evaluation.folds import FoldedPairs, mean_accuracy, standard_error
from siamese.evaluation.result_files import save_per_pair
from siamese.measures.verification import equal_error_rate, error_rates
from tests.support.made_up_embeddings import NOVEL, THRESHOLDS, MadeUpSplit, with_forgeries


def plain_accuracy(rows: list[tuple[float, bool]], threshold: float) -> float:
    """The mean over both kinds of the share decided right."""
    right = {
        kind: [(d <= threshold) == kind for d, same in rows if same == kind] for kind in (0, 1)
    }
    return sum(sum(found) / len(found) for found in right.values()) / 2


def plain_folds(distances: np.ndarray, same: np.ndarray, folds: np.ndarray) -> list[float]:
    """Each fold by the lowest of the thresholds most accurate on the others; all are tried."""
    rows = list(zip(distances.tolist(), same.tolist(), folds.tolist(), strict=True))
    accuracies = []
    for fold in sorted({fold for *_, fold in rows}):
        own, others = ([(d, s) for d, s, f in rows if (f == fold) == is_own] for is_own in (1, 0))
        seen = sorted({d for d, _ in others})
        tried = [seen[0] / 2 or -1.0]
        tried += [(low + high) / 2 for low, high in pairwise(seen)]
        tried.append(seen[-1])
        best = max(tried, key=lambda threshold: round(plain_accuracy(others, threshold), 9))
        accuracies.append(plain_accuracy(own, best))
    return accuracies


@st.composite
def protocols(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances with ties, kinds and folds: both kinds in each of two folds or more."""
    n_folds = draw(st.integers(2, 4))
    folds = [*range(n_folds)] * 2 + draw(st.lists(st.integers(0, n_folds - 1), max_size=20))
    kinds = st.lists(st.booleans(), min_size=len(folds), max_size=len(folds))
    same = [True] * n_folds + [False] * n_folds + draw(kinds)[2 * n_folds :]
    steps = st.lists(st.integers(0, 8), min_size=len(folds), max_size=len(folds))
    return np.array(draw(steps)) / 4, np.array(same), np.array(folds)


@given(protocols())
def test_each_fold_is_decided_by_the_others(
    protocol: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    distances, same, folds = protocol
    images = np.arange(2 * len(folds)).reshape(2, -1)
    pairs = FoldedPairs(distances, same, images[0], images[1], folds)
    found = pairs.accuracies(np.ones(images.size))
    assert found is not None
    assert found.tolist() == pytest.approx(plain_folds(distances, same, folds))
    weights = np.ones(images.size)
    weights[images[0, same & (folds == 0)]] = 0
    assert pairs.accuracies(weights) is None, "no like pair in a fold"


def test_a_weight_counts_as_that_many_pairs() -> None:
    rng = np.random.default_rng(3)
    distances, same, folds = rng.random(60), rng.random(60) < 0.4, np.arange(60) % 3
    images = np.arange(120).reshape(2, -1)
    times = rng.integers(1, 4, 60)
    weights = np.ones(120)
    weights[images[0]] = times
    repeated = (part.repeat(times) for part in (distances, same, folds))
    found = FoldedPairs(distances, same, images[0], images[1], folds).accuracies(weights)
    assert found is not None
    assert found.tolist() == pytest.approx(plain_folds(*repeated))


def test_mean_and_standard_error_are_those_of_the_protocol() -> None:
    accuracies = np.array([0.9, 0.8, 1.0, 0.7])
    assert mean_accuracy(accuracies) == pytest.approx(0.85)
    deviations = [(one - 0.85) ** 2 for one in accuracies]
    assert standard_error(accuracies) == pytest.approx((sum(deviations) / 3) ** 0.5 / 4**0.5)


def unbalanced(made: MadeUpSplit, n_folds: int) -> pd.DataFrame:
    """Take pairs of test images, two of three unlike, with forgeries if there are any."""
    shown = made.queries.with_forgeries(made.forged) if made.forged else made.queries
    rng = np.random.default_rng(7)
    wanted = {True: 20, False: 40}
    rows = []
    while any(wanted.values()):
        left, right = rng.choice(len(shown.samples), 2, replace=False)
        same = bool(shown.fine[left] == shown.fine[right] and shown.fine[left] >= 0)
        if wanted[same]:
            wanted[same] -= 1
            fold = wanted[same] % n_folds
            rows.append((int(shown.samples[left]), int(shown.samples[right]), same, fold))
    table = pd.DataFrame(rows, columns=["left", "right", "same", "fold"])
    return table.astype({"fold": "int32"})


def check(made: MadeUpSplit, found: Evaluation) -> None:
    """Compare all that is reported of given pairs with what plain code finds."""
    pairs = found.per_pair
    pd.testing.assert_frame_equal(pairs.drop(columns="distance"), made.pairs)
    shown = made.queries.with_forgeries(made.forged) if made.forged else made.queries
    of_sample = dict(zip(shown.samples.tolist(), shown.vectors, strict=True))
    distances = np.array(
        [
            np.linalg.norm(of_sample[left].astype(float) - of_sample[right].astype(float))
            for left, right in made.pairs[["left", "right"]].itertuples(index=False)
        ]
    )
    np.testing.assert_allclose(pairs["distance"], distances, rtol=1e-6)
    same = made.pairs["same"].to_numpy()
    written = found.metrics["verification"]
    assert written["auc"] == pytest.approx(roc_auc_score(same, -distances), abs=5e-5)
    assert written["eer"] == pytest.approx(equal_error_rate(distances, same), abs=5e-5)
    far, frr = error_rates(distances, same, THRESHOLDS.accuracy_threshold)
    assert written["accuracy"] == pytest.approx(1 - (far + frr) / 2, abs=5e-5)
    details = found.details["verification"]
    assert details["pairs"] == "given"
    assert (details["like_pairs"], details["unlike_pairs"]) == (20, 40)
    # 40 unlike pairs carry no FAR of 1 %.
    assert not [name for name in details if name.startswith("tar_at")]
    for row in found.roc.itertuples():
        assert row.far == pytest.approx(np.mean(distances[~same] <= row.threshold), abs=1e-6)
        assert row.tar == pytest.approx(np.mean(distances[same] <= row.threshold), abs=1e-6)
    assert found.roc["far"].min() <= 1 / 40
    assert (found.distances["like"] > 0).sum() <= 20
    assert not [
        name
        for topic in ("seen", "novel")
        for name in found.metrics.get(topic, {})
        if name in ("auc", "eer", "accuracy")
    ]
    low, high = found.details["intervals"]["verification.auc"]
    assert low < written["auc"] < high


@pytest.mark.parametrize("made", [MadeUpSplit(), MadeUpSplit(NOVEL), with_forgeries()])
def test_given_pairs_are_measured_as_they_are(made: MadeUpSplit, tmp_path: Path) -> None:
    drawn = made.evaluate()
    made.pairs = unbalanced(made, 4)
    if made.forged:
        has_forgery = made.pairs[["left", "right"]].isin(made.forged.samples).any(axis=1)
        assert has_forgery.sum() > 3
    found = made.evaluate()
    check(made, found)
    folds = plain_folds(*(found.per_pair[name].to_numpy() for name in ("distance", "same", "fold")))
    written, details = found.metrics["verification"], found.details["verification"]
    assert written["accuracy_by_folds"] == pytest.approx(np.mean(folds), abs=5e-5)
    error = np.std(folds, ddof=1) / 2
    assert details["accuracy_by_folds_standard_error"] == pytest.approx(error, abs=5e-5)
    assert details["folds"] == 4
    low, high = found.details["intervals"]["verification.accuracy_by_folds"]
    assert low < written["accuracy_by_folds"] < high
    for topic in ("knn", "retrieval", "skilled", "claims"):
        assert found.metrics.get(topic) == drawn.metrics.get(topic), "pairs change nothing else"
    save_per_pair(found.per_pair, tmp_path / "pairs.parquet")
    read = pd.read_parquet(tmp_path / "pairs.parquet")
    assert read["fold"].dtype == np.int32
    assert read["fold"].tolist() == made.pairs["fold"].tolist()


def test_one_fold_has_no_accuracy_by_folds() -> None:
    made = MadeUpSplit()
    made.pairs = unbalanced(made, 1)
    found = made.evaluate()
    check(made, found)
    assert set(found.metrics["verification"]) == {"auc", "eer", "accuracy"}
    assert "folds" not in found.details["verification"]


def test_given_pairs_have_true_accepts_at_the_rates_that_they_carry() -> None:
    made = MadeUpSplit(n_queries=60)
    rows = np.array(np.triu_indices(60, 1)).T
    samples, fine = made.queries.samples, made.queries.fine
    made.pairs = pd.DataFrame(samples[rows], columns=["left", "right"]).assign(
        same=fine[rows[:, 0]] == fine[rows[:, 1]], fold=np.int32(0)
    )
    given = made.evaluate()
    made.pairs = made.pairs.drop(columns="fold")
    drawn = made.evaluate()
    # All pairs, given: then both are of the same.
    key = "tar_at_far_1%"
    assert given.details["verification"][key] == drawn.details["verification"][key]
    assert "tar_at_far_0.1%" in given.details["verification"]
    pd.testing.assert_frame_equal(given.roc, drawn.roc)
    pd.testing.assert_frame_equal(given.distances, drawn.distances)
    assert given.metrics == drawn.metrics
