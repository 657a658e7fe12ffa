"""Matching: which two classes meet in each unlike pair.

Everything here counts in *columns*, the classes present in a split, 0…C-1. A *couple* is two
different classes that meet; their *supply* is how many different pairs their samples give.
"""

import numpy as np
import pandas as pd

from siamese.data.pair_pool import Pool

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
    surplus = _surplus(couples, pool)
    if len(surplus) == 0:
        return couples
    couples = couples.copy()
    places = np.bincount(couples.ravel(), minlength=pool.n_classes)
    for index in surplus:
        # As long as it stands here, its couple is in surplus, so it is not found again below.
        places[couples[index]] -= 1
        couples[index] = _emptiest_couple(couples, places, pool, rng)
        places[couples[index]] += 1
    moved = True
    while moved:
        moved = False
        for column in np.lexsort((rng.random(len(places)), places)):
            while _take_place(int(column), couples, places, pool, rng):
                moved = True
    return couples


def _surplus(couples: np.ndarray, pool: Pool) -> np.ndarray:
    """Find the indices of couples that are one too many of their kind."""
    distinct, kind, _ = count_couples(couples)
    nth = pd.Series(kind).groupby(kind).cumcount().to_numpy()
    return np.flatnonzero(nth >= pool.couple_supply(distinct)[kind])


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


def _emptiest_couple(
    couples: np.ndarray, places: np.ndarray, pool: Pool, rng: np.random.Generator
) -> tuple[int, int]:
    """Find a couple that has a pair left, of classes with few places."""
    order = np.lexsort((rng.random(len(places)), places))
    for one in order[places[order] < pool.unlike_supply[order]].tolist():
        room = _room(one, couples, pool)[order] > 0
        if room.any():
            return one, int(order[room.argmax()])
    raise ValueError("the pool has fewer unlike pairs than couples")


def _take_place(
    column: int, couples: np.ndarray, places: np.ndarray, pool: Pool, rng: np.random.Generator
) -> bool:
    """Let a class gain a place, in place, from one that has two more or still more; if it can.

    It takes that class's part in a couple; or a third class does, and gives up a part of its own.
    (Longer chains were not needed in any comparison with all solutions there are.)
    """
    rich = places >= places[column] + 2
    if not rich.any() or places[column] >= pool.unlike_supply[column]:
        return False
    parts, owners = _parts_to_take(column, couples, pool, rng)
    if rich[owners].any():
        taken = places[owners].argmax()
        owner = owners[taken]
        couples[tuple(parts[taken])] = column
    else:
        for third, first in zip(*np.unique(owners, return_index=True), strict=True):
            thirds_parts, thirds_owners = _parts_to_take(third, couples, pool, rng)
            if rich[thirds_owners].any():
                taken = places[thirds_owners].argmax()
                owner = thirds_owners[taken]
                couples[tuple(thirds_parts[taken])] = third
                couples[tuple(parts[first])] = column
                break
        else:
            return False
    places[[owner, column]] += [-1, 1]
    return True


def _parts_to_take(
    column: int, couples: np.ndarray, pool: Pool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Find where a class could stand instead of another, in random order.

    Returns:
        Indices into `couples` `[k, 2]` and the classes that stand there `[k]`.
    """
    partner_has_room = _room(column, couples, pool)[couples[:, ::-1]] > 0
    parts = rng.permutation(np.argwhere(partner_has_room & (couples != column)))
    return parts, couples[tuple(parts.T)]


def _room(column: int, couples: np.ndarray, pool: Pool) -> np.ndarray:
    """Count the pairs that a class has left with each class, int64 `[C]`; none with itself."""
    others = np.arange(pool.n_classes)
    supply = pool.couple_supply(np.stack([np.full_like(others, column), others], axis=1))
    supply[column] = 0
    met = couples[:, ::-1][couples == column]
    return supply - np.bincount(met, minlength=pool.n_classes)
