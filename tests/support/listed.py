"""Listing the images of a folder or a table as `params.yaml` says, but for some changes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from siamese.base.data_params import FOLDER, NO_PATH, DataParams
from siamese.preparation.folder import list_images
from siamese.preparation.listing import Listing
from tests.support.workspace import ROOT


def listed(path: Path, images: Path | str = NO_PATH, **changes: Any) -> Listing:
    """List a folder or a table; the changes are to the section `data`."""
    where = {"name": FOLDER, "path": str(path), "images": str(images)}
    return list_images(DataParams(**(section_data() | where | changes)), Path())


@cache
def section_data() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]
    return data
