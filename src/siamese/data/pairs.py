"""Drawing balanced pairs: which images training compares, batch by batch, and which verify it.

An epoch is drawn in four steps, each random within what it promises:

1. `_choose_classes`: which classes make up each batch, all equally often;
2. `_deal`: how many like pairs and how many places in unlike pairs each class gets in each batch,
   so that in the end all classes have equally many;
3. `_like_pairs`: the like pairs of a class, as in a tournament where everyone meets everyone;
4. `_unlike_pairs`: classes matched within a batch, then filled with the samples used least so far.

Everything here counts in *positions* of a pool (one split's samples, 0…n-1) and *columns* (the
classes present in it, 0…C-1); only the finished table holds sample numbers.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from tqdm import tqdm

from siamese.data.dataset import Dataset
from siamese.errors import InputError
from siamese.params import Section

# Numbers the random streams; an epoch's generator is default_rng([seed, stream, epoch]), so that
# the first 8 epochs of 16 are the ones of a run with 8.
STREAMS = {"train": 0, "validation": 1, "test": 2}

# A draw that leads to a dead end (only where pairs or batches are scarce) is made again this often.
ATTEMPTS = 20
# Exchanges between random couples of pairs in a batch: twice log2 of 256 pairs mixes it well.
SWEEPS = 16
# A replacement for an unlike pair is looked for among this many samples of both classes first.
FIRST_LOOK = 64

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
    class differ by at most one between classes, and so do its appearances in unlike pairs. The
    samples of a class are used equally often within one, or two where pairs are scarce. No pair is
    of a sample with itself or its exact copy, none comes twice.

    Args:
        dataset: the prepared data; only samples of the split `train` are used.
        params: how much to draw.
        progress: show a bar over the epochs, on a terminal.

    Returns:
        `epoch`, `batch` (int32), `left`, `right` (sample numbers, int64) and `same` (bool), in
        batch order.

    Raises:
        InputError: the data has not enough classes or samples for what is asked.
    """
    pool = _pool(dataset, "train")
    if params.classes_per_batch > pool.n_classes:
        raise InputError(
            f"`pairs.classes_per_batch` is {params.classes_per_batch}, but the split `train` has"
            f" only {pool.n_classes} classes; lower it to at most that"
        )
    plan = _Plan(
        params.batches_per_epoch,
        params.batch_size,
        params.classes_per_batch,
        f"`pairs.batches_per_epoch` {params.batches_per_epoch} x `pairs.batch_size`"
        f" {params.batch_size}",
    )
    _check_supply(pool, plan)
    epochs = range(params.epochs)
    drawn = [
        _draw(pool, plan, _generator(params, "train", epoch))
        for epoch in tqdm(epochs, desc="pairs", unit="epoch", disable=None if progress else True)
    ]
    table = pd.concat([_table(pool, epoch) for epoch in drawn], ignore_index=True)
    batches = np.arange(params.epochs * plan.batches, dtype=np.int32).repeat(plan.batch_size)
    table.insert(0, "epoch", batches // np.int32(plan.batches))
    table.insert(1, "batch", batches % np.int32(plan.batches))
    return table


def draw_fixed(dataset: Dataset, split: str, params: PairsParams) -> pd.DataFrame:
    """Draw the pairs that stay the same for a whole project: one batch of all classes of a split.

    Args:
        dataset: the prepared data; only samples of `split` are used.
        split: `validation` or `test`, which is also the parameter that says how many pairs.
        params: how much to draw.

    Returns:
        `left`, `right` (sample numbers, int64) and `same` (bool), with the promises that
        `draw_training` gives for an epoch.

    Raises:
        InputError: the data has not enough classes or samples for what is asked.
    """
    pool = _pool(dataset, split)
    size: int = getattr(params, split)
    if pool.n_classes < 2 or size < 2 * pool.n_classes:
        raise InputError(
            f"`pairs.{split}` is {size} and the split `{split}` has {pool.n_classes} classes;"
            " expected two classes or more, and at least two pairs a class"
        )
    plan = _Plan(1, size, pool.n_classes, f"`pairs.{split}` {size}")
    _check_supply(pool, plan)
    return _table(pool, _draw(pool, plan, _generator(params, split, 0)))


@dataclass(frozen=True)
class _Pool:
    """The samples of one split, C classes.

    Attributes:
        split: its name.
        numbers: sample numbers, int64 `[n]`.
        column: the class of each sample, int64 `[n]`, 0…C-1.
        group: int64 `[n]`, equal for exact copies.
        members: the positions that belong to each class, C arrays.
        names: the class names, C of them.
        like_supply: how many like pairs each class has, int64 `[C]`; copies make no pair.
        unlike_supply: how many unlike pairs each class can be in, int64 `[C]`.
    """

    split: str
    numbers: np.ndarray
    column: np.ndarray
    group: np.ndarray
    members: list[np.ndarray]
    names: list[str]
    like_supply: np.ndarray
    unlike_supply: np.ndarray

    @property
    def n_classes(self) -> int:
        return len(self.members)


@dataclass(frozen=True)
class _Plan:
    """How much to draw; `asked` is how the parameters put it, for messages."""

    batches: int
    batch_size: int
    classes_per_batch: int
    asked: str

    @property
    def half(self) -> int:
        """Like pairs in a batch, and unlike pairs too."""
        return self.batch_size // 2


class _DeadEnd(Exception):
    """This draw cannot be completed; another may. The message is meant for the user."""


def _pool(dataset: Dataset, split: str) -> _Pool:
    numbers = dataset.rows(split)
    samples = dataset.samples.iloc[numbers]
    labels, column = np.unique(dataset.fine()[numbers], return_inverse=True)
    members = [np.flatnonzero(column == c) for c in range(len(labels))]
    group = samples["duplicate_of"].fillna(samples["sample"]).to_numpy(dtype=np.int64)

    n_samples = np.bincount(column, minlength=len(labels))
    copies = pd.DataFrame({"group": group, "column": column}).value_counts().rename("here")
    table = copies.reset_index()  # one row a group and class, `here` of its samples in the class
    table["elsewhere"] = table.groupby("group")["here"].transform("sum") - table["here"]
    lost = table.assign(like=table["here"] ** 2, unlike=table["here"] * table["elsewhere"])
    lost = lost.groupby("column")[["like", "unlike"]].sum()
    return _Pool(
        split=split,
        numbers=numbers,
        column=column,
        group=group,
        members=members,
        names=[dataset.classes.fine[label] for label in labels],
        like_supply=(n_samples**2 - lost["like"].to_numpy()) // 2,
        unlike_supply=n_samples * (len(numbers) - n_samples) - lost["unlike"].to_numpy(),
    )


def _check_supply(pool: _Pool, plan: _Plan) -> None:
    """Refuse what no draw can give, naming the class that is the bottleneck."""
    for kind, total, supply in (
        ("like", plan.batches * plan.half, pool.like_supply),
        ("unlike", plan.batches * plan.batch_size, pool.unlike_supply),
    ):
        scarcest = int(supply.argmin())
        size = len(pool.members[scarcest])
        who = (
            f"class `{pool.names[scarcest]}` with {size} sample{'s' * (size != 1)} in the split"
            f" `{pool.split}`"
        )
        if supply[scarcest] == 0:
            raise InputError(
                f"{who} has no {kind} pair of samples that are not exact copies of each other; add"
                " samples or leave the class out (`prepare.validation` sets validation's share)"
            )
        low, high = _quota(total, supply)
        if (low > high).any() or high.sum() < total:
            most = plan.batches * plan.batch_size * supply[scarcest] * pool.n_classes // total
            raise InputError(
                f"{plan.asked} needs up to {-(-total // pool.n_classes)} {kind} pairs a class,"
                f" but {who} has only {supply[scarcest]}; ask for at most {most} pairs"
            )


def _quota(total: int, supply: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bound each class's part of `total`: equal within one, and no more than there is."""
    low, odd = divmod(total, len(supply))
    return np.full_like(supply, low), np.minimum(low + (odd > 0), supply)


def _generator(params: PairsParams, split: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([params.seed, STREAMS[split], epoch])


def _table(pool: _Pool, pairs: np.ndarray) -> pd.DataFrame:
    """Turn positions `[batches, batch_size, 2]` into sample numbers, a row a pair."""
    left, right = pool.numbers[pairs.reshape(-1, 2)].T
    return pd.DataFrame({"left": left, "right": right}).assign(
        same=pool.column[pairs[..., 0]].ravel() == pool.column[pairs[..., 1]].ravel()
    )


def _draw(pool: _Pool, plan: _Plan, rng: np.random.Generator) -> np.ndarray:
    """Draw one epoch: positions, int64 `[batches, batch_size, 2]`, like pairs first."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            present = _choose_classes(pool.n_classes, plan, rng)
            n_like = _deal(present, plan, plan.half, pool.like_supply, rng)
            n_places = _deal(present, plan, plan.batch_size, pool.unlike_supply, rng)
            like = _like_pairs(pool, n_like, rng)
            unlike = _unlike_pairs(pool, plan, n_places, like, rng)
            break
        except _DeadEnd as reason:
            if attempt == ATTEMPTS:
                raise InputError(str(reason)) from None
    return np.concatenate([like.reshape(plan.batches, -1, 2), unlike], axis=1)


def _choose_classes(n_classes: int, plan: _Plan, rng: np.random.Generator) -> np.ndarray:
    """Choose the classes of each batch, bool `[batches, C]`, all equally often within one.

    Random orders of all classes are laid end to end and cut into batches. Where a batch begins in
    one order and ends in the next, the next is rearranged so that no class comes twice.
    """
    width = plan.classes_per_batch
    sequence = np.empty(0, dtype=np.int64)
    while len(sequence) < plan.batches * width:
        order = rng.permutation(n_classes)
        begun = sequence[len(sequence) // width * width :]
        fresh = order[~np.isin(order, begun)][: width - len(begun)]
        rest = order[~np.isin(order, fresh)]
        sequence = np.concatenate([sequence, fresh, rest])
    chosen = sequence[: plan.batches * width].reshape(plan.batches, width)
    present = np.zeros((plan.batches, n_classes), dtype=bool)
    np.put_along_axis(present, chosen, True, axis=1)
    return present


def _deal(
    present: np.ndarray, plan: _Plan, per_batch: int, supply: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal `per_batch` items to the classes of each batch, to each class equally many in the end.

    Every class of a batch gets at least one and at most half a batch (with more places than that a
    class could not be matched with others). Within a batch the shares start nearly equal; then
    single items are passed on, inside a batch, from classes that have too many to those that have
    too few, through others where need be. As in any flow problem, no path left means no solution.

    Args:
        present: the classes of each batch, bool `[batches, C]`.
        plan: what is drawn.
        per_batch: items in a batch.
        supply: the most that each class can have in all, int64 `[C]`; `_check_supply` has made sure
            that an equal part, rounded down, is within it.
        rng: the source of chance.

    Returns:
        Items of each class in each batch, int64 `[batches, C]`.

    Raises:
        _DeadEnd: these batches cannot be dealt equally.
    """
    low, high = _quota(plan.batches * per_batch, supply)
    share, extra = divmod(per_batch, plan.classes_per_batch)
    items = present * share
    totals = np.zeros(len(supply), dtype=np.int64)
    for row in items:
        classes = np.flatnonzero(row)
        fewest = np.lexsort((rng.random(len(classes)), totals[classes]))
        row[classes[fewest[:extra]]] += 1
        totals += row
    while (totals > high).any() or (totals < low).any():
        over = totals > high
        givers, takers = (over, totals < high) if over.any() else (totals > low, totals < low)
        path = _shortest_path(items, present & (items < plan.half), givers, takers, rng)
        for giver, taker in pairwise(path):
            batches = np.flatnonzero((items[:, giver] > 1) & present[:, taker])
            batches = batches[items[batches, taker] < plan.half]
            # Where the difference is largest, so that the shares in a batch stay nearly equal.
            gap = items[batches, giver] - items[batches, taker] + rng.random(len(batches))
            items[batches[gap.argmax()], [giver, taker]] += [-1, 1]
        if not path:
            raise _DeadEnd(_unequal(plan, len(supply)))
        totals[path[0]] -= 1
        totals[path[-1]] += 1
    return items


def _shortest_path(
    items: np.ndarray,
    can_take: np.ndarray,
    givers: np.ndarray,
    takers: np.ndarray,
    rng: np.random.Generator,
) -> list[int]:
    """Find classes from one of `givers` to one of `takers`, each able to pass an item to the next.

    A class can pass an item to another in a batch where it has two or more and the other can take
    one. Returns an empty list where there is no path.
    """
    came_from = dict.fromkeys(rng.permutation(np.flatnonzero(givers)).tolist(), -1)
    queue = deque(came_from)
    while queue:
        giver = queue.popleft()
        reached = can_take[items[:, giver] > 1].any(axis=0)
        for taker in rng.permutation(np.flatnonzero(reached)).tolist():
            if taker in came_from:
                continue
            came_from[taker] = giver
            queue.append(taker)
            if takers[taker]:
                path = [taker]
                while (previous := came_from[path[-1]]) >= 0:
                    path.append(previous)
                return path[::-1]
    return []


def _unequal(plan: _Plan, n_classes: int) -> str:
    # If classes come up in equally many batches, equal shares solve it: then only samples lack.
    step = n_classes // math.gcd(n_classes, plan.classes_per_batch)
    if plan.batches % step == 0:
        return f"{plan.asked} is more than the smallest classes have pairs for; ask for fewer pairs"
    return (
        f"`pairs.batches_per_epoch` is {plan.batches} and `pairs.classes_per_batch` is"
        f" {plan.classes_per_batch}: {n_classes} classes cannot come up equally often in an epoch;"
        f" set batches_per_epoch to a multiple of {step}, or change classes_per_batch"
    )


def _like_pairs(pool: _Pool, n_like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the like pairs of all batches, positions `[batches * half, 2]` in batch order."""
    batches, n_classes = n_like.shape
    pairs = [
        _tournament(members, pool.group, total, rng)
        for members, total in zip(pool.members, n_like.sum(axis=0), strict=True)
    ]
    places = np.tile(np.arange(n_classes), batches).repeat(n_like.ravel())
    return _in_order(places, pairs)


def _tournament(
    members: np.ndarray, group: np.ndarray, total: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw `total` different pairs of `members`, `[total, 2]`, using each about equally often.

    The circle method of tournaments: in each round everyone meets someone (one has a bye, if they
    are odd in number), and after the last round everyone has met everyone once. Pairs of exact
    copies are passed over.
    """
    order = rng.permutation(members)
    odd = len(order) % 2
    n_rounds = len(order) - 1 + odd
    drawn = -(-total // (len(order) // 2))
    while True:
        rounds = np.arange(min(drawn, n_rounds))[:, None]
        tables = np.arange(odd, (n_rounds + 1) // 2)
        left, right = (rounds + tables) % n_rounds, (rounds - tables) % n_rounds
        if not odd:
            right[:, 0] = n_rounds  # this one stays seated while the others move on
        pairs = order[np.stack([left.ravel(), right.ravel()], axis=1)]
        pairs = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
        if len(pairs) >= total or drawn >= n_rounds:
            return pairs[:total]
        drawn *= 2


def _unlike_pairs(
    pool: _Pool, plan: _Plan, n_places: np.ndarray, like: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the unlike pairs of all batches, positions `[batches, half, 2]`.

    Args:
        pool: the samples.
        plan: what is drawn.
        n_places: how many places each class has in each batch, int64 `[batches, C]`.
        like: the epoch's like pairs; the samples that they use least come first here.
        rng: the source of chance.

    Raises:
        _DeadEnd: two classes were matched more often than they have pairs.
    """
    used = np.bincount(like.ravel(), minlength=len(pool.numbers))
    samples = [
        members[_least_used(used[members], total, rng)]
        for members, total in zip(pool.members, n_places.sum(axis=0), strict=True)
    ]
    classes = _match(n_places, plan.half, rng)
    pairs = _in_order(classes.ravel(), samples).reshape(-1, 2)
    used += np.bincount(pairs.ravel(), minlength=len(used))
    _mend(pairs, used, pool, plan, rng)
    return pairs.reshape(classes.shape)


def _least_used(used: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Choose indices into `used`, `[total]`, so that use becomes and stays as equal as possible."""
    turns = total // len(used) + 1 + np.ptp(used)
    # A turn's key is the use before it, plus a fraction that puts equals in random order.
    keys = used[:, None] + np.arange(turns) + rng.random((len(used), turns))
    return keys.ravel().argsort()[:total] // turns


def _match(n_places: np.ndarray, half: int, rng: np.random.Generator) -> np.ndarray:
    """Couple the places of each batch, different classes in a couple: `[batches, half, 2]`.

    With the places sorted by class, each with the one half a batch further is such a coupling, as
    no class has more than half the places. Exchanges between random couples then mix it.
    """
    batches, n_classes = n_places.shape
    places = np.tile(np.arange(n_classes), batches).repeat(n_places.ravel())
    left, right = places.reshape(batches, 2, half).transpose(1, 0, 2)
    row = np.arange(batches)[:, None]
    couples = np.tile(np.arange(half), (batches, 1))
    for _ in range(SWEEPS):
        turned = rng.random(left.shape) < 0.5
        left, right = np.where(turned, right, left), np.where(turned, left, right)
        couples = rng.permuted(couples, axis=1)
        one, two = couples[:, : half // 2], couples[:, half // 2 : half // 2 * 2]
        allowed = (left[row, one] != right[row, two]) & (left[row, two] != right[row, one])
        right[row, one], right[row, two] = (
            np.where(allowed, right[row, two], right[row, one]),
            np.where(allowed, right[row, one], right[row, two]),
        )
    return np.stack([left, right], axis=2)


def _mend(
    pairs: np.ndarray, used: np.ndarray, pool: _Pool, plan: _Plan, rng: np.random.Generator
) -> None:
    """Replace, in place, unlike pairs that are repeated or of exact copies; the classes stay.

    Args:
        pairs: positions, `[n_pairs, 2]`.
        used: how often each sample is used in the epoch, int64 `[n]`; kept up to date.
        pool: the samples.
        plan: what is drawn.
        rng: the source of chance.

    Raises:
        _DeadEnd: two classes were matched more often than they have pairs.
    """
    keys = pairs.min(axis=1) * len(used) + pairs.max(axis=1)
    bad = (pool.group[pairs[:, 0]] == pool.group[pairs[:, 1]]) | pd.Series(keys).duplicated()
    if not bad.any():
        return
    taken = set(keys[~bad].tolist())
    for index in np.flatnonzero(bad):
        used[pairs[index]] -= 1
        columns = pool.column[pairs[index]]
        pair = _free_pair(columns, taken, used, pool, rng)
        if pair is None:
            one, two = (pool.names[column] for column in columns)
            raise _DeadEnd(
                f"{plan.asked} needs more unlike pairs of the classes `{one}` and `{two}` than"
                " their samples give; ask for fewer pairs"
            )
        pairs[index] = pair
        used[pairs[index]] += 1
        taken.add(min(pair) * len(used) + max(pair))


def _free_pair(
    columns: np.ndarray, taken: set[int], used: np.ndarray, pool: _Pool, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Find a pair of two classes that is not taken, of samples used little; None if all are."""
    sides = []
    for column in columns:
        members = rng.permutation(pool.members[column])
        sides.append(members[used[members].argsort(kind="stable")])
    for width in (FIRST_LOOK, max(map(len, sides))):
        one, two = sides[0][:width], sides[1][:width]
        order = np.add.outer(used[one], used[two]).argsort(axis=None, kind="stable")
        for row, column in zip(*np.unravel_index(order, (len(one), len(two))), strict=True):
            pair = int(one[row]), int(two[column])
            key = min(pair) * len(used) + max(pair)
            if key not in taken and pool.group[pair[0]] != pool.group[pair[1]]:
                return pair
    return None


def _in_order(places: np.ndarray, by_class: list[np.ndarray]) -> np.ndarray:
    """Fill places, each naming a class, with that class's items one after the other."""
    items = np.concatenate(by_class)
    filled = np.empty_like(items)
    filled[places.argsort(kind="stable")] = items
    return filled
