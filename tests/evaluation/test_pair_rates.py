"""The rates of weighted pairs against `siamese.measures.verification` on pairs written out."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siamese.evaluation import pair_rates
from siamese.evaluation.pair_rates import WeightedPairs
from siamese.measures.verification import auc, equal_error_rate, error_rates

N_IMAGES = 6


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distances with ties, `same` of both kinds, and the two images of each pair."""
    n = draw(st.integers(2, 15))
    columns = [
        draw(st.lists(values, min_size=n, max_size=n))
        for values in (
            st.integers(0, 5),
            st.booleans(),
            st.integers(0, N_IMAGES - 1),
            st.integers(0, N_IMAGES - 1),
        )
    ]
    distances, same, left, right = map(np.array, columns)
    assume(0 < same.sum() < n)
    return distances / 4, same, left, right


def measured(pairs: WeightedPairs, weights: np.ndarray) -> list[float]:
    """AUC, EER and accuracy of a draw, not numbers where it leaves nothing to measure."""
    rates = pairs.rates(weights)
    if rates is None:
        return [np.nan] * 3
    return [
        pair_rates.area_under_roc(rates),
        pair_rates.equal_error_rate(rates),
        pair_rates.accuracy(rates),
    ]


def expected(distances: np.ndarray, same: np.ndarray, threshold: float) -> list[float]:
    false_accepts, false_rejects = error_rates(distances, same, threshold)
    accuracy = 1 - (false_accepts + false_rejects) / 2
    return [auc(distances, same), equal_error_rate(distances, same), accuracy]


@given(pairs(), st.sampled_from([-1.0, 0.0, 0.5, 0.6, 2.0]))
def test_with_every_weight_one_they_are_the_plain_figures(
    drawn: tuple[np.ndarray, ...], threshold: float
) -> None:
    distances, same, left, right = drawn
    pairs = WeightedPairs(distances, same, left, right, threshold)
    found, right_ones = measured(pairs, np.ones(N_IMAGES)), expected(distances, same, threshold)
    assert found[0] == pytest.approx(right_ones[0])
    assert found[1:] == right_ones[1:], "to the last bit"


@given(pairs(), st.lists(st.integers(0, 3), min_size=N_IMAGES, max_size=N_IMAGES))
def test_a_weight_counts_as_that_many_images(
    drawn: tuple[np.ndarray, ...], drawn_weights: list[int]
) -> None:
    distances, same, left, right = drawn
    weights = np.array(drawn_weights)
    copies = weights[left] * weights[right]
    pairs = WeightedPairs(distances, same, left, right, 0.6)
    found = measured(pairs, weights.astype(np.float64))
    written_out, kind = np.repeat(distances, copies), np.repeat(same, copies)
    if 0 < kind.sum() < len(kind):
        assert list(found) == pytest.approx(expected(written_out, kind, 0.6))
    else:
        assert np.isnan(found).all()


@pytest.mark.slow
def test_drawing_images_is_never_too_sure_where_drawing_pairs_is() -> None:
    """How far do the figures of new sets of pairs, images and all, really scatter?"""
    rng = np.random.default_rng(0)
    n_images, n_pairs = 200, 1000  # ten pairs per image
    points, by_images, by_pairs = [], [], []
    for _ in range(150):
        left, right = rng.integers(n_images, size=(2, n_pairs))
        same = rng.random(n_pairs) < 0.5
        hard = rng.normal(size=n_images)  # an image's own share in the distances of its pairs
        noise = rng.normal(size=n_pairs)
        distances = np.where(same, 0.0, 2.0) + hard[left] + hard[right] + noise
        together = WeightedPairs(distances, same, left, right, 1.0)
        points.append(measured(together, np.ones(n_images)))
        numbers = np.arange(n_pairs)
        alone = WeightedPairs(distances, same, numbers, np.full(n_pairs, n_pairs), 1.0)
        images, single = [], []
        for _ in range(60):
            drawn = np.bincount(rng.integers(n_images, size=n_images), minlength=n_images)
            images.append(measured(together, drawn.astype(np.float64)))
            drawn = np.bincount(rng.integers(n_pairs, size=n_pairs), minlength=n_pairs)
            single.append(measured(alone, np.append(drawn, 1).astype(np.float64)))
        by_images.append(np.std(images, axis=0))
        by_pairs.append(np.std(single, axis=0))
    truth = np.std(points, axis=0)
    assert (np.mean(by_images, axis=0) > 0.95 * truth).all()
    assert (np.mean(by_images, axis=0) < 2 * truth).all()
    assert (np.mean(by_pairs, axis=0)[[0, 1]] < 0.9 * truth[[0, 1]]).all()
