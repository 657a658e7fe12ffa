"""What `siamese adopt` sets for photographs, or wherever pretrained weights are fitted to images.

docs/photographs.md has what they gave.
"""

from typing import Any

# Pretrained on ImageNet; small enough for a laptop's CPU.
NETWORK = "timm/tf_efficientnet_lite0"

# What a network of timm is given, whatever the images and its weights.
OF_TIMM: dict[str, Any] = {
    "data.image_size": 160,
    "data.fit": "crop",
}

# What is better for pretrained weights than for random ones.
FINE_TUNING: dict[str, Any] = {
    "pairs.batch_size": 32,
    "pairs.classes_per_batch": 16,
    "pairs.epochs": 6,
    # Unlike images soon part by 1, and teach nothing more; at √2 they have nothing in common.
    "train.margin": 1.4,
    "train.optimizer": "adamw",
    "train.learning_rate": 0.001,
    "train.learning_rate_rest": 0.01,
    "train.weight_decay": 0.01,
    "train.freeze": "none",
    "train.warmup": 0.2,
}
# And for the head alone. Its epochs cost next to nothing: the features are there, of each image and
# its mirror image. So there is time for images of the size that the weights were pretrained on. A
# wider margin and higher rates gain it nothing.
HEAD_ALONE: dict[str, Any] = FINE_TUNING | {
    "data.image_size": 224,
    "pairs.batch_size": 128,
    "pairs.classes_per_batch": 32,
    "pairs.epochs": 20,
    "train.margin": 1.0,
    "train.learning_rate": 0.0003,
    "train.learning_rate_rest": 0.003,
    "train.freeze": "backbone",
    "train.augment.crop": 0,
}

# In training, images of this share of the side are as good, and faster.
TRAINING_SIZE, STEP = 0.8, 32

# Changes of photographs that leave them what they are.
AUGMENT: dict[str, Any] = {
    "train.augment.flip": True,
    "train.augment.crop": 0,
    "train.augment.resized_crop": 0.35,
}

# Fine-tuning computes each training image PASSES times. More make classes that training never sees
# worse. FEWEST_IMAGES in all are still too few steps to learn from, so fewer images are computed
# more often, up to MOST_PASSES times.
PASSES, FEWEST_IMAGES, MOST_PASSES = 6, 15_000, 24


def training_size(image_size: int) -> int:
    """Return the side of the images that fine-tuning sees: a multiple of what networks divide by.

    0, for the same, where there is no smaller one.
    """
    smaller = round(TRAINING_SIZE * image_size / STEP) * STEP
    return smaller if smaller < image_size else 0


def images_per_epoch(n_train: int) -> int:
    """Return how many images an epoch of fine-tuning computes, given how many there are."""
    images = max(PASSES * n_train, min(MOST_PASSES * n_train, FEWEST_IMAGES))
    return round(images / FINE_TUNING["pairs.epochs"])
