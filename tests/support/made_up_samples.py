"""Small data sets without pixels, and parameters for pairs of their samples."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.dataset import SPLITS, Classes, Dataset, is_forged
from siamese.pairs.params import PairsParams


def made_up(
    sizes: list[int],
    splits: tuple[str, ...] = SPLITS,
    copies: dict[int, int] | None = None,
    novel: tuple[int, ...] = (),
    forged: list[int] | None = None,
) -> Dataset:
    """Make a data set with `sizes[c]` samples of class c in each split, some of them copies.

    Of `novel` classes there are only test samples, every other one enrolled. Beside the genuine
    samples of class c there are `forged[c]` forgeries in each split.
    """
    if forged:
        dataset = made_up([sum(both) for both in zip(sizes, forged, strict=True)], splits, copies)
        samples = dataset.samples
        nth = samples.groupby(["split", "fine"]).cumcount().to_numpy()
        samples["forged"] = nth >= np.array(sizes)[dataset.fine()]
        return _with_novel(dataset, novel)
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
    names = tuple(f"class-{c}" for c in range(len(sizes)))
    dataset = Dataset(np.zeros((len(samples), 0, 0, 3), np.uint8), samples, Classes(names))
    return _with_novel(dataset, novel)


def _with_novel(dataset: Dataset, novel: tuple[int, ...]) -> Dataset:
    if not novel:
        return dataset
    samples = dataset.samples
    is_novel, is_test = samples["fine"].isin(novel), samples["split"] == "test"
    nth = samples[is_novel & is_test & ~is_forged(samples)].groupby("fine").cumcount()
    samples["enrolled"] = (nth % 2 == 1).reindex(samples.index, fill_value=False)
    samples = samples[~is_novel | is_test].reset_index(drop=True)
    samples["sample"] = np.arange(len(samples))
    return replace(dataset, images=dataset.images[: len(samples)], samples=samples)


def made_params(**changes: float) -> PairsParams:
    """Return parameters for few pairs, with some of them changed."""
    small: dict[str, Any] = {
        "batch_size": 8,
        "classes_per_batch": 3,
        "batches_per_epoch": 2,
        "epochs": 2,
        "validation": 12,
        "test": 12,
        "given": "data/none",
        "forged": 0.5,
        "seed": 0,
    }
    return PairsParams(**(small | changes))
