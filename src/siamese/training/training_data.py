"""What training reads: images, on the GPU if they fit, and pairs as positions among them.

A CPU reads the images from the memory-mapped file. A GPU holds the training images, if they take at
most half of its free memory; if not, they stay in the file and each batch is moved. What is trained
is the same, bit for bit.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from siamese.base.dataset import (
    Classes,
    Dataset,
    channel_statistics,
    is_forged,
    load_dataset,
    pictures_of,
)
from siamese.base.image_size import Size
from siamese.measures.manifest import read_manifest
from siamese.training.objective import PairedBatch


@dataclass(frozen=True)
class Images:
    """Images of some samples; index it by positions, or by a slice, to have them on the device.

    Attributes:
        pixels: uint8 `[N, H, W, 3]`: on the device, or the memory-mapped file.
        rows: which of these they are, int64 `[n]`, where `pixels` lie.
        device: where images are wanted.
    """

    pixels: Tensor
    rows: Tensor
    device: torch.device

    @classmethod
    def of(cls, pixels: np.ndarray, rows: np.ndarray, device: torch.device) -> Self:
        """Move images to a GPU that has room for them; elsewhere leave them in their file.

        Args:
            pixels: uint8 `[N, H, W, 3]`, memory-mapped or not.
            rows: int64 `[n]`.
            device: where images are wanted.
        """
        n_bytes = len(rows) * pixels[:1].nbytes
        if device.type == "cuda" and n_bytes <= room_on(device):
            resident = torch.from_numpy(pixels[rows]).to(device)
            return cls(resident, torch.arange(len(rows), device=device), device)
        return cls(_as_tensor(pixels), torch.from_numpy(rows), device)

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __getitem__(self, chosen: Tensor | np.ndarray | slice) -> Tensor:
        """Return images by position, uint8 `[k, H, W, 3]` on the device."""
        images = self.pixels[self._rows(chosen)]
        if images.device == self.device:
            return images
        # Pinned, the copy runs while the GPU is still at the batch before.
        return images.pin_memory().to(self.device, non_blocking=True)

    def some(self, chosen: Tensor | np.ndarray | slice) -> Self:
        """Return some of the images by position, still to be read."""
        return type(self)(self.pixels, self._rows(chosen), self.device)

    def _rows(self, chosen: Tensor | np.ndarray | slice) -> Tensor:
        if not isinstance(chosen, slice):
            chosen = torch.as_tensor(chosen, device=self.rows.device)
        return self.rows[chosen]


@dataclass(frozen=True)
class TrainingData:
    """What training reads: the training and validation splits and their pairs, nothing of test.

    Attributes:
        images: n of them, the training samples; after the genuine ones the forgeries.
        labels: int64 `[n]`, their classes renumbered: 0…C-1 for the C classes that training has,
            in label order; of a forgery -1-c, where c is what it pretends to be. On the device.
        n_genuine: how many are no forgeries.
        batches: int64 `[epochs, batches, pairs, 2]`, positions in `images`, in manifest order.
        same: bool `[epochs, batches, pairs]`.
        validation_images: v of them, the validation samples; after the genuine ones the forgeries.
        validation_labels: int64 `[v]`, numbered the same way; from C on for classes that training
            does not have.
        validation_pictures: int64 `[v]`, one number for all exact copies of an image.
        validation_pairs: int64 `[p, 2]`, positions in `validation_images`.
        validation_same: bool `[p]`.
        classes: the names of the labels.
        channel_mean: mean of each channel over the training samples, pixels in [0, 1].
        channel_std: standard deviation of each channel, of the same.
    """

    images: Images
    labels: Tensor
    n_genuine: int
    batches: np.ndarray
    same: np.ndarray
    validation_images: Images
    validation_labels: np.ndarray
    validation_pictures: np.ndarray
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
            device: what trains.

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
        """Lay out the two splits, and translate sample numbers into positions.

        Args:
            dataset: the prepared data set.
            train_pairs: `epoch`, `batch`, `left`, `right`, `same`, in batch order.
            validation_pairs: `left`, `right`, `same`.
            device: what trains.
        """
        genuine, tested = dataset.rows("train"), dataset.rows("validation")
        train, validation = (
            np.concatenate([rows, dataset.forged(split)])
            for rows, split in ((genuine, "train"), (tested, "validation"))
        )
        position = np.full(len(dataset.images), -1)
        position[train] = np.arange(len(train))
        position[validation] = np.arange(len(validation))
        epochs = int(train_pairs["epoch"].max()) + 1
        batches = int(train_pairs["batch"].max()) + 1
        ends = position[train_pairs[["left", "right"]].to_numpy()]
        labels = _renumbered(dataset.fine(), genuine, tested)
        labels = np.where(is_forged(dataset.samples), -1 - labels, labels)
        mean, std = channel_statistics(dataset.images_of(genuine))
        return cls(
            images=Images.of(dataset.images, train, device),
            labels=torch.from_numpy(labels[train]).to(device),
            n_genuine=len(genuine),
            batches=ends.reshape(epochs, batches, -1, 2),
            same=train_pairs["same"].to_numpy().reshape(epochs, batches, -1),
            validation_images=Images.of(dataset.images, validation, device),
            validation_labels=labels[validation],
            validation_pictures=pictures_of(dataset.samples)[validation],
            validation_pairs=position[validation_pairs[["left", "right"]].to_numpy()],
            validation_same=validation_pairs["same"].to_numpy(),
            classes=dataset.classes,
            channel_mean=mean,
            channel_std=std,
        )

    def validation_batch(self, device: torch.device) -> PairedBatch:
        """Return all validation pairs as one batch; its `index` are positions of the images."""
        index = self.validation_pairs.T.reshape(-1)
        parts = (self.validation_labels[index], index, self.validation_same)
        return PairedBatch(*(torch.tensor(part, device=device) for part in parts))

    @property
    def n_classes(self) -> int:
        """How many classes training has."""
        return int(self.labels.max()) + 1


def room_on(device: torch.device) -> int:
    """Return the bytes of a GPU's memory that images may take: half of what is free."""
    free, _ = torch.cuda.mem_get_info(device)
    return free // 2


def _as_tensor(pixels: np.ndarray) -> Tensor:
    """Return a tensor over the same memory, or the same file."""
    with warnings.catch_warnings():
        # PyTorch knows no read-only tensors; nobody writes to this one.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(pixels)


def _renumbered(fine: np.ndarray, train: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Number the classes of training from 0, then those that only validation has; int64 `[N]`."""
    trained = np.unique(fine[train])
    others = np.setdiff1d(fine[validation], trained)
    number = np.full(fine.max() + 1, -1)
    number[np.concatenate([trained, others])] = np.arange(len(trained) + len(others))
    return number[fine]
