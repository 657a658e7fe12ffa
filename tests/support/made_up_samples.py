"""Small data sets without pixels, and parameters for pairs of their samples."""

import numpy as np
import pandas as pd

from siamese.base.dataset import SPLITS, Classes, Dataset
from siamese.pairs.params import PairsParams


def made_up(
    sizes: list[int],
    splits: tuple[str, ...] = SPLITS,
    copies: dict[int, int] | None = None,
    novel: tuple[int, ...] = (),
) -> Dataset:
    """Make a data set with `sizes[c]` samples of class c in each split, some of them copies.

    Of `novel` classes there are only test samples, every other one enrolled.
    """
    fine = np.concatenate([np.repeat(np.arange(len(sizes)), sizes)] * len(splits))
    # Interleaved, so that no function gets away with taking labels to be sorted.
    order = np.random.default_rng(len(fine)).permutation(len(fine))
    split = np.repeat(splits, sum(sizes))[order]
    duplicate_of = pd.array([pd.NA] * len(fine), dtype="Int64")
    for copy, original in (copies or {}).items():
        duplicate_of[copy] = original
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(fine)),
            "split": split,
            "fine": fine[order],
            "coarse": pd.array([pd.NA] * len(fine), dtype="Int64"),
            "file": "made-up",
            "duplicate_of": duplicate_of,
        }
    )
    if novel:
        is_novel = samples["fine"].isin(novel)
        nth = samples[is_novel & (split == "test")].groupby("fine").cumcount()
        samples["enrolled"] = (nth % 2 == 1).reindex(samples.index, fill_value=False)
        samples = samples[~is_novel | (split == "test")].reset_index(drop=True)
        samples["sample"] = np.arange(len(samples))
    names = tuple(f"class-{c}" for c in range(len(sizes)))
    return Dataset(np.zeros((len(samples), 0, 0, 3), np.uint8), samples, Classes(names))


def made_params(**changes: float) -> PairsParams:
    """Return parameters for few pairs, with some of them changed."""
    small = {
        "batch_size": 8,
        "classes_per_batch": 3,
        "batches_per_epoch": 2,
        "epochs": 2,
        "validation": 12,
        "test": 12,
        "forged": 0.5,
        "seed": 0,
    }
    return PairsParams(**(small | changes))
