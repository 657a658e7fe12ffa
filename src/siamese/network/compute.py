"""Where and how the arithmetic runs: device, precision, threads, determinism.

The only module that asks whether CUDA exists.
"""

import ctypes
import os
import platform
from typing import Annotated, Literal

import joblib
import torch
from pydantic import Field
from torch import nn

from siamese.base.errors import InputError
from siamese.base.params import Section

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class ComputeParams(Section):
    """The `compute` section of `params.yaml`, shared by `train`, `embed` and `floor`."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)]
    deterministic: bool

    def n_threads(self) -> int:
        """Return how many threads a process computes with on the CPU.

        `auto` is all cores that a container or `taskset` leaves to it, divided among the processes
        that train together on this machine.
        """
        if self.threads != "auto":
            return self.threads
        together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
        return max(1, joblib.cpu_count() // together)


def start(params: ComputeParams, local_rank: int = 0) -> torch.device:
    """Choose the device, fix what makes results repeatable, and say where the work will run.

    float32 means float32 (no TF32). With `deterministic` only algorithms are used that give the
    same bits in two runs on one kind of machine; see PyTorch's notes on reproducibility: other
    devices, thread counts and PyTorch releases may round differently.

    Args:
        params: the `compute` section.
        local_rank: which of this machine's GPUs is this process's; its line is printed by the
            first alone.

    Raises:
        InputError: CUDA is asked for where there is none, or too few devices are there.
    """
    device = _choose_device(params, local_rank)
    # cuBLAS reads it when CUDA starts; without it deterministic matrix products are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(params.deterministic)
    # Else every new tensor is first filled with NaN, in case somebody reads what nobody wrote: on a
    # CPU that costs a small network some 7 % of its speed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not params.deterministic
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    threads = params.n_threads()
    torch.set_num_threads(threads)
    keep_freed_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if local_rank == 0:
        print(describe(device, threads), flush=True)
    return device


def check_devices(params: ComputeParams, processes: int) -> None:
    """Refuse more processes on this machine than it has devices to give them one each.

    Raises:
        InputError: there are too few, or CUDA is asked for where there is none.
    """
    _choose_device(params, processes - 1)


def _choose_device(params: ComputeParams, local_rank: int) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if params.device == "cuda" and not has_cuda:
        raise InputError(
            "params.yaml: `compute.device` is 'cuda', but PyTorch sees no CUDA device here;"
            " use 'auto' or 'cpu', or install a CUDA build of torch"
        )
    if not has_cuda or params.device == "cpu":
        return torch.device("cpu")
    if local_rank < torch.cuda.device_count():
        return torch.device("cuda", local_rank)
    raise InputError(
        f"{local_rank + 1} processes or more are to run on this machine, which has"
        f" {torch.cuda.device_count()} CUDA devices: lower `train.processes` to at most that"
    )


def keep_freed_memory() -> None:
    """Let the process keep the memory that a step frees, for the next step to use.

    By default glibc returns every large tensor to the system and asks for it again, cleared page
    by page: on a CPU that costs a small network some 7 % of its speed. Elsewhere than on Linux with
    glibc this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of options in malloc.h
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 2**26)


def describe(device: torch.device, threads: int) -> str:
    """Say in one line what the work runs on."""
    if device.type == "cuda":
        return f"Running on CUDA: {torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    cores = joblib.cpu_count()
    advice = ""
    if cores > threads:
        advice = f" of {cores}: `compute.threads` may be raised (results then differ in last bits)"
    return f"Running on CPU, {threads} threads{advice}, PyTorch {torch.__version__}"


def autocast_dtype(
    precision: Precision, device: torch.device, network: nn.Module | None = None
) -> torch.dtype:
    """Return the type that convolutions and matrix products compute in.

    `auto` takes bf16 where the hardware is fast in it, then fp16 on CUDA, then fp32. A T4, for
    one, has no fast bf16.

    Args:
        precision: the parameter `train.precision`.
        device: where it is computed.
        network: that is trained; PyTorch trains some in fp32 faster, on a CPU.

    Raises:
        InputError: fp16 is asked for on a CPU, where PyTorch has no loss scaling for it.
    """
    match precision:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
        case "fp16":
            if device.type != "cuda":
                raise InputError(
                    "params.yaml: `train.precision` is 'fp16', which needs CUDA; this run is on"
                    " the CPU: use 'auto', 'bf16' or 'fp32'"
                )
            return torch.float16
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    if network is not None and _has_depthwise(network):
        return torch.float32
    return torch.bfloat16 if _cpu_has_fast_bf16() else torch.float32


def _has_depthwise(network: nn.Module) -> bool:
    """Tell whether there are convolutions of single channels, slow in bf16 on the way back."""
    convolutions = (one for one in network.modules() if isinstance(one, nn.Conv2d))
    return any(1 < one.groups == one.in_channels for one in convolutions)


def _cpu_has_fast_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
