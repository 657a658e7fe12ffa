"""The whole of `params.yaml`: which schema checks which section.

Set-up, tests and CI check everything through here. No stage imports this module: a stage checks its
own sections, so that a change of another section's schema does not re-run it.
"""

from pathlib import Path
from typing import Any

from siamese.base.data_params import DataParams
from siamese.base.errors import InputError
from siamese.base.params import PARAMS_FILE, Section, nearest_name, read_document, read_sections
from siamese.base.weights_folder import NONE
from siamese.cli.params_file import check_keys
from siamese.duplicates.near_duplicates import DuplicatesParams
from siamese.evaluation.params import EvaluateParams
from siamese.floor.floor import FloorParams
from siamese.network.compute import ComputeParams
from siamese.network.embedding import EmbedParams
from siamese.network.siamese_network import (
    NetworkParams,
    check_image_size,
    check_source,
    check_training_size,
)
from siamese.pairs.params import PairsParams
from siamese.preparation.splits import PrepareParams, check_novel
from siamese.sources.registry import check_names
from siamese.training.frozen_backbone import check_freeze
from siamese.training.objective import check_margin
from siamese.training.train_params import TrainParams
from siamese.weights.weights_params import WeightsParams


class Params(Section):
    """Every section of `params.yaml`."""

    data: DataParams
    prepare: PrepareParams
    duplicates: DuplicatesParams
    pairs: PairsParams
    weights: WeightsParams
    network: NetworkParams
    compute: ComputeParams
    train: TrainParams
    embed: EmbedParams
    floor: FloorParams
    evaluate: EvaluateParams


SECTIONS: dict[str, Any] = {name: field.annotation for name, field in Params.model_fields.items()}


def check_params(file: Path = PARAMS_FILE) -> Params:
    """Check every section, that there is no other, and that they go together; return them all.

    Raises:
        InputError: listing every fault found in the sections; or else naming the first rule over
            several sections that is broken.
    """
    document = read_document(file)
    check_keys(file)
    for name in document:
        if name not in SECTIONS:
            raise InputError(f"{file}: unknown section `{name}`{nearest_name(str(name), SECTIONS)}")
    params = read_sections(Params, file)
    check_names(params.data.name, params.data.archives)
    check_novel(params.data.novel_classes, params.prepare.split_by)
    check_source(params.network.architecture, params.weights.source)
    check_image_size(params.network.architecture, params.data.image_size)
    resized_to = params.train.augment.resized_to
    check_training_size(params.network, params.data.image_size, resized_to)
    check_margin(params.train, params.network.normalize)
    check_freeze(params.train.freeze, params.weights.source != NONE)
    return params
