"""Muon over convolutions against a step worked out with a singular value decomposition."""

import pytest
import torch
from torch import nn

from siamese.training.optimizer import ConvolutionMuon, make_optimizers


def network() -> tuple[nn.Sequential, torch.Tensor]:
    """A small network and the weight of its first convolution."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 3, bias=False)
    layers = nn.Sequential(first, nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    return layers.to(memory_format=torch.channels_last), first.weight


def test_every_parameter_is_in_one_of_the_two() -> None:
    layers, first = network()
    muon, adamw = make_optimizers(layers, 0.1, 0.01, 0.0)
    in_muon = {weight.data_ptr() for weight in muon.param_groups[0]["params"]}
    in_adamw = {weight.data_ptr() for weight in adamw.param_groups[0]["params"]}
    assert first.data_ptr() in in_muon
    assert len(in_muon) == 2, "the two convolutions' weights, not their biases"
    assert in_adamw == {weight.data_ptr() for weight in layers.parameters()} - in_muon


def test_the_first_step_goes_along_the_nearest_orthogonal_matrix() -> None:
    layers, weight = network()
    muon, _ = make_optimizers(layers, 0.1, 0.01, 0.0)
    before = weight.detach().clone()
    (layers(torch.randn(2, 3, 9, 9)) ** 2).sum().backward()
    gradient = weight.grad
    assert gradient is not None
    muon.take_gradients()
    muon.step()
    left, _, right = torch.linalg.svd(gradient.reshape(8, -1), full_matrices=False)
    step = ((before - weight.detach()) / 0.1).reshape(8, -1)
    # Newton-Schulz in bfloat16 brings singular values to between 0.5 and 1.5 or so, not to 1.
    values = torch.linalg.svdvals(step)
    assert 0.4 < values.min() < values.max() < 1.6
    # The step has the gradient's singular vectors: U' step V is diagonal.
    inner = left.T @ step @ right.T
    assert (inner - inner.diag().diag()).norm() < 0.15 * inner.norm()
    assert inner.diag().min() > 0.4


def test_weights_of_another_memory_format_are_refused() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 3, 3))
    with pytest.raises(ValueError, match="channels last"):
        ConvolutionMuon([weight], 0.1, 0.0)
