"""The balanced pairs of a data set: what training compares, batch by batch, and what verifies it.

This module decides which samples and how many pairs, and refuses what cannot be drawn;
`pair_drawing` draws.
"""

import math
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from tqdm import tqdm

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.base.params import Section
from siamese.pairs.dealing import DeadEnd
from siamese.pairs.pair_drawing import draw_epoch, draw_once
from siamese.pairs.pair_pool import Pool, pool_of

# Numbers the random streams; an epoch's generator is default_rng([seed, stream, epoch]), so that
# the first 8 epochs of 16 are the ones of a run with 8. `novel` is the second half of test.
STREAMS = {"train": 0, "validation": 1, "test": 2, "novel": 3}

Count = Annotated[int, Field(ge=2, multiple_of=2)]


class PairsParams(Section):
    """The `pairs` section: how many pairs of how many classes are drawn. Counts are of pairs."""

    batch_size: Count
    classes_per_batch: Annotated[int, Field(ge=2)]
    batches_per_epoch: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    validation: Count
    test: Count
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _a_like_pair_for_each_class(self) -> Self:
        if self.classes_per_batch > self.batch_size // 2:
            raise ValueError(
                f"`pairs.classes_per_batch` is {self.classes_per_batch} and `pairs.batch_size` is"
                f" {self.batch_size}; half of a batch are like pairs, at least one a class:"
                f" expected at most {self.batch_size // 2} classes, or a larger batch"
            )
        return self


def draw_training(dataset: Dataset, params: PairsParams, progress: bool = False) -> pd.DataFrame:
    """Draw every pair that training will see, for every epoch that it may run.

    Promises, for each epoch: every batch has exactly `batch_size` pairs, half of them `same`, of
    exactly `classes_per_batch` classes, each with a like pair and in an unlike pair. Like pairs a
    class differ by at most one between classes, however many samples they have, and so do its
    appearances in unlike pairs. No pair is of a sample with itself or its exact copy.

    A class that has as many different like pairs as its share repeats none; one with fewer repeats
    all equally often within one. So do two classes with the unlike pairs between them. The samples
    of a class are used about equally often, within two where there are no copies and no repeats.

    Args:
        dataset: the prepared data; only samples of the split `train` are used.
        params: how much to draw.
        progress: show a bar over the epochs, on a terminal.

    Returns:
        `epoch`, `batch` (int32), `left`, `right` (sample numbers, int64) and `same` (bool), in
        batch order.

    Raises:
        InputError: there are fewer classes than a batch has, a class has no like pair, or so many
            classes cannot come up equally often.
    """
    pool = pool_of(dataset, dataset.rows("train"), "the split `train`")
    if params.classes_per_batch > pool.n_classes:
        raise InputError(
            f"`pairs.classes_per_batch` is {params.classes_per_batch}, but the split `train` has"
            f" only {pool.n_classes} classes; lower it to at most that"
        )
    _refuse_a_class_without_pairs(pool)
    batches, half = params.batches_per_epoch, params.batch_size // 2
    epochs = range(params.epochs)
    try:
        drawn = [
            draw_epoch(
                pool, batches, half, params.classes_per_batch, _generator(params, "train", epoch)
            )
            for epoch in tqdm(
                epochs, desc="pairs", unit="epoch", disable=None if progress else True
            )
        ]
    except DeadEnd:
        width = params.classes_per_batch
        step = pool.n_classes // math.gcd(pool.n_classes, width)
        two_rounds = 2 * math.ceil(pool.n_classes / width)
        raise InputError(
            f"`pairs.batches_per_epoch` is {batches} and `pairs.classes_per_batch` is"
            f" {width}: {pool.n_classes} classes cannot come up equally often in an epoch; set"
            f" batches_per_epoch to a multiple of {step}. Or, which nearly always does, batch_size"
            f" to a multiple of {2 * width} and batches_per_epoch to {two_rounds} or more"
        ) from None
    table = pd.concat([_table(pool, epoch) for epoch in drawn], ignore_index=True)
    numbers = np.arange(params.epochs * batches, dtype=np.int32).repeat(params.batch_size)
    table.insert(0, "epoch", numbers // np.int32(batches))
    table.insert(1, "batch", numbers % np.int32(batches))
    return table


def draw_fixed(dataset: Dataset, split: str, params: PairsParams) -> pd.DataFrame:
    """Draw the pairs that stay the same for a whole project, to verify on.

    Half of them are `same`. None is of a sample with itself or its exact copy, none comes twice.
    Classes give equally many like pairs within one, as far as they have them: one with fewer gives
    all, and the others share the rest. The same holds for places in unlike pairs. A class with one
    sample has no like pair, and stands in unlike pairs alone.

    For `test` only queries are paired, not what is enrolled. Where they are of classes that
    training knows and of novel classes, the first half of the table is drawn among the known
    classes and the second among the novel, each with these promises; no pair mixes the two.

    Args:
        dataset: the prepared data.
        split: `validation` or `test`, which is also the parameter that says how many pairs.
        params: how much to draw.

    Returns:
        `left`, `right` (sample numbers, int64) and `same` (bool).

    Raises:
        InputError: the data has not enough classes, like pairs or unlike pairs for what is asked.
    """
    size: int = getattr(params, split)
    pools = _fixed_pools(dataset, split)
    _refuse_too_many_fixed(pools, size, split)
    return pd.concat(
        [
            _table(pool, draw_once(pool, size // len(pools), _generator(params, stream, 0)))
            for stream, pool in pools.items()
        ],
        ignore_index=True,
    )


def _fixed_pools(dataset: Dataset, split: str) -> dict[str, Pool]:
    """Gather the samples of fixed pairs by random stream: in one pool or, as it may be, in two."""
    name = f"the split `{split}`"
    if split != "test":
        return {split: pool_of(dataset, dataset.rows(split), name)}
    queries = dataset.queries()
    is_novel = np.isin(dataset.fine()[queries], dataset.novel_classes())
    if is_novel.all() or not is_novel.any():
        return {split: pool_of(dataset, queries, name)}
    return {
        "test": pool_of(dataset, queries[~is_novel], f"the known part of {name}"),
        "novel": pool_of(dataset, queries[is_novel], f"the novel part of {name}"),
    }


def _refuse_a_class_without_pairs(pool: Pool) -> None:
    # A class with a like pair has an unlike pair with any other class too: of two samples that are
    # no copies of each other, one at least is no copy of a third.
    for column in np.flatnonzero(pool.like_supply == 0)[:1]:
        size = len(pool.members[column])
        raise InputError(
            f"class `{pool.names[column]}` with {size} sample{'s' * (size != 1)} in {pool.name} has"
            " no like pair of samples that are not exact copies of each other; add samples or leave"
            " the class out (`prepare.validation` and `prepare.test` set the other splits' shares)"
        )


def _refuse_too_many_fixed(pools: dict[str, Pool], size: int, split: str) -> None:
    asked = f"`pairs.{split}` is {size}"
    if len(pools) > 1 and size % 4:
        raise InputError(
            f"{asked}, but half of these pairs are of known and half of novel classes, and half of"
            " each are like pairs: expected a multiple of 4"
        )
    for pool in pools.values():
        if pool.n_classes < 2:
            raise InputError(
                f"{asked}, but unlike pairs need two classes or more, and {pool.name} has"
                f" {pool.n_classes}"
            )
    supplies = {
        name: (int(pool.like_supply.sum()), int(pool.unlike_supply.sum()) // 2)
        for name, pool in pools.items()
    }
    scarcest = min(supplies, key=lambda name: min(supplies[name]))
    like, unlike = supplies[scarcest]
    most = 2 * len(pools) * min(like, unlike)
    if size > most:
        pool = pools[scarcest]
        lower = f"ask for at most {most} pairs, or " if most else ""
        share = f"`prepare.{split}` sets the split's share"
        if scarcest == "novel":
            share = "a smaller `prepare.enrolled` leaves more, and so do more `data.novel_classes`"
        raise InputError(
            f"{asked}, but the {len(pool.numbers)} samples of {pool.name} give only {like} like and"
            f" {unlike} unlike pairs, and as many of both are needed; {lower}add samples"
            f" ({share})"
        )


def _generator(params: PairsParams, stream: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([params.seed, STREAMS[stream], epoch])


def _table(pool: Pool, pairs: np.ndarray) -> pd.DataFrame:
    """Turn positions `[..., 2]` into sample numbers, a row a pair."""
    pairs = pairs.reshape(-1, 2)
    left, right = pool.numbers[pairs].T
    same = pool.column[pairs[:, 0]] == pool.column[pairs[:, 1]]
    return pd.DataFrame({"left": left, "right": right, "same": same})
