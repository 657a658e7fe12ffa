import numpy as np
import pytest
from sklearn.datasets import load_digits

from siamese.base.dataset import Dataset
from siamese.sources.canonical import canonical_order, content_hash
from siamese.sources.digits import read_digits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return read_digits()


def test_every_digit_is_there_once(digits: Dataset) -> None:
    assert digits.images.shape == (1797, 8, 8, 3)
    assert digits.images.dtype == np.uint8
    grey, labels = load_digits(return_X_y=True)
    source = digits.samples["file"].str.removeprefix("digits/").astype(int).to_numpy()
    assert sorted(source) == list(range(1797))
    assert (digits.fine() == labels[source]).all()
    assert digits.classes.fine == tuple("0123456789")
    assert digits.classes.coarse == ()
    assert digits.samples["coarse"].isna().all()
    assert digits.samples["coarse"].dtype == "Int64"
    back = digits.images.astype(float) * 16 / 255
    for channel in range(3):
        assert np.abs(back[..., channel].reshape(1797, 64) - grey[source]).max() < 0.04
    assert (digits.images.min(), digits.images.max()) == (0, 255)


def test_a_fifth_of_each_class_is_for_testing(digits: Dataset) -> None:
    is_test = digits.samples["split"] == "test"
    assert is_test.sum() == 360
    assert set(digits.samples["split"]) == {"train", "test"}
    for digit in range(10):
        share = is_test[digits.samples["fine"] == digit].mean()
        assert share == pytest.approx(0.2, abs=0.005)


def test_in_canonical_order_and_the_same_each_time(digits: Dataset) -> None:
    ordered = canonical_order(digits)
    assert (ordered.images == digits.images).all()
    assert ordered.samples.equals(digits.samples)
    assert content_hash(read_digits()) == content_hash(digits)
