"""Progress bars, shown on a terminal alone: a log of a CI job gets none."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    label: str | None, unit: str, items: Iterable[Any] | None = None, **options: Any
) -> "tqdm[Any]":
    """Return a progress bar: to iterate over, or to be used in `with` and updated by hand.

    Args:
        label: what is being done; None shows no bar.
        unit: what is counted, in the singular.
        items: what to iterate over.
        options: further ones of `tqdm`, such as `total`.
    """
    return tqdm(items, desc=label, unit=unit, disable=None if label else True, **options)
