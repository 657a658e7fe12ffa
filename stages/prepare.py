"""Make data/prepared, from data/raw or a folder of images: splits, one size, marked copies."""

import workspace

from pathlib import Path

from siamese.base.data_params import NO_PATH, DataParams
from siamese.base.dataset import load_dataset
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.preparation.folder import check_place, list_images, untracked_note
from siamese.preparation.prepare import (
    LEFT_OUT,
    LISTED,
    FolderImages,
    RawImages,
    Source,
    identical_pairs,
    prepare,
)
from siamese.preparation.splits import PrepareParams

PREPARED = Path("data/prepared")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams
    prepare: PrepareParams


def main() -> None:
    """Run the stage."""
    params = read_sections(Params)
    source = open_source(params)
    with new_folder(PREPARED) as folder:
        prepared = prepare(
            source,
            folder,
            params.prepare,
            image_size=params.data.image_size,
            fit=params.data.fit,
            novel_classes=params.data.novel_classes,
            unreadable=params.data.unreadable,
        )
    for file, reason in prepared.left_out.head(LISTED).itertuples(index=False):
        print(f"left out: {file}: {reason}")
    for note in prepared.notes:
        print(note)
    if n_left_out := len(prepared.left_out):
        files = "file" if n_left_out == 1 else "files"
        print(f"{n_left_out:,} {files} left out, listed in {PREPARED / LEFT_OUT}")
    counts = prepared.samples["split"].value_counts()
    print(
        f"prepare: {counts['train']:,} train, {counts['validation']:,} validation,"
        f" {counts['test']:,} test; {identical_pairs(prepared.samples)} identical pairs"
    )


def open_source(params: Params) -> Source:
    """Return where the images come from."""
    if params.data.name != "folder":
        return RawImages(load_dataset(Path("data/raw")))
    places = {"data.path": params.data.path}
    if params.data.images != NO_PATH:
        places["data.images"] = params.data.images
    for key, place in places.items():
        check_place(Path(place), key, workspace.ROOT)
        if note := untracked_note(Path(place), key, workspace.ROOT):
            print(note)
    listing = list_images(Path(params.data.path), Path(params.data.images))
    for note in listing.notes:
        print(note)
    return FolderImages(listing)


if __name__ == "__main__":
    workspace.run(main)
