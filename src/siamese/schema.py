"""The whole of `params.yaml`: which schema checks which section.

Set-up, tests and CI check everything through here. No stage imports this module: a stage checks its
own sections, so that a change of another section's schema does not re-run it.
"""

import difflib
from pathlib import Path
from typing import Any

from siamese.compute import ComputeParams
from siamese.data_params import DataParams
from siamese.embedding import EmbedParams
from siamese.errors import InputError
from siamese.evaluation import EvaluateParams, FloorParams
from siamese.network import NetworkParams
from siamese.pairs import PairsParams
from siamese.params import PARAMS_FILE, Section, read_document, read_sections
from siamese.prepare import PrepareParams
from siamese.training import TrainParams, check_margin

SECTIONS: dict[str, type[Section]] = {
    "data": DataParams,
    "prepare": PrepareParams,
    "pairs": PairsParams,
    "network": NetworkParams,
    "compute": ComputeParams,
    "train": TrainParams,
    "embed": EmbedParams,
    "floor": FloorParams,
    "evaluate": EvaluateParams,
}


def check_params(file: Path = PARAMS_FILE) -> Any:
    """Check every section, and that there is no other; return them all.

    Raises:
        InputError: listing every fault found.
    """
    for name in read_document(file):
        if name not in SECTIONS:
            raise InputError(f"{file}: unknown section `{name}`{_nearest(name)}")
    params = read_sections(file, **SECTIONS)
    check_margin(params.train.margin, params.network.normalize)
    return params


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, SECTIONS, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(SECTIONS)}"
