"""The samples that pairs are drawn from, and how many different pairs they give.

Counts *positions* (the samples of the pool, 0…n-1) and *columns* (the classes present in it,
0…C-1). A pair is never of a sample with itself or with an exact copy of it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset


@dataclass(frozen=True)
class Pool:
    """Some samples of one split, of C classes.

    Attributes:
        name: what they are, for messages.
        numbers: sample numbers, int64 `[n]`.
        column: the class of each sample, int64 `[n]`, 0…C-1.
        group: int64 `[n]`, equal for exact copies.
        members: the positions that belong to each class, C arrays.
        names: the class names, C of them.
        like_supply: how many like pairs each class has, int64 `[C]`.
        unlike_supply: how many unlike pairs each class can be in, int64 `[C]`.
        shared: for each class, how many of its samples belong to a group that is in other classes
            too, by that group.
    """

    name: str
    numbers: np.ndarray
    column: np.ndarray
    group: np.ndarray
    members: list[np.ndarray]
    names: list[str]
    like_supply: np.ndarray
    unlike_supply: np.ndarray
    shared: list[dict[int, int]]

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.members)

    def couple_supply(self, couples: np.ndarray) -> np.ndarray:
        """Return how many unlike pairs two classes give.

        Args:
            couples: columns of two different classes, int64 `[k, 2]`.

        Returns:
            int64 `[k]`.
        """
        sizes = np.array([len(members) for members in self.members])
        copies = [
            sum(n * self.shared[two].get(group, 0) for group, n in self.shared[one].items())
            for one, two in couples.tolist()
        ]
        return sizes[couples].prod(axis=1) - np.array(copies, dtype=np.int64)


def pool_of(dataset: Dataset, numbers: np.ndarray, name: str) -> Pool:
    """Gather samples into a pool.

    Args:
        dataset: the prepared data.
        numbers: sample numbers, int64 `[n]` ascending.
        name: what these samples are, for messages.
    """
    samples = dataset.samples.iloc[numbers]
    labels, column = np.unique(dataset.fine()[numbers], return_inverse=True)
    group = samples["duplicate_of"].fillna(samples["sample"]).to_numpy(dtype=np.int64)

    n_samples = np.bincount(column, minlength=len(labels))
    copies = pd.DataFrame({"group": group, "column": column}).value_counts().rename("here")
    table = copies.reset_index()  # one row a group and class, `here` of its samples in the class
    table["elsewhere"] = table.groupby("group")["here"].transform("sum") - table["here"]
    lost = table.assign(like=table["here"] ** 2, unlike=table["here"] * table["elsewhere"])
    lost = lost.groupby("column")[["like", "unlike"]].sum()
    shared: list[dict[int, int]] = [{} for _ in labels]
    across = table.loc[table["elsewhere"] > 0, ["column", "group", "here"]]
    for label, its_group, here in across.to_numpy().tolist():
        shared[label][its_group] = here
    return Pool(
        name=name,
        numbers=numbers,
        column=column,
        group=group,
        members=[np.flatnonzero(column == c) for c in range(len(labels))],
        names=[dataset.classes.fine[label] for label in labels],
        like_supply=(n_samples**2 - lost["like"].to_numpy()) // 2,
        unlike_supply=n_samples * (len(numbers) - n_samples) - lost["unlike"].to_numpy(),
        shared=shared,
    )
