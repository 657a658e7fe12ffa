"""Dealing: how many pairs, or places in pairs, each class gets, and in which batches.

Everything here counts in *columns*, the classes present in a split, 0…C-1.
"""

from bisect import bisect_right
from collections import deque
from itertools import pairwise

import numpy as np


class DeadEnd(Exception):
    """These batches cannot be dealt equally; others may."""


def choose_classes(
    n_classes: int, batches: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose `width` classes for each batch, bool `[batches, C]`, all equally often within one.

    Random orders of all classes are laid end to end and cut into batches. Where a batch begins in
    one order and ends in the next, the next is rearranged so that no class comes twice.
    """
    sequence = np.empty(0, dtype=np.int64)
    while len(sequence) < batches * width:
        order = rng.permutation(n_classes)
        begun = sequence[len(sequence) // width * width :]
        fresh = order[~np.isin(order, begun)][: width - len(begun)]
        rest = order[~np.isin(order, fresh)]
        sequence = np.concatenate([sequence, fresh, rest])
    chosen = sequence[: batches * width].reshape(batches, width)
    present = np.zeros((batches, n_classes), dtype=bool)
    np.put_along_axis(present, chosen, True, axis=1)
    return present


def deal(present: np.ndarray, per_batch: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Deal `per_batch` items to the classes of each batch, to all equally many within one.

    Within a batch the shares start nearly equal; then single items are passed on, inside a batch,
    from classes that have too many to those that have too few, through others where need be. As in
    any flow problem, no path left means no solution.

    Args:
        present: the classes of each batch, bool `[batches, C]`, equally many in each.
        per_batch: items in a batch, at least one for each of its classes.
        most: the most that a class can have in one batch; each of its classes has at least one.
        rng: the source of chance.

    Returns:
        Items of each class in each batch, int64 `[batches, C]`.

    Raises:
        DeadEnd: these batches cannot be dealt equally. It never happens where all classes are in
            equally many batches.
    """
    low, odd = divmod(len(present) * per_batch, present.shape[1])
    high = low + (odd > 0)
    share, extra = divmod(per_batch, int(present[0].sum()))
    items = present * share
    totals = np.zeros(present.shape[1], dtype=np.int64)
    for row in items:
        classes = np.flatnonzero(row)
        fewest = np.lexsort((rng.random(len(classes)), totals[classes]))
        row[classes[fewest[:extra]]] += 1
        totals += row
    while (totals > high).any() or (totals < low).any():
        over = totals > high
        givers, takers = (over, totals < high) if over.any() else (totals > low, totals < low)
        path = _shortest_path(items, present & (items < most), givers, takers, rng)
        if not path:
            raise DeadEnd
        for giver, taker in pairwise(path):
            batches = np.flatnonzero((items[:, giver] > 1) & present[:, taker])
            batches = batches[items[batches, taker] < most]
            # Where the difference is largest, so that the shares in a batch stay nearly equal.
            gap = items[batches, giver] - items[batches, taker] + rng.random(len(batches))
            items[batches[gap.argmax()], [giver, taker]] += [-1, 1]
        totals[path[0]] -= 1
        totals[path[-1]] += 1
    return items


def share_out(total: int, supply: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share `total` items as equally as supplies allow, int64 `[C]`, like water in a vessel.

    Up to a common level every class gives what it has. The few items that are then still wanted
    come from classes drawn by lot among those that have more.

    Args:
        total: items in all, at most the sum of `supply`.
        supply: the most that each class can give, int64 `[C]`.
        rng: the source of chance.
    """
    levels = range(int(supply.max()) + 1)
    level = bisect_right(levels, total, key=lambda level: np.minimum(supply, level).sum()) - 1
    items = np.minimum(supply, level)
    by_lot = rng.random(len(supply)).argsort(kind="stable")
    deeper = by_lot[supply[by_lot] > level]
    items[deeper[: total - items.sum()]] += 1
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
