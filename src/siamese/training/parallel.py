"""Several processes that train one network together, with PyTorch's own engine.

`torchrun` starts them and tells each its rank; `torch.distributed` carries what they exchange (NCCL
between CUDA devices, Gloo between CPUs). Every process embeds its part of each batch, and all
embeddings are gathered, so that pairs span the whole batch as they do in a single process.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from siamese.base.errors import InputError, Interrupted
from siamese.network.timm_networks import HeadedBackbone


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone, by default.

    Attributes:
        rank: its number, 0 to size-1. Rank 0 writes and reports.
        size: how many there are, on all machines.
        local_rank: its number on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Return this rank's part of `count` rows that the ranks divide evenly.

        Raises:
            InputError: they cannot be divided evenly.
        """
        if count % self.size:
            raise InputError(
                f"params.yaml: the {count} images of a batch, twice `pairs.batch_size`, cannot be"
                f" shared evenly by {self.size} processes (`train.processes`): let it divide them",
                met_by_all=True,
            )
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def share_of(self, count: int) -> slice:
        """Return this rank's part of any number of rows, as evenly as can be."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network such that its gradients are averaged over the ranks.

        On CUDA its batch norm layers then take their statistics over the whole batch; PyTorch has
        no such layer for the CPU, where each rank normalises with those of its part, and
        `average_statistics` keeps the running ones the same on all.
        """
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:
            network = with_shared_statistics(network)
            return DistributedDataParallel(network, device_ids=[torch.cuda.current_device()])
        return DistributedDataParallel(network, broadcast_buffers=False)

    def gather(self, embeddings: Tensor) -> Tensor:
        """Join the embeddings of all ranks, float `[B / size, D]` each, to `[B, D]`.

        Gradients flow into this rank's own rows alone. A loss taken over all of them must be
        multiplied by `size`: then averaging the ranks' gradients, as `wrap` does, gives that of the
        whole batch.
        """
        if self.size == 1:
            return embeddings
        parts = [torch.empty_like(embeddings) for _ in range(self.size)]
        distributed.all_gather(parts, embeddings.detach())
        parts[self.rank] = embeddings
        return torch.cat(parts)

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """Join the rows of all ranks, of any number each, in the order of the ranks."""
        if self.size == 1:
            return rows
        parts: list[Any] = [None] * self.size
        distributed.all_gather_object(parts, rows)
        return np.concatenate(parts)

    def share(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, happened: bool, device: torch.device) -> bool:
        """Tell every rank whether it happened on one of them; all must ask at the same time."""
        if self.size == 1:
            return happened
        flag = torch.tensor(int(happened), device=device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def average_statistics(self, network: nn.Module) -> None:
        """Make the running statistics of batch norm the mean of the ranks', on all of them.

        On CUDA they are the same already.
        """
        statistics = [
            buffer
            for layer in network.modules()
            if isinstance(layer, _BatchNorm)
            for buffer in (layer.running_mean, layer.running_var)
            if buffer is not None
        ]
        if self.size == 1 or not statistics:
            return
        flat = nn.utils.parameters_to_vector(statistics)
        distributed.all_reduce(flat)
        sizes = [buffer.numel() for buffer in statistics]
        for buffer, mean in zip(statistics, (flat / self.size).split(sizes), strict=True):
            buffer.copy_(mean)


def with_shared_statistics(network: nn.Module) -> nn.Module:
    """Return the network with batch norms that take their statistics over the ranks."""
    if any(isinstance(layer, HeadedBackbone) for layer in network.modules()):
        # In timm such a layer may hold an activation too, which PyTorch's function would drop.
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(network)
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def started_by_torchrun() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_together(script: Path, arguments: Sequence[str], processes: int) -> None:
    """Run a script as several processes on this machine, as `torchrun` does, to its end.

    Raises:
        InputError: one of them failed, and has said why.
        Interrupted: SIGINT or SIGTERM came, and was passed on to them.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # It would report again, at length and with tracebacks, what the processes have said already.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"{script.stem}-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-u", str(script), *arguments)
    except SignalException as exception:
        raise Interrupted(signal.Signals(exception.sigval), "all processes have ended") from None
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        if -code in (signal.SIGINT, signal.SIGTERM):
            raise Interrupted(signal.Signals(-code), "all processes have ended") from None
        raise InputError(f"one of the {processes} processes failed (exit status {code})") from None


def this_rank(processes: int) -> Ranks:
    """Tell which of the processes this is.

    Args:
        processes: how many are to train together.

    Raises:
        InputError: `torchrun` started another number.
    """
    if not started_by_torchrun():
        return Ranks()
    size = int(os.environ["WORLD_SIZE"])
    if size != processes:
        raise InputError(
            f"params.yaml: `train.processes` is {processes}, but torchrun started {size} processes"
            " on all machines together: make them the same",
            met_by_all=True,
        )
    return Ranks(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))


@contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Connect the ranks for as long as the block runs.

    Raises:
        InputError: another process ended in the middle of the work; it has said why.
    """
    if ranks.size == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        # Gloo has no exception of its own; its messages begin with the place in its source.
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise InputError("the connection to another process was lost: has it ended?") from None
    finally:
        distributed.destroy_process_group()
