"""Fine-tuning as people do it without this project: PyTorch, torchvision, pytorch-metric-learning.

The network, its weights, the batch size and the kinds of augmentation are this project's; what
draws batches, changes images, computes the loss and steps is theirs, in its usual setting.
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from photographs_job import Job, Outcome, without_head
from photographs_measures import validation_top1
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler, Sampler
from torchvision.transforms import v2

from siamese.base.progress import progress_bar
from siamese.network.siamese_network import SiameseNetwork
from siamese.training.augment_params import AugmentParams
from siamese.training.photographs import GREY

LABEL_SMOOTHING = 0.1


class MetricLoss(nn.Module):
    """A loss of pytorch-metric-learning, with the miner that belongs to it, if any."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        picked = [self.miner(embeddings, labels)] if self.miner else []
        return self.loss(embeddings, labels, *picked)


METRIC_LOSSES: dict[str, Callable[[int, int], MetricLoss]] = {
    # Wang et al., CVPR 2019.
    "multi-similarity": lambda n_classes, dim: MetricLoss(
        losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()
    ),
    # Kim et al., CVPR 2020.
    "proxy-anchor": lambda n_classes, dim: MetricLoss(losses.ProxyAnchorLoss(n_classes, dim)),
}


class Classifier(nn.Module):
    """The last layer of a classifier, and cross-entropy with smoothed labels."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        logits = self.layer(features)
        return functional.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)


def train_metric_loss(job: Job) -> Outcome:
    """Fine-tune backbone and head by a loss of pytorch-metric-learning."""
    seed_everything(job)
    photographs, pairs = Photographs(job), job.params.pairs
    network = job.new_network()
    criterion = METRIC_LOSSES[job.loss](photographs.n_classes, network.embedding_dim)
    batch_size = 2 * pairs.batch_size
    wanted = batch_size // pairs.classes_per_batch
    per_class = next(n for n in range(wanted, 0, -1) if batch_size % n == 0)
    sampler = MPerClassSampler(
        photographs.labels, per_class, batch_size, pairs.batches_per_epoch * batch_size
    )
    return fine_tune(job, network, criterion, photographs, sampler)


def train_cross_entropy(job: Job) -> Outcome:
    """Fine-tune a classifier; its pooled features are the embedding."""
    seed_everything(job)
    photographs, pairs = Photographs(job), job.params.pairs
    network = job.new_network()
    without_head(network)
    criterion = Classifier(network.embedding_dim, photographs.n_classes)
    n_images = pairs.batches_per_epoch * 2 * pairs.batch_size
    sampler = RandomSampler(photographs, num_samples=n_images)
    outcome = fine_tune(job, network, criterion, photographs, sampler)
    return Outcome(**vars(outcome) | {"classifier": criterion.layer})


def seed_everything(job: Job) -> None:
    """Seed what these libraries draw from: PyTorch's and NumPy's global generators."""
    torch.manual_seed(job.params.train.seed)
    np.random.seed(job.params.train.seed)  # noqa: NPY002


class Photographs(torch.utils.data.Dataset):
    """The training samples, each changed at random whenever it is asked for."""

    def __init__(self, job: Job) -> None:
        dataset = job.dataset
        self.rows = dataset.rows("train")
        self.images = dataset.images
        classes, self.labels = np.unique(dataset.fine()[self.rows], return_inverse=True)
        self.n_classes = len(classes)
        network = job.new_network()
        statistics = network.channel_mean.flatten().tolist(), network.channel_std.flatten().tolist()
        self.transform = transform_of(
            job.params.train.augment, dataset.images.shape[1], *statistics
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        """Return an image, float32 `[3, H, W]`, and its label."""
        image = np.array(self.images[self.rows[position]])  # a copy: memory maps are read-only
        return self.transform(image), int(self.labels[position])


def transform_of(
    params: AugmentParams, size: int, mean: list[float], std: list[float]
) -> Callable[[np.ndarray], Tensor]:
    """Return torchvision's transforms of the kinds that `train.augment` switches on."""
    steps: list[Callable] = [v2.ToImage()]
    if params.resized_crop < 1 or params.resized_to:
        side = params.resized_to or size
        steps.append(v2.RandomResizedCrop(side, scale=(params.resized_crop, 1.0), antialias=True))
    if params.crop:
        steps.append(v2.RandomCrop(size, padding=params.crop, padding_mode="reflect"))
    if params.flip:
        steps.append(v2.RandomHorizontalFlip())
    if params.policy != "none":
        policy = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}[params.policy]
        steps.append(policy(interpolation=v2.InterpolationMode.BILINEAR, fill=GREY))
    if params.jitter:
        strength = params.jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    if params.erase:
        steps.append(v2.RandomErasing(params.erase))
    return v2.Compose([*steps, v2.ToPureTensor()])


def fine_tune(
    job: Job,
    network: SiameseNetwork,
    criterion: nn.Module,
    photographs: Photographs,
    sampler: Sampler,
) -> Outcome:
    """Train with AdamW and the one-cycle schedule; keep the epoch that validates best.

    Args:
        job: its parameters say how long and at which rates.
        network: a network of timm, trained in place.
        criterion: from the encoder's output and labels to the loss; trained too.
        photographs: the training samples.
        sampler: draws an epoch of them.
    """
    train, pairs = job.params.train, job.params.pairs
    encoder: Any = network.encoder
    criterion.to(job.device)
    rates = train.learning_rate, train.learning_rate_rest
    groups = encoder.backbone.parameters(), [*encoder.head.parameters(), *criterion.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": [*parameters], "lr": rate}
            for parameters, rate in zip(groups, rates, strict=True)
        ],
        weight_decay=train.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[*rates],
        total_steps=pairs.epochs * pairs.batches_per_epoch,
        pct_start=train.warmup,
        cycle_momentum=False,
    )
    loader: DataLoader = DataLoader(
        photographs,
        2 * pairs.batch_size,
        sampler=sampler,
        num_workers=job.workers,
        persistent_workers=job.workers > 0,
        pin_memory=job.device.type == "cuda",
    )
    watch = Watch(job, network, criterion)
    began, images_seen = time.perf_counter(), 0
    for epoch in range(pairs.epochs):
        into_training(network, train.freeze == "statistics")
        for images, labels in progress_bar(f"epoch {epoch + 1}", "batch", loader, leave=False):
            images = images.to(job.device, non_blocking=True, memory_format=torch.channels_last)
            loss = criterion(encoder(images), labels.to(job.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            images_seen += len(images)
        watch.look(epoch + 1, float(loss.detach()))
    watch.restore()
    return Outcome(network, time.perf_counter() - began, images_seen, watch.best_epoch)


def into_training(network: SiameseNetwork, statistics_frozen: bool) -> None:
    """Put the network into training mode; its batch normalisation too, unless it is frozen."""
    network.train()
    for module in network.modules():
        if statistics_frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class Watch:
    """Keeps the weights of the epoch that validates best, as this project's training does."""

    def __init__(self, job: Job, network: SiameseNetwork, criterion: nn.Module) -> None:
        self.job, self.trained = job, nn.ModuleList([network, criterion])
        self.network, train = network, job.params.train
        rows = job.dataset.rows("train")
        chosen = np.random.default_rng(train.seed).permutation(len(rows))[: train.monitor_gallery]
        self.gallery = rows[np.sort(chosen)]
        k = min(train.monitor_k, len(self.gallery))
        self.params = job.params.evaluate.model_copy(update={"k": [k]})
        self.best_epoch, self.best = 0, -1.0
        self.weights: dict[str, Any] = {}

    def look(self, epoch: int, loss: float) -> None:
        """Validate, say how it goes, and keep the weights if none were better."""
        [accuracy] = validation_top1(
            lambda rows: self.job.embed(self.network, rows),
            self.job.dataset,
            self.gallery,
            self.params,
        ).values()
        print(
            f"epoch {epoch} of {self.job.params.pairs.epochs}: loss {loss:.4f},"
            f" validation k-NN {100 * accuracy:.1f} %",
            flush=True,
        )
        if accuracy > self.best:
            self.best_epoch, self.best = epoch, accuracy
            self.weights = copy.deepcopy(self.trained.state_dict())

    def restore(self) -> None:
        """Give the weights of the best epoch back."""
        self.trained.load_state_dict(self.weights)
