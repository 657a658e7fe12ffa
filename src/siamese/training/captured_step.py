"""A training step recorded once as a CUDA graph, then launched as a whole for every batch.

A step launches hundreds of small kernels, and launching them takes a host longer than a GPU takes
to run them. A recorded graph is one launch.
"""

from collections.abc import Callable

import torch

from siamese.training.batches import Batches
from siamese.training.objective import Figures

# Steps that run as usual before one is recorded: libraries set themselves up in the first ones.
WARM_UP = 3


class CapturedStep:
    """Runs a step over the batches of an epoch; calling it is the same as calling the step.

    If the step cannot be recorded, because it reads something back from the GPU, say, it runs as it
    is and a line says so.

    Args:
        step: decides nothing on the host but by shapes; all that it changes stays where it lies.
    """

    def __init__(self, step: Callable[[Batches], Figures]) -> None:
        self.step = step
        self.warmed_up = 0
        self.is_refused = False
        self.recorded: _Recorded | None = None

    def __call__(self, batches: Batches, number: int) -> Figures:
        """Take a step on one batch; what is returned holds until the next call."""
        if self.warmed_up < WARM_UP:
            self.warmed_up += 1
            return self._warm_up(batches[number])
        if self.recorded is None and not self.is_refused:
            self._record(batches)
        return self.recorded(batches, number) if self.recorded else self.step(batches[number])

    def _warm_up(self, batch: Batches) -> Figures:
        """Take a step, on another stream, as PyTorch asks for before one is recorded."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            figures = self.step(batch)
        torch.cuda.current_stream().wait_stream(stream)
        return figures

    def _record(self, batches: Batches) -> None:
        try:
            self.recorded = _Recorded(self.step, batches)
        except RuntimeError as error:
            first_line = str(error).partition("\n")[0]
            print(f"Training launches kernel by kernel, which is slower: {first_line}", flush=True)
            self.is_refused = True


class _Recorded:
    """A step on fixed buffers: the batches of an epoch, and the number of one of them.

    Recording it does not run it.
    """

    def __init__(self, step: Callable[[Batches], Figures], batches: Batches) -> None:
        self.batches, self.loaded = batches.each(torch.clone), batches
        self.number = torch.zeros(1, dtype=torch.int64, device=batches.index.device)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.figures = step(self.batches.look_up(self.number))

    def __call__(self, batches: Batches, number: int) -> Figures:
        if batches is not self.loaded:
            self.batches.copy_(batches)
            self.loaded = batches
        self.number.fill_(number)
        self.graph.replay()
        return self.figures
