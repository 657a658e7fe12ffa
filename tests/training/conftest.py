"""The CUDA device that tests of training run on, where there is one."""

from collections.abc import Iterator

import pytest
import torch

from siamese.network.compute import ComputeParams, start


@pytest.fixture
def cuda() -> Iterator[torch.device]:
    """A CUDA device as the stages use it, deterministic algorithms and all."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    yield start(ComputeParams(device="cuda", threads=1, deterministic=True))
    torch.use_deterministic_algorithms(False)
