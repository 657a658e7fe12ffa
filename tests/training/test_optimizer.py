"""The optimisers against PyTorch's, and against a singular value decomposition."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from siamese.training.optimizer import AdamW, ConvolutionMuon, make_optimizers, one_cycle


def network() -> tuple[nn.Sequential, torch.Tensor]:
    """A small network and the weight of its first convolution."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 3, bias=False)
    layers = nn.Sequential(first, nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    return layers.to(memory_format=torch.channels_last), first.weight


def test_every_parameter_is_in_one_of_the_two() -> None:
    layers, first = network()
    optimizers = make_optimizers("muon", layers, nn.Module(), 0.0)
    muon, adamw = optimizers["learning_rate"], optimizers["learning_rate_rest"]
    in_muon = {weight.data_ptr() for weight in muon.param_groups[0]["params"]}
    in_adamw = {weight.data_ptr() for weight in adamw.param_groups[0]["params"]}
    assert first.data_ptr() in in_muon
    assert len(in_muon) == 2, "the two convolutions' weights, not their biases"
    assert in_adamw == {weight.data_ptr() for weight in layers.parameters()} - in_muon


def test_the_first_step_goes_along_the_nearest_orthogonal_matrix() -> None:
    layers, weight = network()
    muon = ConvolutionMuon([weight], 0.0)
    before = weight.detach().clone()
    (layers(torch.randn(2, 3, 9, 9)) ** 2).sum().backward()
    gradient = weight.grad
    assert gradient is not None
    muon.step(torch.tensor(0.1, dtype=torch.float64))
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
        ConvolutionMuon([weight], 0.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_many_steps_equal_those_of_torch(dtype: torch.dtype) -> None:
    """Tall, wide and square weights, at rates that change, with weight decay."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(40, 3, 3, 3), (4, 8, 3, 3), (9, 1, 3, 3)]
    weights = [
        torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)
        for shape in shapes
    ]
    vectors = [torch.randn(7, generator=generator), torch.randn(5, 6, generator=generator)]
    matrices = [weight.permute(0, 2, 3, 1).flatten(1).clone() for weight in weights]
    copies = [vector.clone() for vector in vectors]
    ours = (ConvolutionMuon(weights, 0.05), AdamW(vectors, 0.05))
    theirs: tuple[torch.optim.Optimizer, ...] = (
        torch.optim.Muon(matrices, lr=1.0, weight_decay=0.05),
        torch.optim.AdamW(copies, lr=1.0, weight_decay=0.05, fused=True),
    )
    for step in range(6):
        rate = 0.02 * (step + 1) / 7
        for weight, matrix in zip([*weights, *vectors], [*matrices, *copies], strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator).to(
                memory_format=torch.channels_last if weight.ndim == 4 else torch.contiguous_format
            )
            is_convolution = weight.ndim == 4
            gradient = weight.grad.permute(0, 2, 3, 1) if is_convolution else weight.grad
            matrix.grad = gradient.reshape(matrix.shape).clone()
        ours[0].step(torch.tensor(rate, dtype=dtype))
        ours[1].step(torch.tensor(rate, dtype=torch.float64))
        for optimizer in theirs:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    for weight, matrix in zip(weights, matrices, strict=True):
        torch.testing.assert_close(
            weight.permute(0, 2, 3, 1).flatten(1), matrix, rtol=1e-6, atol=1e-6
        )
    for vector, copy in zip(vectors, copies, strict=True):
        assert torch.equal(vector, copy)


@settings(max_examples=30)
@given(st.integers(2, 60), st.floats(0.02, 0.98), st.floats(1e-4, 1.0))
def test_the_schedule_is_that_of_torch(steps: int, warmup: float, highest: float) -> None:
    assume(abs(warmup * steps - 1) > 1e-3)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=highest)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            schedule.step()
    assert one_cycle(highest, steps, warmup) == expected
