"""Where and how the arithmetic runs: device, precision, threads, determinism.

The only module that asks whether CUDA exists.
"""

import os
from typing import Literal

import torch
from pydantic import Field

from siamese.errors import InputError
from siamese.params import Section

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class ComputeParams(Section):
    """The `compute` section of `params.yaml`, shared by `train`, `embed` and `floor`."""

    device: Literal["auto", "cpu", "cuda"]
    threads: int = Field(ge=1, le=1024)


def start(params: ComputeParams) -> torch.device:
    """Choose the device, fix what makes results repeatable, and say where the work will run.

    Deterministic algorithms are switched on throughout, and float32 means float32 (no TF32), so
    that two runs on one kind of machine give the same bits. See PyTorch's notes on reproducibility:
    other devices, thread counts and PyTorch releases may round differently.

    Raises:
        InputError: CUDA is asked for where there is none.
    """
    # cuBLAS reads it when CUDA starts; without it deterministic matrix products are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.set_num_threads(params.threads)
    has_cuda = torch.cuda.is_available()
    if params.device == "cuda" and not has_cuda:
        raise InputError(
            "params.yaml: `compute.device` is 'cuda', but PyTorch sees no CUDA device here;"
            " use 'auto' or 'cpu', or install a CUDA build of torch"
        )
    device = torch.device("cuda" if has_cuda and params.device != "cpu" else "cpu")
    print(describe(device, params.threads), flush=True)
    return device


def describe(device: torch.device, threads: int) -> str:
    """Say in one line what the work runs on."""
    if device.type == "cuda":
        return f"Running on CUDA: {torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    cores = os.cpu_count() or threads
    advice = ""
    if cores > threads:
        advice = f" of {cores}: `compute.threads` may be raised (results then differ in last bits)"
    return f"Running on CPU, {threads} threads{advice}, PyTorch {torch.__version__}"


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions and matrix products compute in.

    `auto` takes bf16 where the hardware is fast in it, then fp16 on CUDA, then fp32. A T4, for
    one, has no fast bf16.

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
    return torch.bfloat16 if _cpu_has_fast_bf16() else torch.float32


def _cpu_has_fast_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
