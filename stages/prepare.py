"""Make data/prepared, from data/raw or a folder of images: splits, one size, marked copies."""

import workspace

from pathlib import Path

from siamese.base.data_params import DataParams
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.preparation.labelled_images import open_images
from siamese.preparation.prepare import prepare
from siamese.preparation.splits import PrepareParams

RAW, PREPARED = Path("data/raw"), Path("data/prepared")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams
    prepare: PrepareParams


def main() -> None:
    """Run the stage."""
    params = read_sections(Params)
    images = open_images(params.data, raw=RAW, workspace=Path())
    for note in images.notes:  # before the long work
        print(note)
    with new_folder(PREPARED) as folder:
        prepared = prepare(
            images,
            folder,
            params.prepare,
            image_size=params.data.image_size,
            fit=params.data.fit,
            novel_classes=params.data.novel_classes,
            unreadable=params.data.unreadable,
        )
    for line in prepared.summary():
        print(line)


if __name__ == "__main__":
    workspace.run(main)
