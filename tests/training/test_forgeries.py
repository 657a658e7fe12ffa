"""Training with forgeries: what is laid out and measured, and the way from files to a network."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from siamese.base.dataset import Dataset, is_forged, load_dataset
from siamese.measures.verification import equal_error_rate
from siamese.network.embedding import embed_images
from siamese.pairs.drawing import draw_fixed, draw_training
from siamese.preparation.labelled_images import folder_images
from siamese.preparation.prepare import prepare
from siamese.training.training_data import TrainingData
from tests.support.listed import listed
from tests.support.made_up_samples import made_params
from tests.support.prepare_params import params as prepare_params
from tests.support.tiny_training import CPU, SIZE, new_network, new_trainer, params, tiny_dataset
from tests.support.tiny_training import train as train_on

PAIRS = made_params(batch_size=12, batches_per_epoch=3, epochs=15)


@pytest.fixture
def dataset() -> Dataset:
    """Of four samples of each class and split the last is a forgery."""
    dataset = tiny_dataset()
    samples = dataset.samples
    samples["duplicate_of"] = pd.array([pd.NA] * len(samples), dtype="Int64")
    samples["forged"] = samples.groupby(["split", "fine"]).cumcount() == 3
    return dataset


def manifests(dataset: Dataset, **changes: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    changed = PAIRS.model_copy(update=changes)
    return draw_training(dataset, changed), draw_fixed(dataset, "validation", changed)


def test_positions_lead_back_to_forgeries_and_labels_to_what_they_pretend_to_be(
    dataset: Dataset,
) -> None:
    dataset.samples.loc[dataset.samples["fine"] == 1, "split"] = "test"  # classes are renumbered
    training, fixed = manifests(dataset, classes_per_batch=2)
    data = TrainingData.of(dataset, training, fixed, CPU)
    assert data.n_classes == 2
    assert (data.n_genuine, len(data.images), len(data.validation_images)) == (6, 8, 8)
    number, right = {0: 0, 2: 1}, training["right"]
    expected = np.array([number[fine] for fine in dataset.fine()[right]])
    of_claim = np.where(is_forged(dataset.samples)[right], -1 - expected, expected).tolist()
    positions = data.batches.reshape(-1, 2)
    assert data.labels[positions[:, 1]].tolist() == of_claim
    assert min(of_claim) == -2
    for ends, table, images in (
        (positions, training, data.images),
        (data.validation_pairs, fixed, data.validation_images),
    ):
        rows = table[["left", "right"]].to_numpy()
        assert np.array_equal(images[ends.ravel()], dataset.images[rows.ravel()])
    genuine = dataset.images[dataset.rows("train")] / 255
    assert data.channel_mean == pytest.approx(genuine.mean(axis=(0, 1, 2)))


def test_forgeries_of_classes_that_training_has_not_have_labels_of_their_own(
    dataset: Dataset,
) -> None:
    samples = dataset.samples
    samples.loc[(samples["fine"] == 0) & (samples["split"] == "train"), "split"] = "unused"
    data = TrainingData.of(dataset, *manifests(dataset, classes_per_batch=2), CPU)
    assert sorted(data.validation_labels[9:].tolist()) == [-3, -2, -1]
    assert sorted(set(data.validation_labels[:9].tolist())) == [0, 1, 2]
    assert data.labels.tolist().count(-3) == 0


@pytest.mark.parametrize("is_seen", [True, False])
def test_validation_asks_of_pairs_with_forgeries_and_classifies_none(
    dataset: Dataset, is_seen: bool
) -> None:
    """The figures equal plain loops."""
    if not is_seen:
        samples = dataset.samples
        samples.loc[(samples["fine"] == 0) & (samples["split"] == "train"), "split"] = "unused"
    training, fixed = manifests(dataset, classes_per_batch=2)
    data = TrainingData.of(dataset, training, fixed, CPU)
    network = new_network()
    trainer = new_trainer(data, network, params(monitor_k=1))
    assert trainer.gallery.tolist() == [*range(data.n_genuine)]
    found = trainer.validate()
    vectors = embed_images(network, dataset.images, 10).astype(np.float64)
    queries, fine = dataset.rows("validation"), dataset.fine()
    right = 0
    for row in queries:
        others = dataset.rows("train") if is_seen else queries[queries != row]
        gaps = np.linalg.norm(vectors[others] - vectors[row], axis=1)
        right += fine[others[gaps.argmin()]] == fine[row]
    assert found["validation_knn"] == pytest.approx(right / len(queries))
    left, right_ends = (vectors[fixed[side]] for side in ("left", "right"))
    gaps = np.linalg.norm(left - right_ends, axis=1)
    forged = is_forged(dataset.samples)[fixed["right"]]
    assert forged.sum() == 3
    like = fixed["same"].to_numpy()
    assert not (like & forged).any()
    assert found["validation_eer"] == pytest.approx(equal_error_rate(gaps, like), abs=1e-6)


def save_pictures(folder: Path) -> Path:
    """Three writers, by colour, and forgeries that lack the mark in their corner."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("ann", "bob", "cy")):
        for number in range(20):
            pixels = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
            pixels[..., label] += 100
            is_genuine = number < 12
            pixels[:3, :3] = 255 if is_genuine else 0
            place = folder / (name if is_genuine else f"{name}_forg")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
    return folder


def test_from_files_to_a_network_that_tells_forgeries_apart(tmp_path: Path) -> None:
    images = folder_images(listed(save_pictures(tmp_path / "pictures"), forged_suffix="_forg"))
    prepared, pairs = tmp_path / "prepared", tmp_path / "pairs"
    prepared.mkdir()
    pairs.mkdir()
    shares = prepare_params(test=0.3, validation=0.3)
    summary = prepare(images, prepared, shares, image_size=SIZE).summary()
    assert ", and 24 forged; 0 identical" in summary[-1]
    dataset = load_dataset(prepared)
    for split, table in zip(("train", "validation"), manifests(dataset), strict=True):
        table.to_parquet(pairs / f"{split}.parquet", index=False)
    data = TrainingData.load(prepared, pairs, CPU)
    # By the loss a late epoch is the best, by the equal error rate the first without an error.
    network, trained = train_on(tmp_path, data, mining="none", monitor="loss", margin=0.8)
    assert trained.history[-1].figures["validation_eer"] < 0.1
    test = draw_fixed(dataset, "test", PAIRS)
    vectors = embed_images(network, dataset.images, 10).astype(np.float64)
    gaps = np.linalg.norm(vectors[test["left"]] - vectors[test["right"]], axis=1)
    forged, like = is_forged(dataset.samples)[test["right"]], test["same"].to_numpy()
    assert gaps[forged].mean() > 2 * gaps[like].mean()
