"""Matching: which two classes meet in each unlike pair.

Everything here counts in *columns*, the classes present in a split, 0…C-1. A *couple* is two
different classes that meet; their *supply* is how many different pairs their samples give.
"""

import numpy as np
import pandas as pd

from siamese.pairs.pair_pool import Pool

# Exchanges between random couples in a batch: twice log2 of 256 pairs mixes it well.
SWEEPS = 16


def match_classes(n_places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Couple the places of each batch, different classes in a couple: `[batches, half, 2]`.

    With the places sorted by class, each with the one half a batch further is such a coupling, as
    no class has more than half the places. Exchanges between random couples then mix it.

    Args:
        n_places: places of each class in each batch, int64 `[batches, C]`, a batch `2 * half`.
        rng: the source of chance.
    """
    half = int(n_places[0].sum()) // 2
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


def count_couples(couples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tell couples apart, whichever class is on the left.

    Args:
        couples: int64 `[n, 2]`.

    Returns:
        The k distinct couples `[k, 2]`; which of them each one is `[n]`; how often it comes `[k]`.
    """
    width = int(couples.max()) + 1
    keys = couples.min(axis=1) * width + couples.max(axis=1)
    distinct, kind, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.stack(np.divmod(distinct, width), axis=1), kind, count


def keep_within_supply(couples: np.ndarray, pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """Exchange couples that meet more often than they have different pairs for others.

    The other couples stay as they are, but for those that must give way so that the places in
    unlike pairs are as equal between classes as supplies allow.

    Args:
        couples: two different columns each, int64 `[n, 2]`; `pool` has at least n unlike pairs.
        pool: the samples.
        rng: the source of chance.

    Returns:
        int64 `[n, 2]`; `couples` itself where nothing had to change.
    """
    distinct, kind, _ = count_couples(couples)
    nth = pd.Series(kind).groupby(kind).cumcount().to_numpy()
    surplus = np.flatnonzero(nth >= pool.couple_supply(distinct)[kind])
    if len(surplus) == 0:
        return couples
    exchange = _Exchange(couples, pool, rng)
    for row in surplus.tolist():
        exchange.replace(row)
    moved = True
    while moved:
        moved = False
        for column in np.lexsort((rng.random(pool.n_classes), exchange.places)).tolist():
            while exchange.raise_one(column):
                moved = True
    return exchange.couples


class _Exchange:
    """Couples on their way to what supplies allow.

    Attributes:
        couples: int64 `[n, 2]`, changed in place.
        places: how many of these each class has, int64 `[C]`.
    """

    def __init__(self, couples: np.ndarray, pool: Pool, rng: np.random.Generator) -> None:
        self.couples = couples.copy()
        self.places = np.bincount(couples.ravel(), minlength=pool.n_classes)
        self._pool = pool
        self._rng = rng
        # All of it would be C², too much for thousands of classes.
        self._room_of: dict[int, np.ndarray] = {}

    def replace(self, row: int) -> None:
        """Put a couple that has a pair left, of classes with few places, into a row of another."""
        places = self.places.copy()
        places[self.couples[row]] -= 1
        order = np.lexsort((self._rng.random(len(places)), places))
        # While its couple stands in the row, it has no room, so something else is found.
        for first in order[places[order] < self._pool.unlike_supply[order]].tolist():
            has_room = self._room(first)[order] > 0
            if has_room.any():
                self._put(row, first, int(order[has_room.argmax()]))
                return
        raise ValueError("the pool has fewer unlike pairs than couples")

    def raise_one(self, column: int) -> bool:
        """Let a class gain a place from one that has two more or still more; False if it cannot.

        It takes that class's part in a couple; or a third class does, and gives up a part of its
        own. (Longer chains were not needed in any comparison with all solutions there are.)
        """
        is_rich = self.places >= self.places[column] + 2
        if not is_rich.any() or self.places[column] >= self._pool.unlike_supply[column]:
            return False
        if self._take(column, is_rich):
            return True
        meets_rich = np.zeros_like(is_rich)
        meets_rich[self.couples[:, ::-1][is_rich[self.couples]]] = True
        parts = self.couples[self._parts(column)]
        for third in self._rng.permutation(np.unique(parts)).tolist():
            if (self._room(third)[meets_rich] > 0).any():
                self._take(third, is_rich)
                return self._take(column, np.arange(len(is_rich)) == third)
        return False

    def _take(self, column: int, owners: np.ndarray) -> bool:
        """Let a class take a part from the one with most places of `owners`, bool `[C]`."""
        rows, sides = np.nonzero(self._parts(column) & owners[self.couples])
        if len(rows) == 0:
            return False
        owned = self.places[self.couples[rows, sides]]
        taken = (owned + self._rng.random(len(owned))).argmax()
        self._put(rows[taken], column, int(self.couples[rows[taken], 1 - sides[taken]]))
        return True

    def _parts(self, column: int) -> np.ndarray:
        """Tell where a class could stand instead of another, bool `[n, 2]`."""
        return (self._room(column)[self.couples[:, ::-1]] > 0) & (self.couples != column)

    def _room(self, column: int) -> np.ndarray:
        """Count the pairs that a class has left with each class, int64 `[C]`; none with itself."""
        if column not in self._room_of:
            others = np.arange(self._pool.n_classes)
            couples = np.stack([np.full_like(others, column), others], axis=1)
            room = self._pool.couple_supply(couples)
            room[column] = 0
            met = self.couples[:, ::-1][self.couples == column]
            self._room_of[column] = room - np.bincount(met, minlength=len(room))
        return self._room_of[column]

    def _put(self, row: int, one: int, two: int) -> None:
        """Let another couple, `one` and `two`, stand in a row."""
        old_one, old_two = self.couples[row].tolist()
        for change, here, there in ((1, old_one, old_two), (-1, one, two)):
            self.places[[here, there]] -= change
            if here in self._room_of:
                self._room_of[here][there] += change
            if there in self._room_of:
                self._room_of[there][here] += change
        self.couples[row] = one, two
