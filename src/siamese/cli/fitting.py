"""Parameters that fit a data set: shares of the splits, and how many pairs to draw.

They are the defaults, see `siamese.cli.defaults`, reduced to what the data has.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from siamese.base.dataset import Classes, is_forged
from siamese.base.errors import InputError
from siamese.cli.defaults import DEFAULTS
from siamese.preparation.splits import PrepareParams, TooSmallShare, cut_splits

# The splits that are cut, in this order, and the shares to raise theirs to where data is scarce.
CUT = ("test", "validation")
SHARES = (0.15, 0.2, 0.25, 0.33, 0.4, 0.5)
# A split has enough like pairs with one for every other class, or with this many.
ENOUGH_LIKE_PAIRS = 50
FEWEST_BATCHES = 16
# Share of a split's like pairs to draw at most: some may turn out to be of exact copies.
SHARE_OF_LIKE_PAIRS = 0.8


def cut_with_pairs(
    samples: pd.DataFrame, classes: Classes, novel_classes: int, params: PrepareParams
) -> tuple[PrepareParams, pd.DataFrame]:
    """Cut the splits as `cut_splits` does, with larger shares where those given have few pairs.

    Returns:
        The parameters with the shares that were used, and what `cut_splits` returns for them.

    Raises:
        InputError: as `cut_splits`, if no share helps.
    """
    given = set(samples["split"].dropna())
    while True:
        try:
            cut = cut_splits(samples, classes, novel_classes, params)
        except TooSmallShare as error:
            larger = _with_a_larger_share(params, [error.split])
            if larger is None:
                raise
        else:
            scarce = [split for split in CUT if split not in given and _is_scarce(cut, split)]
            larger = _with_a_larger_share(params, scarce)
            if larger is None:
                return params, cut
        params = larger


def _with_a_larger_share(params: PrepareParams, splits: Sequence[str]) -> PrepareParams | None:
    """Return parameters with the next larger share of the first of `splits` that can have one."""
    for split in CUT:
        for share in SHARES:
            if split in splits and share > getattr(params, split):
                return params.model_copy(update={split: share})
    return None


def fitting(
    samples: pd.DataFrame,
    most: Mapping[str, Any] = DEFAULTS,
    per_epoch: Callable[[int], int] | None = None,
) -> dict[str, Any]:
    """Return parameters that fit the data, by dotted name.

    Args:
        samples: with `split`, `fine` and, with novel classes, `enrolled`.
        most: the size of a batch, in pairs and in classes, where there is enough for it, by dotted
            name.
        per_epoch: from how many training images there are, how many an epoch computes; without,
            each of them once.

    Raises:
        InputError: validation or test has no two images of one class.
    """
    samples = samples[~is_forged(samples)]
    train = samples.loc[samples["split"] == "train", "fine"]
    queries = samples[(samples["split"] == "test") & ~_enrolled(samples)]
    n_classes = train.nunique()
    classes_per_batch = min(most["pairs.classes_per_batch"], n_classes)
    batch_size = max(2 * classes_per_batch, min(most["pairs.batch_size"], len(train) // 4 * 2))
    # So that each class comes up twice in an epoch, however many there are.
    two_rounds = 2 * math.ceil(n_classes / classes_per_batch)
    n_images = per_epoch(len(train)) if per_epoch else len(train)
    batches = max(FEWEST_BATCHES, two_rounds, round(n_images / (2 * batch_size)))
    gallery = len(samples) - len(queries)
    k = [k for k in DEFAULTS["evaluate.k"] if k <= gallery]
    asked = queries["fine"]
    is_seen = asked.isin(train)
    halves = [asked]
    if is_seen.any() and not is_seen.all():  # each gets half of the test pairs
        halves = [asked[is_seen], asked[~is_seen]]
    most_pairs = DEFAULTS["pairs.test"] // len(halves)
    test = min(_n_pairs(half, most_pairs, "test") for half in halves)
    validation = samples.loc[samples["split"] == "validation", "fine"]
    return {
        "pairs.batch_size": batch_size,
        "pairs.classes_per_batch": classes_per_batch,
        "pairs.batches_per_epoch": batches,
        "pairs.validation": _n_pairs(validation, DEFAULTS["pairs.validation"], "validation"),
        "pairs.test": test * len(halves),
        "floor.k": k[-1],
        "evaluate.k": k,
        "evaluate.vote_k": k[-1],
        "evaluate.curve_k": [k for k in DEFAULTS["evaluate.curve_k"] if k <= gallery],
        "evaluate.sheet_neighbours": min(DEFAULTS["evaluate.sheet_neighbours"], gallery),
    }


def _is_scarce(samples: pd.DataFrame, split: str) -> bool:
    """Tell whether a split has one class, or few like pairs, of the samples not enrolled."""
    is_in = (samples["split"] == split) & ~_enrolled(samples) & ~is_forged(samples)
    counts = samples.loc[is_in, "fine"].value_counts()
    is_one_class = len(counts) < 2
    return is_one_class or _n_like(counts.to_numpy()) < min(ENOUGH_LIKE_PAIRS, len(counts) / 2)


def _enrolled(samples: pd.DataFrame) -> pd.Series:
    return samples.get("enrolled", pd.Series(False, index=samples.index))


def _n_like(counts: np.ndarray) -> int:
    """Count the like pairs, given how many images each class has."""
    return int((counts * (counts - 1) // 2).sum())


def _n_pairs(labels: pd.Series, most: int, split: str) -> int:
    """Return how many fixed pairs to draw; half of them are like pairs, which are scarcer."""
    counts = labels.value_counts().to_numpy()
    like = _n_like(counts)
    unlike = int((len(labels) ** 2 - (counts**2).sum()) // 2)
    if not like or not unlike:
        raise InputError(
            f"the split `{split}` has {len(labels)} images of {len(counts)} classes, and so no pair"
            f" of {'one class' if not like else 'two classes'}; add images: a class needs six to"
            " have two in each split. Or, to verify images of classes that training has never"
            " seen, cut by class (`--split-by class`)"
        )
    half = min(most // 2, max(1, int(like * SHARE_OF_LIKE_PAIRS)), unlike)
    return 2 * half
