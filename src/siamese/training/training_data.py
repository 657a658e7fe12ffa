"""What training reads, laid out on the device that trains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from siamese.data.dataset import Classes, Dataset, channel_statistics, load_dataset
from siamese.data.manifest import read_manifest


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
        classes: the names of the labels.
        channel_mean: mean of each channel over the training samples, pixels in [0, 1].
        channel_std: standard deviation of each channel, likewise.
    """

    images: Tensor
    labels: Tensor
    batches: np.ndarray
    same: np.ndarray
    validation_images: Tensor
    validation_labels: np.ndarray
    validation_pairs: np.ndarray
    validation_same: np.ndarray
    classes: Classes
    channel_mean: list[float]
    channel_std: list[float]

    @classmethod
    def load(cls, prepared: Path, pairs: Path, device: torch.device) -> Self:
        """Read what the stages `prepare` and `pairs` wrote.

        Args:
            prepared: the folder of the data set.
            pairs: the folder of the manifests.
            device: where the images are kept, as uint8.

        Raises:
            InputError: a file is missing or damaged, or a manifest does not belong to the data set.
        """
        dataset = load_dataset(prepared)
        train, validation = (
            read_manifest(pairs / f"{split}.parquet", dataset.samples, split)
            for split in ("train", "validation")
        )
        return cls.of(dataset, train, validation, device)

    @classmethod
    def of(
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
        train_images = dataset.images[train]
        mean, std = channel_statistics(train_images)
        return cls(
            images=torch.from_numpy(train_images).to(device),
            labels=torch.from_numpy(labels[train]).to(device),
            batches=ends.reshape(epochs, batches, -1, 2),
            same=train_pairs["same"].to_numpy().reshape(epochs, batches, -1),
            validation_images=torch.from_numpy(dataset.images[validation]).to(device),
            validation_labels=labels[validation],
            validation_pairs=position[validation_pairs[["left", "right"]].to_numpy()],
            validation_same=validation_pairs["same"].to_numpy(),
            classes=dataset.classes,
            channel_mean=mean,
            channel_std=std,
        )
