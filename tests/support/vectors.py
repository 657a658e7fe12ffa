"""Vectors and rows made up for tests of searching."""

import numpy as np
from hypothesis import strategies as st

from siamese.gallery.rows import Rows, Source


def rows_of(
    numbers: np.ndarray, vectors: np.ndarray, label: str = "x", source: Source = "pipeline"
) -> Rows:
    """Return rows that differ in numbers, vectors and files."""
    n = len(numbers)
    files = [f"{number}.png" for number in numbers]
    return Rows(numbers, vectors, [label] * n, [None] * n, files, [None] * n, [source] * n)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Draw vectors with many ties and duplicates, shuffled numbers, queries and k."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, dim = draw(st.integers(1, 120)), draw(st.sampled_from([1, 2, 8, 33]))
    levels = draw(st.sampled_from([2, 3, 1000]))  # of each value: two make nearly all of them tie
    scale = draw(st.sampled_from([1e-15, 1.0, 1e12, 1e14]))
    offset = draw(st.sampled_from([0.0, 1000.0]))
    values = (rng.integers(0, levels, (n + 5, dim)) * scale + offset * scale).astype(np.float32)
    vectors = np.concatenate([values[:n], values[rng.integers(0, n, n)]])  # each row drawn again
    numbers = rng.permutation(10 * len(vectors))[: len(vectors)].astype(np.int64)
    queries = np.concatenate([values[n:], vectors[:2]])
    return numbers, vectors, queries, draw(st.integers(1, len(vectors)))


def clustered(n: int, dimensions: int, seed: int, centres: int = 30) -> np.ndarray:
    """Return unit vectors around some centres, float32 `[n, dimensions]`."""
    rng = np.random.default_rng(seed)
    around = np.random.default_rng(99).normal(size=(centres, dimensions))
    vectors = around[rng.integers(0, centres, n)] + 0.3 * rng.normal(size=(n, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
