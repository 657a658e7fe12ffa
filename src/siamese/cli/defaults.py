"""The defaults in `params.yaml` of all that `siamese adopt` may set.

They are not read from there, because adopting overwrites them; a test compares them. What a data
set gets depends on it and on the options, not on what was adopted before.
"""

from typing import Any

from siamese.base.data_params import NO_PATH

# By dotted name. `data.name` and `data.path` have no default: adopting always sets them.
DEFAULTS: dict[str, Any] = {
    "data.images": NO_PATH,
    "data.table.file": "file",
    "data.table.label": "label",
    "data.table.split": "split",
    "data.table.group": "group",
    "data.table.coarse": "coarse",
    "data.table.kind": "kind",
    "data.table.header": True,
    "data.table.separator": ",",
    "data.table.encoding": "utf-8",
    "data.table.suffix": "",
    "data.label_level": "top",
    "data.forged_suffix": "",
    "data.drop_labels": [],
    "data.min_images": 1,
    "data.unreadable": "stop",
    "data.image_size": 32,
    "data.fit": "pad",
    "data.novel_classes": 0,
    "prepare.split_by": "sample",
    "prepare.test": 0.2,
    "prepare.validation": 0.1,
    "pairs.batch_size": 128,
    "pairs.classes_per_batch": 32,
    "pairs.batches_per_epoch": 176,
    "pairs.epochs": 30,
    "pairs.validation": 10_000,
    "pairs.test": 20_000,
    "weights.source": "none",
    "weights.bytes": 0,
    "weights.sha256": "",
    "weights.license": "",
    "network.architecture": "resnet9",
    "network.mirror": True,
    "train.optimizer": "muon",
    "train.learning_rate": 0.03,
    "train.learning_rate_rest": 0.008,
    "train.weight_decay": 0.01,
    "train.freeze": "none",
    "train.warmup": 0.3,
    "train.augment.flip": True,
    "train.augment.crop": 4,
    "train.augment.cutout": 0,
    "train.augment.resized_crop": 1.0,
    "train.augment.resized_to": 0,
    "train.augment.jitter": 0.0,
    "train.augment.policy": "none",
    "train.augment.erase": 0.0,
    "train.monitor": "knn",
    "train.monitor_gallery": 10_000,
    "embed.batch_size": 500,
    "floor.k": 20,
    "evaluate.k": [1, 5, 20],
    "evaluate.vote_k": 20,
    "evaluate.curve_k": [1, 2, 5, 10, 20, 50, 100],
    "evaluate.sheet_neighbours": 9,
}
