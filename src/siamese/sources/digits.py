"""scikit-learn's handwritten digits as a data set: 1,797 small images that need no network."""

import numpy as np
import pandas as pd

from siamese.base.dataset import Classes, Dataset
from siamese.sources.canonical import canonical_order

TEST_SHARE = 0.2
SEED = 0  # not a parameter: part of the data set, like the official split of another one


def read_digits() -> Dataset:
    """Return the digits in canonical order.

    Returns:
        Images uint8 `[1797, 8, 8, 3]` with three equal channels, the original's 0…16 spread over
        0…255. There are no superclasses. The set has no official test split, so a fifth is cut
        here, class by class, always the same one. `file` is the number in scikit-learn's order.
    """
    # Imported here: it takes a second, for which other data sets need not wait.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    grey, labels = load_digits(return_X_y=True)  # (1797, 64) float, (1797,)
    pixels = np.rint(grey * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    rows = np.arange(len(labels))
    _, test = train_test_split(rows, test_size=TEST_SHARE, stratify=labels, random_state=SEED)
    samples = pd.DataFrame(
        {
            "sample": rows,
            "split": np.where(np.isin(rows, test), "test", "train"),
            "fine": labels.astype(np.int64),
            "coarse": pd.array([None] * len(rows), dtype="Int64"),
            "file": [f"digits/{row:04}" for row in rows],
        }
    )
    classes = Classes(tuple(str(digit) for digit in range(10)))
    return canonical_order(Dataset(np.repeat(pixels, 3, axis=3), samples, classes))
