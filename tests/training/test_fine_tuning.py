"""Fine-tuning a network of timm, against plain loops with PyTorch's own optimisers."""

import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from siamese.base.errors import InputError
from siamese.base.weights_folder import save_weights
from siamese.model.folder import load_model
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.early_stopping import EpochRecord, Pace
from siamese.training.frozen_backbone import check_freeze
from siamese.training.objective import PairedBatch
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData
from tests.support.timm_weights import made_up_weights
from tests.support.tiny_training import NO_CHANGES, load, new_network, new_trainer, params, train
from tests.support.workspace import Workspace

TUNED: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.002,
    "learning_rate_rest": 0.02,
    "weight_decay": 5.0,  # so much that it shows
    "proxy_weight": 1.0,
}


def pretrained(**changes: Any) -> SiameseNetwork:
    """A network of timm whose batch norms have met other images."""
    network = new_network(architecture="timm/test_efficientnet", **changes)
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.2, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return network


def plainly_trained(trainer: Trainer, data: TrainingData, frozen: bool) -> nn.Module:
    """Do in a plain loop, with copies, what the trainer is to do; return the network."""
    network, objective = deepcopy(trainer.network), deepcopy(trainer.objective)
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    head = {*network.head.parameters(), *objective.parameters()}
    slow = [weight for weight in network.parameters() if weight not in head]
    groups = [
        {"params": [w for w in part if (w.ndim > 1) == decays], "weight_decay": 5.0 * decays}
        for part in ([*head], slow)
        for decays in (True, False)
    ]
    rates = [0.02, 0.02, *([0.0, 0.0] if frozen else [0.002, 0.002])]
    optimizer = torch.optim.AdamW(groups)
    steps = data.batches.shape[0] * data.batches.shape[1]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    for pairs, same in zip(
        data.batches.reshape(steps, -1, 2), data.same.reshape(steps, -1), strict=True
    ):
        index = torch.from_numpy(pairs.T.reshape(-1))
        embeddings = network.encode(data.images[index].permute(0, 3, 1, 2))
        known = PairedBatch(data.labels[index], index, torch.tensor(same))
        loss, _ = objective(embeddings, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule.last_epoch < steps - 1:
            schedule.step()
    return network


@pytest.mark.parametrize("freeze", ["statistics", "backbone"])
def test_fine_tuning_equals_a_plain_loop(freeze: str) -> None:
    data, network = load(2), pretrained()
    if freeze == "statistics":
        # Adam's first steps follow the signs of gradients: rounding would turn small ones over.
        network.double()
    trainer = new_trainer(data, network, params(freeze=freeze, **TUNED))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    expected = plainly_trained(trainer, data, frozen=freeze == "backbone").state_dict()
    for epoch in range(2):
        trainer.train_epoch(epoch)
    weights = dict(trainer.network.named_parameters())
    for name, value in trainer.network.state_dict().items():
        if name in weights and (freeze == "statistics" or ".head." in name):
            moved = (expected[name] - before[name]).norm()
            assert moved > 0, name
            assert (value - expected[name]).norm() < 0.05 * moved, name
        else:
            assert torch.equal(value, before[name]), name


def test_statistics_move_unless_they_are_frozen() -> None:
    trainer = new_trainer(load(1), pretrained(), params(**TUNED))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.train_epoch(0)
    moved = [not torch.equal(v, before[n]) for n, v in trainer.network.state_dict().items()]
    assert sum(moved) > 0.9 * len(moved)


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit"])
def test_muon_trains_networks_of_timm(architecture: str) -> None:
    """Convolutions of single channels, and of patches; linear layers are AdamW's."""
    network = new_network(architecture=f"timm/{architecture}", size=32)
    trainer = new_trainer(load(1, times=4), network, params(learning_rate=0.005))
    before = {name: value.clone() for name, value in network.named_parameters()}
    figures = trainer.train_epoch(0)
    assert figures is not None
    assert np.isfinite(figures["loss"])
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert not still


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_a_frozen_backbone_validates_as_the_whole_network(mirror: bool, flip: bool) -> None:
    network = pretrained(mirror=mirror)
    augment = {**NO_CHANGES, "flip": flip}
    trainer = new_trainer(load(1), network, params(freeze="backbone", augment=augment, **TUNED))
    trainer.train_epoch(0)
    whole = new_trainer(load(1), network, params(**TUNED))
    whole.objective.load_state_dict(trainer.objective.state_dict())
    assert trainer.validate() == pytest.approx(whole.validate(), rel=1e-5)


@pytest.mark.parametrize("flip", [True, False])
def test_the_head_is_trained_on_images_and_their_mirror_images(flip: bool) -> None:
    data, network = load(1), pretrained(mirror=True)
    augment = {**NO_CHANGES, "flip": flip}
    trainer = new_trainer(data, network, params(freeze="backbone", augment=augment, **TUNED))
    batch = trainer.draw(0)[0]
    seen: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer.step(batch)
    planes = data.images[batch.index].permute(0, 3, 1, 2)
    network.eval()
    with torch.no_grad():
        own, mirrored = network.features(planes), network.features(planes.flip(3))
    is_own, is_mirrored = (
        (seen[0] - features).norm(dim=1) < 1e-4 * features.norm(dim=1)
        for features in (own, mirrored)
    )
    assert (is_own ^ is_mirrored).all()
    share = is_mirrored.float().mean().item()
    assert (0.3 < share < 0.7) if flip else share == 0


@pytest.mark.parametrize("freeze", ["statistics", "backbone"])
def test_nothing_is_frozen_that_starts_at_random(freeze: str) -> None:
    check_freeze(freeze, has_weights=True)
    check_freeze("none", has_weights=False)
    with pytest.raises(InputError, match=rf"`train\.freeze` is '{freeze}', but .* random weights"):
        check_freeze(freeze, has_weights=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": "none", "images_at_once": 20},
        {"freeze": "statistics"},
        {"freeze": "backbone"},
        {"freeze": "backbone", "optimizer": "muon"},
    ],
)
def test_an_interrupted_fine_tuning_ends_with_the_same_bits(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {**TUNED, "augment": {**NO_CHANGES, "flip": True}} | changes
    whole, expected = train(tmp_path / "whole", 3, pretrained(), **changes)

    def kill(record: EpochRecord, pace: Pace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", 3, pretrained(), kill, **changes)
    resumed, found = train(tmp_path / "broken", 3, pretrained(), **changes)
    assert found == expected
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    size = (tmp_path / "whole/run.pt").stat().st_size
    weights = sum(tensor.nbytes for tensor in whole.state_dict().values())
    assert (size < weights) == (changes["freeze"] == "backbone"), "frozen weights are not saved"


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["statistics", "backbone"])
def test_the_stage_fine_tunes(workspace: Workspace, tmp_path: Path, freeze: str) -> None:
    weights = made_up_weights(tmp_path / "weights.safetensors", "test_efficientnet", noise=0)
    save_weights(weights, workspace.path / "data/weights")
    tuned = {**TUNED, "weight_decay": 0.01, "freeze": freeze, "images_at_once": 20}
    workspace.change_params({"network": {"architecture": "timm/test_efficientnet"}, "train": tuned})
    printed = workspace.run(sys.executable, "stages/train.py")
    assert re.search(r"epoch   1 .*images/s, at most \d+ s left\)", printed)
    model = load_model(workspace.path / "data/model")
    assert model.params.architecture == "timm/test_efficientnet"
    assert model.origin == weights.origin
    assert model.calibration.accuracy_threshold > 0
    recorded = pd.read_csv(workspace.path / "metrics/training.csv")
    assert recorded["validation_knn"].iloc[-1] > 0.2
    assert not list((workspace.path / "data/resume").glob("*"))


@pytest.mark.slow
def test_the_stage_refuses_to_freeze_random_weights(workspace: Workspace) -> None:
    workspace.change_params({"train": {"freeze": "backbone"}})
    printed = workspace.run(sys.executable, "stages/train.py", fails=True)
    assert "training starts from random weights" in printed
    assert "Traceback" not in printed
