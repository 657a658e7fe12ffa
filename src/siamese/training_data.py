"""What training reads, laid out on the device that trains."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from siamese.dataset import Dataset


@dataclass(frozen=True)
class TrainingData:
    """What training reads: the training and validation splits and their pairs, nothing of test.

    Attributes:
        images: uint8 `[n, H, W, 3]`, the training samples, on the device.
        labels: int64 `[n]`, their fine labels, on the device.
        batches: int64 `[epochs, batches, pairs, 2]`, positions in `images`, in manifest order.
        same: bool `[epochs, batches, pairs]`.
        validation_images: uint8 `[v, H, W, 3]`, the validation samples, on the device.
        validation_labels: int64 `[v]`.
        validation_pairs: int64 `[p, 2]`, positions in `validation_images`.
        validation_same: bool `[p]`.
    """

    images: Tensor
    labels: Tensor
    batches: np.ndarray
    same: np.ndarray
    validation_images: Tensor
    validation_labels: np.ndarray
    validation_pairs: np.ndarray
    validation_same: np.ndarray

    @classmethod
    def load(
        cls,
        dataset: Dataset,
        train_pairs: pd.DataFrame,
        validation_pairs: pd.DataFrame,
        device: torch.device,
    ) -> Self:
        """Put the two splits on the device and translate sample numbers into positions there.

        Args:
            dataset: the prepared data set.
            train_pairs: `epoch`, `batch`, `left`, `right`, `same`, in batch order.
            validation_pairs: `left`, `right`, `same`.
            device: where the images are kept, as uint8.
        """
        train, validation = dataset.rows("train"), dataset.rows("validation")
        position = np.full(len(dataset.images), -1)
        position[train] = np.arange(len(train))
        position[validation] = np.arange(len(validation))
        epochs = int(train_pairs["epoch"].max()) + 1
        batches = int(train_pairs["batch"].max()) + 1
        ends = position[train_pairs[["left", "right"]].to_numpy()]
        labels = dataset.fine()
        return cls(
            images=torch.from_numpy(dataset.images[train]).to(device),
            labels=torch.from_numpy(labels[train]).to(device),
            batches=ends.reshape(epochs, batches, -1, 2),
            same=train_pairs["same"].to_numpy().reshape(epochs, batches, -1),
            validation_images=torch.from_numpy(dataset.images[validation]).to(device),
            validation_labels=labels[validation],
            validation_pairs=position[validation_pairs[["left", "right"]].to_numpy()],
            validation_same=validation_pairs["same"].to_numpy(),
        )
