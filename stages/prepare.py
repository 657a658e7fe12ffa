"""Stage `prepare`: data/raw with a validation split, at the wanted image size, as data/prepared."""

import workspace

from pathlib import Path

from siamese.data.data_params import DataParams
from siamese.data.dataset import load_dataset, save_dataset
from siamese.data.duplicate_sheet import draw_duplicate_sheet, save_duplicate_sheet
from siamese.data.near_duplicates import FILE, find_near_duplicates, save_near_duplicates
from siamese.data.prepare import PrepareParams, identical_pairs, prepare
from siamese.files import new_folder
from siamese.params import read_sections


def main() -> None:
    """Run the stage."""
    params = read_sections(data=DataParams, prepare=PrepareParams)
    raw = load_dataset(Path("data/raw"))
    prepared = prepare(raw, params.data.image_size, params.prepare)
    threshold = params.prepare.near_duplicate
    found = find_near_duplicates(prepared, threshold)
    with new_folder(Path("data/prepared")) as folder:
        save_dataset(prepared, folder)
        save_near_duplicates(found, folder / FILE)
        sheet = draw_duplicate_sheet(prepared.images, found, threshold)
        save_duplicate_sheet(sheet, folder / "near_duplicates.png")
    counts = prepared.samples["split"].value_counts()
    print(
        f"prepare: {counts['train']:,} train, {counts['validation']:,} validation,"
        f" {counts['test']:,} test; {identical_pairs(prepared.samples)} identical pairs,"
        f" {found['near_duplicate'].sum():,} test images with a near-duplicate elsewhere"
    )


if __name__ == "__main__":
    workspace.run(main)
