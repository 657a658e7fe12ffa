"""The data sets that `data.name` can name, one row per data set.

A data set that has to be fetched also has an entry in `data.archives` of `params.yaml`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from siamese.base.data_params import FOLDER, Archive
from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.base.params import nearest_name
from siamese.sources.cifar100 import read_cifar100
from siamese.sources.digits import read_digits


@dataclass(frozen=True)
class Fetched:
    """A data set in an archive, which has to be fetched.

    Attributes:
        read: decodes the archive, in canonical order; an `InputError` names what is wrong with it.
        file: the archive's name in `data/downloads`.
        content: what `content_hash` gives for the data set, however its archive was packed.
    """

    read: Callable[[Path], Dataset]
    file: str
    content: str


# A data set that an installed package brings is given by the function that returns it, in canonical
# order.
DATA_SETS: dict[str, Fetched | Callable[[], Dataset]] = {
    "cifar100": Fetched(
        read_cifar100,
        "cifar-100-python.tar.gz",
        "f8b449bf07b545432c63c984fb1b0c8c2df86822d4b79d174368b940cccbac56",
    ),
    "digits": read_digits,
}


def check_names(name: str, archives: Mapping[str, Archive]) -> None:
    """Make sure that the data set is known, and that the archives are those of known ones.

    Args:
        name: `data.name`.
        archives: `data.archives`.

    Raises:
        InputError: one of the names is unknown, or the data set's archive is not given.
    """
    known = [*DATA_SETS, FOLDER]
    if name not in known:
        raise InputError(f"params.yaml: `data.name` is {name!r}{nearest_name(name, known)}")
    fetched = [key for key, data_set in DATA_SETS.items() if isinstance(data_set, Fetched)]
    for key in archives:
        if key not in fetched:
            raise InputError(
                f"params.yaml: unknown key `data.archives.{key}`{nearest_name(key, fetched)}"
            )
    if name in fetched and name not in archives:
        raise InputError(
            f"params.yaml: key `data.archives.{name}` is missing; `data.name` is {name!r}"
        )
