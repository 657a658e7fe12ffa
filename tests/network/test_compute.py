"""Device and precision: chosen openly, refused with a sentence where they cannot be had."""

import pytest
import torch
from torch import nn

from siamese.base.errors import InputError
from siamese.network.compute import ComputeParams, autocast_dtype, start

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 5), torch.float16),  # a T4 has fast fp16, and no fast bf16
        ((8, 0), torch.bfloat16),  # A100
        ((9, 0), torch.bfloat16),  # H100
    ],
)
def test_auto_takes_what_a_gpu_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert autocast_dtype("auto", CUDA) == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_takes_what_a_processor_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert autocast_dtype("auto", CPU) == expected


def test_auto_trains_convolutions_of_single_channels_in_fp32_on_a_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    plain, grouped, depthwise = (
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=groups)) for groups in (1, 2, 8)
    )
    of_one_channel = nn.Conv2d(1, 8, 3)
    for network in (plain, grouped, of_one_channel):
        assert autocast_dtype("auto", CPU, network) == torch.bfloat16
    assert autocast_dtype("auto", CPU, depthwise) == torch.float32
    assert autocast_dtype("bf16", CPU, depthwise) == torch.bfloat16
    assert autocast_dtype("auto", CUDA, depthwise) == torch.bfloat16


def test_what_is_asked_for_is_taken() -> None:
    assert autocast_dtype("fp32", CUDA) == torch.float32
    assert autocast_dtype("bf16", CPU) == torch.bfloat16
    assert autocast_dtype("fp16", CUDA) == torch.float16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"`compute\.device` is 'cuda', but PyTorch sees no CUDA"):
        start(ComputeParams(device="cuda", threads=1, deterministic=True))


def test_the_first_line_says_where_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        assert start(ComputeParams(device="cpu", threads=3, deterministic=True)) == CPU
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
    assert capsys.readouterr().out.startswith("Running on CPU, 3 threads")


def test_auto_is_the_cores_that_are_left_to_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = ComputeParams(device="cpu", threads="auto", deterministic=True)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # stands in for a container's quota
    assert auto.n_threads() == 1
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert auto.n_threads() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert auto.n_threads() == 2
    assert ComputeParams(device="cpu", threads=5, deterministic=True).n_threads() == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_taken_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert start(ComputeParams(device="auto", threads=1, deterministic=True)).type == "cuda"
    finally:
        torch.use_deterministic_algorithms(False)
    assert capsys.readouterr().out.startswith("Running on CUDA: ")
