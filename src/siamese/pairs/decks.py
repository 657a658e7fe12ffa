"""Decks of cards, one per class: each card is a sample, and pairs are dealt from the decks.

Which two cards meet at turn 0, 1, 2, ... is a formula. It names each pair once, and uses all cards
equally often on the way, so nothing has to be remembered or repaired. Decks are shuffled for every
epoch. After its last turn a deck of few cards starts again at turn 0, which repeats pairs.

*Columns* are the classes present among some samples, 0…C-1; *positions* are these samples, 0…n-1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from siamese.base.dataset import Dataset, pictures_of

# Where exact copies must be skipped, at most this many turns are looked at together.
TURNS_AT_ONCE = 2**20


def meet_within(size: np.ndarray | int, turn: np.ndarray) -> np.ndarray:
    """Return which two of `size` cards meet at a turn, so that all meet all others once.

    The circle method of tournaments: `size // 2` turns are a round, in which each card meets one
    other (if `size` is odd, one card rests). Repeats after `size * (size - 1) / 2` turns.

    Args:
        size: at least 2, one number or int64 of the shape of `turn`.
        turn: int64 `[...]`, from 0.

    Returns:
        int64 `[..., 2]`, two different numbers from 0 to `size - 1`.
    """
    is_odd = np.asarray(size) % 2
    n_rounds = size - 1 + is_odd
    number, table = np.divmod(turn % (size * (size - 1) // 2), size // 2)
    table = table + is_odd
    # At table 0, which only an even number of cards has, the last card stays seated.
    right = np.where(table == 0, n_rounds, (number - table) % n_rounds)
    return np.stack([(number + table) % n_rounds, right], axis=-1)


def meet_between(sizes: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return which cards of two decks meet at a turn, so that all of one meet all of the other.

    Both decks are gone through again and again. Whenever the first pair would come back, the second
    deck moves one card ahead. Repeats after `sizes[0] * sizes[1]` turns.

    Args:
        sizes: int64 `[..., 2]`.
        turn: int64 `[...]`, from 0.

    Returns:
        int64 `[..., 2]`: a number from 0 to `sizes[..., 0] - 1`, another to `sizes[..., 1] - 1`.
    """
    one, two = sizes[..., 0], sizes[..., 1]
    turn = turn % (one * two)
    return np.stack([turn % one, (turn + turn // np.lcm(one, two)) % two], axis=-1)


@dataclass(frozen=True)
class Decks:
    """Some samples of one split, of C classes, as one deck of cards per class.

    Attributes:
        name: what they are, for messages.
        numbers: sample numbers, int64 `[n]`, class by class.
        column: the class of each sample, int64 `[n]` ascending, 0…C-1.
        group: int64 `[n]`, 0…G-1, equal for exact copies.
        names: the class names, C of them.
    """

    name: str
    numbers: np.ndarray
    column: np.ndarray
    group: np.ndarray
    names: list[str]

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, name: str) -> Self:
        """Sort samples of a data set (sample numbers, int64 `[n]`) into decks."""
        fine = dataset.fine()[rows]
        numbers = rows[fine.argsort(kind="stable")]
        labels, column = np.unique(dataset.fine()[numbers], return_inverse=True)
        group = np.unique(pictures_of(dataset.samples.iloc[numbers]), return_inverse=True)[1]
        return cls(name, numbers, column, group, [dataset.classes.fine[label] for label in labels])

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.names)

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of samples of each class, int64 `[C]`."""
        return np.bincount(self.column, minlength=self.n_classes)

    @cached_property
    def _starts(self) -> np.ndarray:
        """The position at which each class begins, int64 `[C]`."""
        return self.sizes.cumsum() - self.sizes

    @cached_property
    def _group_sizes(self) -> csr_array:
        """How many samples each class has of each group of exact copies, int64 `[C, G]`."""
        counts = (np.ones_like(self.column), (self.column, self.group))
        return csr_array(counts, shape=(self.n_classes, self.group.max(initial=-1) + 1))

    def like_supply(self) -> np.ndarray:
        """Count the different like pairs of each class, int64 `[C]`."""
        return (self.sizes**2 - self._group_sizes.power(2).sum(axis=1)) // 2

    def unlike_supply(self) -> int:
        """Count all different unlike pairs."""
        not_copies = len(self.column) ** 2 - (self._group_sizes.sum(axis=0) ** 2).sum()
        return int(not_copies // 2 - self.like_supply().sum())

    def couple_supply(self, couples: np.ndarray) -> np.ndarray:
        """Count the different unlike pairs of two different columns each, `[k, 2]`: int64 `[k]`."""
        across = np.flatnonzero((self._group_sizes > 0).sum(axis=0) > 1)
        one, two = (self._group_sizes[:, across][side] for side in couples.T)
        return self.sizes[couples].prod(axis=1) - one.multiply(two).sum(axis=1)

    def deal_like(self, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Deal a like pair of each class that is asked for; none twice where a class has enough.

        Args:
            columns: the class of each pair, int64 `[k]`; each class has a like pair.
            rng: the source of chance.

        Returns:
            Positions, int64 `[k, 2]`.
        """
        cards = np.lexsort((rng.random(len(self.column)), self.column))

        def pair_at(column: np.ndarray, turn: np.ndarray) -> np.ndarray:
            return cards[self._starts[column, None] + meet_within(self.sizes[column], turn)]

        return self._deal(columns, pair_at, self.sizes * (self.sizes - 1) // 2)

    def deal_unlike(
        self, couples: np.ndarray, used: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Deal a pair of each two classes that are asked for; none twice where these have enough.

        Args:
            couples: the two different classes of each pair, int64 `[k, 2]`; they have a pair.
            used: how often each sample is used so far, int64 `[n]`; the least used come first.
            rng: the source of chance.

        Returns:
            Positions, int64 `[k, 2]`, of the classes as in `couples`.
        """
        cards = np.lexsort((rng.random(len(used)), used, self.column))
        keys = couples.min(axis=1) * self.n_classes + couples.max(axis=1)
        keys, kind, count = np.unique(keys, return_inverse=True, return_counts=True)
        kinds = np.stack(np.divmod(keys, self.n_classes), axis=1)  # (kinds, 2)
        sizes = self.sizes[kinds]
        # Each two classes take the next cards of both decks, as many as they meet. The second deck
        # moves ahead now and then. It starts that far back, so that it ends at its next cards too.
        ends = pd.Series(count.repeat(2)).groupby(kinds.ravel()).cumsum().to_numpy().reshape(-1, 2)
        first = ends - count[:, None]
        first[:, 1] -= (count - 1) % sizes.prod(axis=1) // np.lcm.reduce(sizes, axis=1)

        def pair_at(kind: np.ndarray, turn: np.ndarray) -> np.ndarray:
            index = (first[kind] + meet_between(sizes[kind], turn)) % sizes[kind]
            return cards[self._starts[kinds[kind]] + index]

        pairs = self._deal(kind, pair_at, sizes.prod(axis=1))
        is_turned = couples[:, 0] > couples[:, 1]
        pairs[is_turned] = pairs[is_turned, ::-1]
        return pairs

    def _deal(
        self,
        kinds: np.ndarray,
        pair_at: Callable[[np.ndarray, np.ndarray], np.ndarray],
        n_turns: np.ndarray,
    ) -> np.ndarray:
        """Deal the first turns of each kind of pair, without those of exact copies.

        Args:
            kinds: what kind of pair is asked for, int64 `[k]`; each has a pair of no copies.
            pair_at: the positions `[..., 2]` of a kind `[...]` at a turn `[...]`.
            n_turns: the number of turns after which a kind repeats, by kind.

        Returns:
            Positions, int64 `[k, 2]`.
        """
        pairs = pair_at(kinds, pd.Series(kinds).groupby(kinds).cumcount().to_numpy())
        for kind in np.unique(kinds[self._are_copies(pairs)]):
            places = np.flatnonzero(kinds == kind)
            found = np.empty((0, 2), dtype=np.int64)
            turn, step = 0, len(places)
            while len(found) < len(places) and turn < n_turns[kind]:
                turns = np.arange(turn, min(turn + step, n_turns[kind]))
                looked_at = pair_at(np.full_like(turns, kind), turns)
                found = np.concatenate([found, looked_at[~self._are_copies(looked_at)]])
                turn, step = turn + step, min(2 * step, TURNS_AT_ONCE)
            pairs[places] = np.resize(found, (len(places), 2))  # repeats, where they are too few
        return pairs

    def _are_copies(self, pairs: np.ndarray) -> np.ndarray:
        """Tell which pairs of positions `[k, 2]` are of exact copies, bool `[k]`."""
        return self.group[pairs[:, 0]] == self.group[pairs[:, 1]]
