"""Stage `download`: the data set of params.yaml, in canonical order, as data/raw."""

import workspace

import os
from pathlib import Path

from siamese.base.data_params import DataParams
from siamese.base.params import Section, read_sections
from siamese.sources.download import download


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams


def main() -> None:
    """Run the stage."""
    params = read_sections(Params)
    download(
        params.data.name,
        params.data.urls,
        params.data.bytes,
        params.data.sha256,
        target=Path("data/raw"),
        downloads=Path("data/downloads"),
        archive=os.environ.get("SIAMESE_ARCHIVE"),
    )


if __name__ == "__main__":
    workspace.run(main)
