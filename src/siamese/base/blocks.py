"""Long work in parts, so that only one part of it is in memory."""

from collections.abc import Iterator


def blocks(total: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size`, in order, that together cover `range(total)`."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
