"""Drawing pairs of a pool: an epoch of batches, or one batch that stays the same.

An epoch is drawn in four steps, each random within what it promises:

1. `choose_classes`: which classes make up each batch, all equally often;
2. `deal`: how many like pairs and how many places in unlike pairs each class gets in each batch,
   so that in the end all classes have equally many;
3. `_like_pairs`: the like pairs of a class, as in a tournament where everyone meets everyone;
4. `_unlike_pairs`: classes matched within a batch, then filled with the samples used least so far.

Fixed pairs are one batch of all classes: `share_out` takes the place of the first two steps.

Positions and columns are those of `pair_pool`.
"""

import math

import numpy as np
import pandas as pd

from siamese.pairs.class_matching import count_couples, keep_within_supply, match_classes
from siamese.pairs.dealing import DeadEnd, choose_classes, deal, share_out
from siamese.pairs.pair_pool import Pool

# Batches of classes that cannot be dealt equally are chosen again this often.
ATTEMPTS = 20
# A replacement for an unlike pair is looked for among this many samples of both classes first.
FIRST_LOOK = 64


def draw_epoch(
    pool: Pool, batches: int, half: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the batches of one epoch; classes with few pairs repeat them.

    Args:
        pool: the samples; every class has a like pair.
        batches: how many.
        half: like pairs in a batch, and unlike pairs too; at least `width`.
        width: classes in a batch, two or more.
        rng: the source of chance.

    Returns:
        Positions, int64 `[batches, 2 * half, 2]`, in each batch the like pairs first.

    Raises:
        DeadEnd: so many batches of so many classes cannot be dealt equally. It never happens where
            all classes can be in equally many batches.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            present = choose_classes(pool.n_classes, batches, width, rng)
            n_like = deal(present, half, half, rng)
            n_places = deal(present, 2 * half, half, rng)
            break
        except DeadEnd:
            if attempt == ATTEMPTS:
                raise
    like = _like_pairs(pool, n_like, rng)
    unlike = _unlike_pairs(pool, n_places, like, True, rng)
    return np.concatenate([like.reshape(batches, half, 2), unlike], axis=1)


def draw_once(pool: Pool, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw different pairs, as equally from all classes as they have them.

    Args:
        pool: the samples; it has `size / 2` like pairs and as many unlike ones.
        size: an even number of pairs.
        rng: the source of chance.

    Returns:
        Positions, int64 `[size, 2]`, the like pairs first.
    """
    # An epoch begins with an order of the classes. Here it serves nothing, but without it the
    # pairs that were drawn before fixed pairs had a function of their own would change.
    rng.permutation(pool.n_classes)
    half = size // 2
    n_like = share_out(half, pool.like_supply, rng)
    n_places = share_out(size, np.minimum(pool.unlike_supply, half), rng)
    like = _like_pairs(pool, n_like[None], rng)
    unlike = _unlike_pairs(pool, n_places[None], like, False, rng)
    return np.concatenate([like, unlike[0]])


def _like_pairs(pool: Pool, n_like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
    """Draw `total` pairs of `members`, `[total, 2]`, using each about equally often.

    The circle method of tournaments: in each round everyone meets someone (one has a bye, if they
    are odd in number), and after the last round everyone has met everyone once. Pairs of exact
    copies are passed over. Where more is asked than that gives, the tournament is played again, in
    the same order: so a pair and its repetition are as far apart as can be.
    """
    order = rng.permutation(members)
    if total == 0:
        return np.empty((0, 2), dtype=np.int64)
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
            return pairs[np.arange(total) % len(pairs)]
        drawn *= 2


def _unlike_pairs(
    pool: Pool, n_places: np.ndarray, like: np.ndarray, may_repeat: bool, rng: np.random.Generator
) -> np.ndarray:
    """Draw the unlike pairs of all batches, positions `[batches, half, 2]`.

    Args:
        pool: the samples.
        n_places: how many places each class has in each batch, int64 `[batches, C]`.
        like: the epoch's like pairs; the samples that they use least come first here.
        may_repeat: two classes with too few pairs repeat them; if not, there is one batch, and
            other classes take their places.
        rng: the source of chance.
    """
    used = np.bincount(like.ravel(), minlength=len(pool.numbers))
    samples = _samples(pool, n_places.sum(axis=0), used, rng)
    matched = match_classes(n_places, rng)
    couples = matched.reshape(-1, 2)
    if not may_repeat:
        kept = keep_within_supply(couples, pool, rng)
        if kept is not couples:
            couples = kept
            n_places = np.bincount(couples.ravel(), minlength=pool.n_classes)
            samples = _samples(pool, n_places, used, rng)
    pairs = _in_order(couples.ravel(), samples).reshape(-1, 2)

    distinct, kind, count = count_couples(couples)
    # Beyond half of the pairs that two classes have, going through them in order is better than
    # looking for one that is free.
    is_scarce = 2 * count > pool.couple_supply(distinct)
    used += np.bincount(pairs[~is_scarce[kind]].ravel(), minlength=len(used))
    for scarce in np.flatnonzero(is_scarce):
        where = np.flatnonzero(kind == scarce)
        drawn = _meetings(distinct[scarce], len(where), used, pool, rng)
        turned = couples[where, 0] != distinct[scarce, 0]
        drawn[turned] = drawn[turned, ::-1]
        pairs[where] = drawn
        np.add.at(used, drawn, 1)
    _mend(pairs, used, pool, is_scarce[kind], rng)
    return pairs.reshape(matched.shape)


def _samples(
    pool: Pool, n_places: np.ndarray, used: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Choose a sample for each place of each class, the least used first: C arrays."""
    return [
        members[_least_used(used[members], total, rng)]
        for members, total in zip(pool.members, n_places, strict=True)
    ]


def _least_used(used: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Choose indices into `used`, `[total]`, so that use becomes and stays as equal as possible."""
    turns = total // len(used) + 1 + np.ptp(used)
    # A turn's key is the use before it, plus a fraction that puts equals in random order.
    keys = used[:, None] + np.arange(turns) + rng.random((len(used), turns))
    return keys.ravel().argsort()[:total] // turns


def _meetings(
    couple: np.ndarray, total: int, used: np.ndarray, pool: Pool, rng: np.random.Generator
) -> np.ndarray:
    """Draw `total` pairs of two classes, `[total, 2]`, using each sample about equally often.

    Both classes stand in line and go through it over and over, the second with a step aside each
    time that the first two in line would meet again: so everyone meets everyone once. Pairs of
    exact copies are passed over. If more is asked, it begins anew, in the same order.

    Args:
        couple: the two columns, int64 `[2]`.
        total: how many pairs.
        used: how often each sample is used so far, int64 `[n]`; the least used come first.
        pool: the samples; the two classes have a pair.
        rng: the source of chance.
    """
    one, two = (_by_use(pool.members[column], used, rng) for column in couple)
    turn = np.arange(len(one) * len(two))
    left = one[turn % len(one)]
    right = two[(turn + turn // math.lcm(len(one), len(two))) % len(two)]
    pairs = np.stack([left, right], axis=1)[pool.group[left] != pool.group[right]]
    return pairs[np.arange(total) % len(pairs)]


def _by_use(members: np.ndarray, used: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sort positions by use, equals in random order."""
    members = rng.permutation(members)
    return members[used[members].argsort(kind="stable")]


def _mend(
    pairs: np.ndarray, used: np.ndarray, pool: Pool, is_sound: np.ndarray, rng: np.random.Generator
) -> None:
    """Replace, in place, unlike pairs that are repeated or of exact copies; the classes stay.

    Args:
        pairs: positions, `[n_pairs, 2]`.
        used: how often each sample is used in the epoch, int64 `[n]`; kept up to date.
        pool: the samples.
        is_sound: pairs that stay as they are, bool `[n_pairs]`. The classes of any other have at
            least twice as many pairs as they need.
        rng: the source of chance.
    """
    keys = pairs.min(axis=1) * len(used) + pairs.max(axis=1)
    bad = (pool.group[pairs[:, 0]] == pool.group[pairs[:, 1]]) | pd.Series(keys).duplicated()
    bad &= ~is_sound
    taken = set(keys[~bad].tolist())
    for index in np.flatnonzero(bad):
        used[pairs[index]] -= 1
        pairs[index] = _free_pair(pool.column[pairs[index]], taken, used, pool, rng)
        used[pairs[index]] += 1
        taken.add(int(pairs[index].min() * len(used) + pairs[index].max()))


def _free_pair(
    columns: np.ndarray, taken: set[int], used: np.ndarray, pool: Pool, rng: np.random.Generator
) -> tuple[int, int]:
    """Find a pair of two classes that is not taken, of samples used little."""
    sides = [_by_use(pool.members[column], used, rng) for column in columns]
    for width in (FIRST_LOOK, max(map(len, sides))):
        one, two = sides[0][:width], sides[1][:width]
        best, least = None, np.inf
        for left in one.tolist():
            if used[left] + used[two[0]] >= least:
                break  # both are sorted: no later one is used less
            for right in two[pool.group[two] != pool.group[left]].tolist():
                if min(left, right) * len(used) + max(left, right) not in taken:
                    if used[left] + used[right] < least:
                        best, least = (left, right), used[left] + used[right]
                    break
        if best:
            return best
    raise AssertionError("classes that meet so often are the business of `_meetings`")


def _in_order(places: np.ndarray, by_class: list[np.ndarray]) -> np.ndarray:
    """Fill places, each naming a class, with that class's items one after the other."""
    items = np.concatenate(by_class)
    filled = np.empty_like(items)
    filled[places.argsort(kind="stable")] = items
    return filled
