"""Find the test images that show a photograph of the gallery, for `evaluate` to leave out."""

import workspace

from pathlib import Path

from siamese.base.dataset import load_dataset
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.duplicates.duplicate_sheet import draw_duplicate_sheet
from siamese.duplicates.near_duplicate_file import FILE, save_near_duplicates
from siamese.duplicates.near_duplicates import DuplicatesParams, find_near_duplicates

PREPARED, DUPLICATES = Path("data/prepared"), Path("data/duplicates")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    duplicates: DuplicatesParams


def main() -> None:
    """Write a table of all test images, and a sheet of the pairs around the threshold."""
    params = read_sections(Params)
    threshold = params.duplicates.threshold
    dataset = load_dataset(PREPARED)
    found = find_near_duplicates(dataset, threshold)
    sheet = draw_duplicate_sheet(dataset.images, found, threshold)
    with new_folder(DUPLICATES) as folder:
        save_near_duplicates(found, folder / FILE)
        sheet.save(folder / "near_duplicates.png", optimize=True)
    print(
        f"duplicates: {found['near_duplicate'].sum():,} of {len(found):,} test images have a"
        " near-duplicate in the gallery"
    )


if __name__ == "__main__":
    workspace.run(main)
