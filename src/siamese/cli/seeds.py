"""Several runs of one setting, each with its own seeds, in DVC's queue.

An independent run needs other initial weights, batches and augmentation, so three seeds change. The
validation split (`prepare.seed`) and the test images stay.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from siamese.base.errors import InputError
from siamese.cli.dvc_runs import run_dvc
from siamese.comparison.experiment_table import RUN_SEEDS

_LONGEST = 100  # Git keeps a name as that of a file


def run_seeds(seeds: Sequence[int], setting: str, name: str, workspace: Path) -> None:
    """Queue one experiment for each seed and run them, one after another.

    Args:
        seeds: of the runs.
        setting: parameters, `name=value`, separated by spaces and quoted as in a shell.
        name: of the experiments, before `-s1`; if empty, the setting's.
        workspace: the folder that holds dvc.yaml.

    Raises:
        InputError: the setting cannot be split into parameters, or DVC failed; it has said why.
    """
    try:
        params = shlex.split(setting)
    except ValueError as error:
        raise InputError(
            f"SET is {setting!r}: {str(error).lower()}; expected parameters separated by spaces,"
            " for example \"train.margin=0.5 'evaluate.k=[1, 5]'\""
        ) from None
    for param in params:
        if "=" not in param:
            raise InputError(
                f"SET has {param!r}; expected name=value, for example train.margin=0.5 (a value"
                " that has spaces in quotes)"
            )
    title = experiment_name(name or setting)
    for seed in seeds:
        values = [*params, *(f"{parameter}={seed}" for parameter in RUN_SEEDS)]
        changes = [f"--set-param={value}" for value in values]
        _dvc(workspace, "exp", "run", "--queue", f"--name={title}-s{seed}", *changes)
    _dvc(workspace, "exp", "run", "--run-all", "--jobs=1")


def experiment_name(text: str) -> str:
    """Return a name for experiments, without their seed, as near to a text as Git and DVC allow."""
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
    return re.sub(r"\.{2,}", ".", name)[:_LONGEST].strip("-.") or "default"


def _dvc(workspace: Path, *arguments: str) -> None:
    if run_dvc(workspace, *arguments):
        raise InputError(f"`dvc {' '.join(arguments[:2])}` failed, see above")
