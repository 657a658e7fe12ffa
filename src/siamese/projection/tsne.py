"""t-SNE: places in two dimensions that keep near neighbours together."""

import re
from collections.abc import Callable
from contextlib import redirect_stdout
from io import TextIOBase

import numpy as np

from siamese.projection.plane import fit_plane

STEPS = 1000
FEW = 1000
PERPLEXITY = 30.0
SPREAD = 1e-4  # of the places at the beginning, along the first component
# scikit-learn tells how far it is only by what it prints.
_STEP = re.compile(r"\[t-SNE\] Iteration (\d+)")


class _Listener(TextIOBase):
    """Takes what is printed, and passes on each step that it tells of."""

    def __init__(self, on_step: Callable[[int], object]) -> None:
        self.on_step = on_step

    def write(self, text: str) -> int:
        if found := _STEP.match(text):
            self.on_step(int(found[1]))
        return len(text)


def spread_out(
    vectors: np.ndarray, seed: int = 0, on_step: Callable[[int], object] = lambda step: None
) -> np.ndarray:
    """Compute places by t-SNE, begun at the first two principal components.

    Args:
        vectors: float32 `[n, D]`, three at the least.
        seed: of what little chance there is.
        on_step: is told now and then which of `STEPS` steps is done.

    Returns:
        float32 `[n, 2]`.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # scikit-learn's own beginning fails where vectors have one dimension, or are all equal.
    places = fit_plane([vectors], vectors.shape[1]).place(vectors)
    begin = SPREAD * places / (places[:, 0].std() or 1)
    tsne = TSNE(
        perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
        init=begin.astype(np.float32),
        max_iter=STEPS,
        random_state=seed,
        n_jobs=-1,
        verbose=2,
    )
    # Of few points, threads that wait for each other cost more than they bring.
    threads = 1 if len(vectors) < FEW else None
    with redirect_stdout(_Listener(on_step)), threadpool_limits(threads):
        return tsne.fit_transform(vectors)
