"""Batches computed part by part against whole ones, and against parts that keep everything."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from siamese.network.siamese_network import SiameseNetwork
from siamese.training.in_parts import InParts
from tests.support.tiny_training import load, new_network, new_trainer, params, train

# Pairs across all parts: images of one batch, and their mutual distances.
IMAGES = torch.randint(
    0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def network_of(architecture: str) -> SiameseNetwork:
    """A network that trains, batch norm with the statistics that it has."""
    network = new_network(architecture=architecture, size=32)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return network


def loss_of(embeddings: Tensor) -> Tensor:
    """A loss that any two images of the batch have a part in."""
    similarity = embeddings @ embeddings.T
    return (similarity * torch.arange(144).view(12, 12)).sin().sum()


def gradient(network: nn.Module) -> Tensor:
    parts = [weight.grad for weight in network.parameters()]
    return torch.cat([part.flatten() for part in parts if part is not None])


@pytest.mark.parametrize("architecture", ["resnet9", "timm/test_efficientnet", "timm/test_vit"])
def test_embeddings_and_gradients_are_those_of_the_whole_batch(architecture: str) -> None:
    network = network_of(architecture)
    outcomes = []
    for at_once in ("all", 5, 12):
        network.zero_grad()
        embeddings = InParts(network, at_once)(IMAGES)
        loss_of(embeddings).backward()
        outcomes.append((embeddings.detach(), gradient(network)))
    expected, slope = outcomes[0]
    assert slope.norm() > 1
    for found, its_slope in outcomes[1:]:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert (its_slope - slope).norm() < 1e-4 * slope.norm()


def test_the_second_time_drops_what_the_first_dropped() -> None:
    network = network_of("resnet9")
    network.encoder.append(nn.Dropout(0.5))  # type: ignore[operator]
    slopes = []
    for cut in (
        InParts(network, 6),
        lambda images: torch.cat([*map(network.encode, images.chunk(2))]),
    ):
        torch.manual_seed(1)
        network.zero_grad()
        loss_of(cut(IMAGES)).backward()
        slopes.append(gradient(network))
    torch.testing.assert_close(*slopes)


def test_nothing_of_a_part_is_kept_while_the_others_are_computed() -> None:
    network = network_of("resnet9")
    kept = []
    for at_once in ("all", 4):
        n_bytes = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal n_bytes
            n_bytes += tensor.nbytes
            return tensor

        with saved_tensors_hooks(count, lambda tensor: tensor):
            InParts(network, at_once)(IMAGES)
        kept.append(n_bytes)
    assert kept[0] > 50 * IMAGES.nbytes
    assert kept[1] < IMAGES.nbytes + 1000, "the images, to compute them again"


def test_parts_of_a_batch_are_nearly_of_one_size() -> None:
    sizes: list[int] = []
    network = network_of("resnet9")
    network.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        InParts(network, 11)(IMAGES)
        InParts(network, 5)(IMAGES)
    assert sizes == [6, 6, 4, 4, 4]


@pytest.mark.parametrize("loss", ["contrastive", "supervised_contrastive"])
def test_training_in_parts_goes_the_way_of_whole_batches(tmp_path: Path, loss: str) -> None:
    changes: dict[str, Any] = {"loss": loss, "proxy_weight": 1.0, "freeze": "statistics"}
    # Adam's first steps follow the signs of gradients, however small: slowly, none is turned over.
    changes |= {"optimizer": "adamw", "learning_rate": 1e-4, "learning_rate_rest": 1e-4}
    whole, expected = train(tmp_path / "whole", 2, **changes)
    parts, found = train(tmp_path / "parts", 2, images_at_once=7, **changes)
    for record, other in zip(found.history, expected.history, strict=True):
        assert record.figures == pytest.approx(other.figures, rel=1e-3)
    weights = [dict(network.named_parameters()) for network in (new_network(), whole, parts)]
    for name, before in weights[0].items():
        moved = weights[1][name] - before
        assert (weights[2][name] - weights[1][name]).norm() <= 0.02 * moved.norm(), name


def test_scaled_gradients_take_the_same_step_in_parts() -> None:
    """As with fp16, which alone needs the scaler, and which the CPU does not have."""
    figures = []
    for scaler in (None, torch.amp.GradScaler("cpu")):
        changed = params(proxy_weight=1.0, images_at_once=7, optimizer="adamw")
        trainer = new_trainer(load(1), changed=changed)
        trainer.scaler = scaler
        figures.append(trainer.train_epoch(0))
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
