"""Stage `prepare`: data/raw with a validation split, at the wanted image size, as data/prepared."""

import workspace

from pathlib import Path

from siamese.data_params import DataParams
from siamese.dataset import load_dataset, save_dataset
from siamese.files import new_folder
from siamese.params import read_sections
from siamese.prepare import PrepareParams, identical_pairs, prepare


def main() -> None:
    """Run the stage."""
    params = read_sections(data=DataParams, prepare=PrepareParams)
    raw = load_dataset(Path("data/raw"))
    prepared = prepare(raw, params.data.image_size, params.prepare)
    with new_folder(Path("data/prepared")) as folder:
        save_dataset(prepared, folder)
    counts = prepared.samples["split"].value_counts()
    print(
        f"prepare: {counts['train']:,} train, {counts['validation']:,} validation,"
        f" {counts['test']:,} test; {identical_pairs(prepared.samples)} identical pairs"
    )


if __name__ == "__main__":
    workspace.run(main)
