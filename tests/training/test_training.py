"""Training on sets so small that everything about it can be checked."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from siamese.base.errors import InputError
from siamese.measures.verification import pair_distances
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import SiameseNetwork
from siamese.training import training_data
from siamese.training.batches import Batches
from siamese.training.early_stopping import EpochRecord, Pace, Trained, train_network
from siamese.training.objective import Contrastive, Figures
from siamese.training.resume import ResumeFile
from siamese.training.training_data import Images
from tests.support.tiny_training import (
    CPU,
    N_CLASSES,
    NO_CHANGES,
    data_of,
    load,
    new_network,
    new_trainer,
    pairs_of,
    params,
    tiny_dataset,
    train,
)


@pytest.mark.parametrize("mining", ["none", "batch"])
@pytest.mark.parametrize("proxy_weight", [0.0, 2.0])
def test_pulls_same_together_and_pushes_different_apart_to_the_margin(
    tmp_path: Path, mining: str, proxy_weight: float
) -> None:
    _, trained = train(tmp_path, 25, mining=mining, proxy_weight=proxy_weight, margin=0.8)
    first, last = trained.history[0], trained.history[-1]
    assert last.figures["loss"] < 0.1 * first.figures["loss"]
    assert last.figures["like_distance"] < 0.15
    assert last.figures["unlike_distance"] > 0.75
    assert last.figures["validation_knn"] == 1


def test_supervised_contrastive_learns_too(tmp_path: Path) -> None:
    _, trained = train(tmp_path, 25, loss="supervised_contrastive", monitor="loss")
    first, last = trained.history[0].figures, trained.history[-1].figures
    assert last["like_distance"] < 0.3 < 1 < last["unlike_distance"]
    assert last["validation_loss"] < 0.9 * first["validation_loss"]
    assert last["validation_knn"] == 1
    assert "active_unlike" not in last, "it has no margin"


@pytest.mark.parametrize("turned", [False, True])
def test_labels_turned_round_separate_no_classes(tmp_path: Path, turned: bool) -> None:
    """With y = 1 for different classes these are pulled together."""
    data = load(25)
    told = replace(data, same=data.same ^ turned, validation_same=data.validation_same ^ turned)
    # By the loss a late epoch is the best, by k-NN one before much has been learned.
    network, _ = train(tmp_path, told, mining="none", margin=0.8, monitor="loss")
    embeddings = embed_images(network, data.validation_images)
    distances = pair_distances(embeddings, *data.validation_pairs.T)
    like, unlike = (distances[data.validation_same == kind].mean() for kind in (True, False))
    assert (like < unlike / 4) != turned


@pytest.mark.parametrize("mining", ["none", "batch"])
@pytest.mark.parametrize("proxy_weight", [0.0, 2.5])
def test_figures_of_a_batch_equal_a_plain_loop(
    tmp_path: Path, mining: str, proxy_weight: float
) -> None:
    data = load(1)
    data = replace(data, batches=data.batches[:, :1], same=data.same[:, :1])
    network = new_network()
    index = data.batches[0, 0].T.reshape(-1)
    with torch.no_grad():
        embeddings = network.encode(data.images[index].permute(0, 3, 1, 2)).double().numpy()
    labels = data.labels.numpy()
    half = len(index) // 2
    if mining == "none":
        pairs = [(i, half + i) for i in range(half)]
    else:
        pairs = [
            (i, j)
            for i in range(len(index))
            for j in range(i + 1, len(index))
            if index[i] != index[j]
        ]
    like: list[float] = []
    unlike: list[float] = []
    for i, j in pairs:
        kind = like if labels[index[i]] == labels[index[j]] else unlike
        kind.append(math.dist(embeddings[i], embeddings[j]))
    margin, weight = 1.2, 0.3

    def expected_loss(like: list[float], unlike: list[float], all_count: bool) -> float:
        pull = np.mean([weight * distance**2 / 2 for distance in like])
        counted = [distance for distance in unlike if all_count or distance < margin]
        push = np.mean([max(0, margin - distance) ** 2 / 2 for distance in counted])
        return float(pull + push) / 2

    # Where all pairs of a kind are taken the unlike ones within the margin count alone.
    loss = expected_loss(like, unlike, all_count=mining == "none")
    if proxy_weight:
        objective = Contrastive(params(proxy_weight=1.0), N_CLASSES, network)
        points = objective.proxies.detach().double().numpy()
        own: list[float] = []
        other: list[float] = []
        for position, embedding in zip(index, embeddings, strict=True):
            for label, point in enumerate(points):
                kind = own if labels[position] == label else other
                kind.append(math.dist(embedding, point / np.linalg.norm(point)))
        loss = (loss + proxy_weight * expected_loss(own, other, all_count=False)) / 3.5

    changes: dict[str, Any] = {
        "mining": mining,
        "proxy_weight": proxy_weight,
        "like_weight": weight,
    }
    _, trained = train(tmp_path, data, network_like(network), margin=margin, **changes)
    record = trained.history[0]
    assert record.figures["loss"] == pytest.approx(loss, rel=1e-4)
    assert record.figures["like_distance"] == pytest.approx(np.mean(like), rel=1e-4)
    assert record.figures["unlike_distance"] == pytest.approx(np.mean(unlike), rel=1e-4)
    active = np.mean(np.array(unlike) < margin)
    assert record.figures["active_unlike"] == pytest.approx(active, abs=1e-6)
    centre = embeddings.mean(axis=0)
    spread = math.sqrt(np.mean(((embeddings - centre) ** 2).sum(axis=1)))
    assert record.figures["spread"] == pytest.approx(spread, rel=1e-4)


def network_like(network: SiameseNetwork) -> SiameseNetwork:
    """A network of the same initial weights and untouched statistics."""
    fresh = new_network()
    assert all(
        torch.equal(a, b) for a, b in zip(fresh.parameters(), network.parameters(), strict=True)
    )
    return fresh


def test_an_interrupted_run_ends_with_the_same_bits_as_one_that_was_not(tmp_path: Path) -> None:
    augment = {**NO_CHANGES, "flip": True, "crop": 1, "cutout": 2}
    changes: dict[str, Any] = {"augment": augment, "proxy_weight": 1.0}
    whole, expected = train(tmp_path / "whole", 5, **changes)

    class Killed(Exception):
        pass

    def kill_at_three(record: EpochRecord, pace: Pace) -> None:
        if record.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "broken", 5, on_epoch=kill_at_three, **changes)
    epochs_run = []
    resumed, found = train(
        tmp_path / "broken",
        5,
        on_epoch=lambda record, _: epochs_run.append(record.epoch),
        **changes,
    )
    assert epochs_run == [4, 5], "it goes on after the last completed epoch"
    assert found == expected
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_stops_when_patience_runs_out_and_restores_the_best_weights(tmp_path: Path) -> None:
    states = []
    network = new_network()

    def keep(record: EpochRecord, pace: Pace) -> None:
        states.append({name: value.clone() for name, value in network.state_dict().items()})

    # Nothing improves by 2, so the first epoch stays the best.
    _, trained = train(tmp_path, 9, network, keep, patience=3, min_delta=2.0)
    assert len(trained.history) == 4
    assert trained.stopped_early
    assert trained.best_epoch == 1
    assert all(torch.equal(states[0][name], value) for name, value in network.state_dict().items())
    assert not torch.equal(states[0]["encoder.0.weight"], states[3]["encoder.0.weight"])


def test_what_is_dropped_at_random_is_dropped_again_in_a_resumed_run(tmp_path: Path) -> None:
    """Some networks have dropout: the numbers that it draws are no part of the saved state."""

    def with_dropout() -> SiameseNetwork:
        network = new_network()
        network.encoder.append(nn.Dropout(0.4))  # type: ignore[operator]
        return network

    def kill(record: EpochRecord, pace: Pace) -> None:
        raise KeyboardInterrupt

    whole, expected = train(tmp_path / "whole", 3, with_dropout())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", 3, with_dropout(), kill)
    torch.rand(7)
    resumed, found = train(tmp_path / "broken", 3, with_dropout())
    assert found == expected
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("monitor", ["knn", "loss", "eer"])
def test_the_best_epoch_is_the_one_of_the_monitored_figure(tmp_path: Path, monitor: str) -> None:
    _, trained = train(tmp_path, 6, monitor=monitor)
    figures = [record.figures[f"validation_{monitor}"] for record in trained.history]
    best = np.argmax(figures) if monitor == "knn" else np.argmin(figures)
    assert trained.best_epoch == 1 + int(best)
    assert not trained.stopped_early


def test_a_larger_like_weight_pulls_like_pairs_closer(tmp_path: Path) -> None:
    _, light = train(tmp_path / "light", 4, like_weight=0.01)
    _, heavy = train(tmp_path / "heavy", 4, like_weight=2.0)
    assert heavy.history[-1].figures["like_distance"] < light.history[-1].figures["like_distance"]


def test_test_samples_are_never_loaded() -> None:
    dataset = tiny_dataset()
    data = load(1)
    loaded = {image.tobytes() for image in data.images[:].numpy()}
    loaded |= {image.tobytes() for image in data.validation_images[:].numpy()}
    for row in dataset.rows("test"):
        assert dataset.images[row].tobytes() not in loaded
    assert len(loaded) == len(dataset.rows("train", "validation"))


def test_positions_lead_back_to_the_samples_of_the_manifest() -> None:
    dataset = tiny_dataset()
    manifest = pairs_of(dataset, "train", 2)
    data = load(2)
    assert data.batches.shape == (2, 3, len(manifest) // 6, 2)
    ends = data.batches.reshape(-1, 2)
    samples = manifest[["left", "right"]].to_numpy()
    for positions, numbers in zip(ends, samples, strict=True):
        assert np.array_equal(data.images[positions], dataset.images[numbers])
        assert np.array_equal(data.labels[positions], dataset.fine()[numbers])


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    expected = (
        r"the loss became .* in epoch \d.*`train\.learning_rate`, 1e\+30 or .*_rest`, 0\.01: try"
    )
    with pytest.raises(InputError, match=expected):
        train(tmp_path, 3, new_network(normalize=False), learning_rate=1e30, margin=1e30)


def test_a_gpu_without_memory_is_told_what_to_lower(tmp_path: Path) -> None:
    def fail(batches: Batches, number: int) -> Figures:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")

    trainer = new_trainer(load(1))
    trainer.take_step = fail
    expected = r"images_at_once` all: lower `train\.images_at_once` first.*\(CUDA out of memory\)"
    with pytest.raises(InputError, match=expected):
        train_network(trainer, ResumeFile(tmp_path, "run"))


def test_an_unreachable_margin_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`train\.margin` is 2\.5"):
        train(tmp_path, 1, margin=2.5)


def test_half_precision_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'fp16', which needs CUDA"):
        train(tmp_path, 1, precision="fp16")


def test_bf16_learns_too(tmp_path: Path) -> None:
    _, trained = train(tmp_path, 20, precision="bf16", margin=0.8)
    last = trained.history[-1].figures
    assert last["like_distance"] < 0.3 < last["unlike_distance"]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "auto"])
@pytest.mark.parametrize("architecture", ["conv4", "resnet9", "resnet18"])
def test_trains_embeds_and_resumes_on_cuda(
    tmp_path: Path, cuda: torch.device, precision: str, architecture: str
) -> None:
    dataset = tiny_dataset(times=2)  # conv4 needs 16 pixels
    data = data_of(dataset, 20, cuda)
    changed = params(precision=precision, margin=0.8)

    def run(folder: Path, stop_after: int | None = None) -> tuple[SiameseNetwork, Trained]:
        network = new_network(architecture=architecture, size=16).to(cuda)

        def stop(record: EpochRecord, pace: Pace) -> None:
            if record.epoch == stop_after:
                raise KeyboardInterrupt

        trainer = new_trainer(data, network, changed)
        return network, train_network(trainer, ResumeFile(folder, "run"), stop)

    network, trained = run(tmp_path / "whole")
    last = trained.history[-1]
    assert last.figures["like_distance"] < 0.3 < last.figures["unlike_distance"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_after=3)
    _, resumed = run(tmp_path / "broken")
    assert len(resumed.history) == 20
    embeddings = embed_images(network, dataset.images, batch_size=10)
    assert np.isfinite(embeddings).all()


def test_images_in_their_file_train_to_the_same_bits(tmp_path: Path) -> None:
    dataset = tiny_dataset()
    np.save(tmp_path / "images.npy", dataset.images)
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", mode="r")
    weights = []
    for images in (dataset.images, mapped):
        data = data_of(replace(dataset, images=images), 2, CPU)
        network, _ = train(tmp_path, data)
        (tmp_path / "run.pt").unlink()
        weights.append(network.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_images_are_read_by_position_and_part_by_part() -> None:
    pixels = np.arange(7 * 12, dtype=np.uint8).reshape(7, 2, 2, 3)
    rows = np.array([1, 4, 5, 6])
    images = Images.of(pixels, rows, CPU)
    assert len(images) == 4
    assert images.size == (2, 2)
    assert np.array_equal(images[torch.tensor([3, 0, 0])], pixels[[6, 1, 1]])
    assert np.array_equal(images[np.array([2])], pixels[[5]])
    assert np.array_equal(images[1:3], pixels[[4, 5]])
    some = images.some(slice(1, 4)).some(torch.tensor([2, 0]))
    assert np.array_equal(some[:], pixels[[6, 4]])


def test_a_gpu_without_room_trains_from_host_memory_to_the_same_bits(
    tmp_path: Path, cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tiny_dataset()
    weights = []
    for room in (2**40, 0):
        monkeypatch.setattr(training_data, "room_on", lambda device, room=room: room)
        data = data_of(dataset, 3, cuda)
        assert data.images.pixels.is_cuda == (room > 0)
        network = new_network().to(cuda)
        trained = train_network(new_trainer(data, network), ResumeFile(tmp_path, f"{room}"))
        weights.append((network.state_dict(), trained.history))
    for name, value in weights[0][0].items():
        assert torch.equal(value, weights[1][0][name]), name
    assert weights[0][1] == weights[1][1]


def test_classes_that_training_has_not_are_judged_among_themselves(tmp_path: Path) -> None:
    """As with `prepare.split_by: class`: the figure equals a plain loop over the others."""
    dataset = tiny_dataset()
    samples = dataset.samples.copy()
    is_red = samples["fine"] == 0
    samples.loc[is_red & (samples["split"] == "train"), "split"] = "unused"
    changed = replace(dataset, samples=samples)
    data = data_of(changed, 1, CPU)
    assert data.n_classes == 2
    assert set(data.labels.tolist()) == {0, 1}
    assert set(data.validation_labels.tolist()) == {0, 1, 2}
    network = new_network()
    found = new_trainer(data, network).validate()["validation_knn"]
    vectors = embed_images(network, data.validation_images, 10).astype(np.float64)
    right = 0
    for row, vector in enumerate(vectors):
        gaps = np.linalg.norm(vectors - vector, axis=1)
        gaps[row] = np.inf
        right += data.validation_labels[gaps.argmin()] == data.validation_labels[row]
    assert found == pytest.approx(right / len(vectors))
