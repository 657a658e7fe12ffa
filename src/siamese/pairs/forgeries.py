"""Pairs of what is genuine and what pretends to be: unlike pairs, though of one class.

Dealt like the pairs of two classes, see `siamese.pairs.decks`: the genuine samples of a class are
one deck, and the forgeries of it another.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset
from siamese.pairs.decks import meet_between


@dataclass(frozen=True)
class Forgeries:
    """The genuine and the forged samples of some classes.

    Attributes:
        genuine: sample numbers by class, int64; of each class that has forgeries.
        forged: the same of the forgeries.
    """

    genuine: dict[int, np.ndarray]
    forged: dict[int, np.ndarray]

    @classmethod
    def of(cls, dataset: Dataset, genuine: np.ndarray, split: str) -> Self:
        """Gather those of a split.

        Args:
            dataset: the prepared data; its images are not read.
            genuine: the genuine samples to pair them with, int64 `[n]`.
            split: of the forgeries.
        """
        by_class = [
            {int(label): rows[fine == label] for label in np.unique(fine)}
            for rows in (genuine, dataset.forged(split))
            for fine in [dataset.fine()[rows]]
        ]
        both = by_class[0].keys() & by_class[1].keys()
        return cls(*({label: one[label] for label in sorted(both)} for one in by_class))

    def supply(self, labels: np.ndarray) -> np.ndarray:
        """Count the different pairs of each class, int64 `[n]`."""
        sizes = [len(self.genuine[label]) * len(self.forged[label]) for label in labels.tolist()]
        return np.array(sizes, dtype=np.int64)

    def deal(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Deal a pair of each class that is asked for; none twice where a class has enough.

        The samples of a class are used equally often within one, genuine and forged ones apart.

        Args:
            labels: the class of each pair, int64 `[k]`; all have forgeries.
            rng: the source of chance.

        Returns:
            Sample numbers, int64 `[k, 2]`: a genuine one, and a forgery of it.
        """
        turn = pd.Series(labels).groupby(labels).cumcount().to_numpy()
        pairs = np.empty((len(labels), 2), dtype=np.int64)
        for label in np.unique(labels):
            cards = [rng.permutation(one[int(label)]) for one in (self.genuine, self.forged)]
            where = labels == label
            places = meet_between(np.array([len(deck) for deck in cards]), turn[where])
            pairs[where] = np.stack([cards[0][places[:, 0]], cards[1][places[:, 1]]], axis=1)
        return pairs
