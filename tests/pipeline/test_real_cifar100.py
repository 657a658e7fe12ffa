"""What is known about the real CIFAR-100, checked on a copy of it where there is one."""

import hashlib
import os
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from siamese.base.dataset import Dataset
from siamese.cli.schema import check_params
from siamese.measures.knn import nearest
from siamese.preparation.copies import identical_pairs
from siamese.preparation.labelled_images import raw_images
from siamese.preparation.prepare import prepare
from siamese.sources.canonical import content_hash
from siamese.sources.cifar100 import read_cifar100
from siamese.sources.registry import DATA_SETS, Fetched

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = Path(
    os.environ.get("SIAMESE_ARCHIVE") or ROOT.parent / "shared" / "cifar-100-python.tar.gz"
)


@pytest.fixture(scope="module")
def cifar100() -> Dataset:
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is no file; set SIAMESE_ARCHIVE to a copy of CIFAR-100's archive")
    return read_cifar100(ARCHIVE)


def test_it_is_the_real_one(cifar100: Dataset) -> None:
    row = DATA_SETS["cifar100"]
    assert isinstance(row, Fetched)
    assert content_hash(cifar100) == row.content


def test_counts(cifar100: Dataset) -> None:
    samples = cifar100.samples
    assert cifar100.images.shape == (60_000, 32, 32, 3)
    assert (len(cifar100.classes.fine), len(cifar100.classes.coarse)) == (100, 20)
    counts = samples.groupby(["split", "fine"]).size()
    assert set(counts.xs("train")) == {500}
    assert set(counts.xs("test")) == {100}
    assert set(samples.groupby("coarse")["fine"].nunique()) == {5}


def test_identical_images(cifar100: Dataset) -> None:
    groups = defaultdict(list)
    for row, image in enumerate(cifar100.images):
        groups[hashlib.sha256(image.tobytes()).digest()].append(row)
    pairs = [pair for rows in groups.values() for pair in combinations(rows, 2)]
    split, fine = cifar100.samples["split"], cifar100.samples["fine"]
    assert len(pairs) == 26
    assert sum(split[left] != split[right] for left, right in pairs) == 10
    assert sum(fine[left] != fine[right] for left, right in pairs) == 17


def test_four_file_names_occur_twice(cifar100: Dataset) -> None:
    names = Counter(cifar100.samples["file"])
    assert Counter(names.values()) == {1: 59_992, 2: 4}


def test_channel_statistics(cifar100: Dataset) -> None:
    images = cifar100.images[cifar100.rows("train")]
    for channel, (mean, std) in enumerate([(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)]):
        values = images[..., channel].ravel()
        counts = np.bincount(values, minlength=256) / len(values)
        levels = np.arange(256) / 255
        found = (counts * levels).sum()
        assert found == pytest.approx(mean, abs=5e-5)
        assert np.sqrt((counts * (levels - found) ** 2).sum()) == pytest.approx(std, abs=5e-5)


def test_prepared(cifar100: Dataset, tmp_path: Path) -> None:
    params = check_params(ROOT / "params.yaml").prepare
    prepared = prepare(raw_images(cifar100), tmp_path, params, image_size=32)
    counts = prepared.samples.groupby(["split", "fine"]).size()
    assert set(counts.xs("train")) == {450}
    assert set(counts.xs("validation")) == {50}
    assert identical_pairs(prepared.samples) == 26
    several, copied = prepared.notes
    assert "more than one label: 17 (34 images)" in several
    assert "exact copy in the gallery: 10 of 10,000" in copied


@pytest.mark.slow
def test_nearest_neighbours_of_raw_pixels_are_scikit_learns(cifar100: Dataset) -> None:
    """The floor of 3,072 dimensions: the same vote as another classifier's, query by query."""
    pixels = cifar100.images.reshape(len(cifar100.images), -1).astype(np.float32)
    train, test = cifar100.rows("train"), cifar100.rows("test")[::20]
    labels = cifar100.fine()
    rows, _ = nearest(pixels[train], pixels[test], k=5)
    classifier = KNeighborsClassifier(5, algorithm="brute").fit(pixels[train], labels[train])
    # Its tied votes go to the lowest label.
    lowest = [np.bincount(voters).argmax() for voters in labels[train][rows]]
    assert lowest == classifier.predict(pixels[test]).tolist()
