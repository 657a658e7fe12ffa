"""Bring the data set of params.yaml into the workspace as data/raw, in canonical order."""

import workspace

import os
from pathlib import Path

from siamese.base.data_params import DataParams
from siamese.base.dataset import save_dataset
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.sources.download import get_data_set

RAW, DOWNLOADS = Path("data/raw"), Path("data/downloads")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams


def main() -> None:
    """Write the data set; of a folder of images, which `prepare` reads itself, a remark."""
    params = read_sections(Params)
    copy = os.environ.get("SIAMESE_ARCHIVE")
    dataset = get_data_set(params.data.name, params.data.archives, DOWNLOADS, copy)
    with new_folder(RAW) as folder:
        if dataset is None:
            (folder / "source.txt").write_text("The images are read where data.path says.\n")
            summary = "nothing to fetch"
        else:
            save_dataset(dataset, folder)
            splits = dataset.samples["split"].value_counts()
            summary = f"{splits['train']:,} train, {splits['test']:,} test"
    print(f"download: {params.data.name}, {summary}")


if __name__ == "__main__":
    workspace.run(main)
