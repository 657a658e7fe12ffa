"""Draw the balanced pairs that training sees, and the fixed ones that verify it, or take given."""

import workspace

from pathlib import Path

from siamese.base.dataset import load_without_images
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.pairs.drawing import draw_fixed, draw_training
from siamese.pairs.given import deal_given, read_given
from siamese.pairs.params import PairsParams

PREPARED = Path("data/prepared")
PAIRS = Path("data/pairs")


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    pairs: PairsParams


def main() -> None:
    """Read the prepared data, write one manifest per split."""
    params = read_sections(Params)
    dataset = load_without_images(PREPARED)
    given = read_given(Path(params.pairs.given), dataset)
    if "train" in given:
        training = deal_given(given["train"], params.pairs)
    else:
        training = draw_training(dataset, params.pairs, progress=True)
    fixed = {
        split: given[split] if split in given else draw_fixed(dataset, split, params.pairs)
        for split in ("validation", "test")
    }
    with new_folder(PAIRS) as folder:
        for split, pairs in {"train": training, **fixed}.items():
            pairs.to_parquet(folder / f"{split}.parquet", index=False)
    print(
        f"pairs: {len(training):,} for training ({params.pairs.epochs} epochs of"
        f" {params.pairs.batches_per_epoch} batches of {params.pairs.batch_size}),"
        f" {len(fixed['validation']):,} for validation, {len(fixed['test']):,} for testing"
        + (f"; given: {', '.join(given)}" if given else "")
    )


if __name__ == "__main__":
    workspace.run(main)
