"""The section `prepare` for tests."""

from typing import Any

from siamese.preparation.splits import PrepareParams


def params(**changes: Any) -> PrepareParams:
    """Defaults that suit small data sets, but for the changes."""
    values: dict[str, Any] = {
        "split_by": "sample",
        "test": 0.2,
        "validation": 0.1,
        "enrolled": 0.5,
        "seed": 0,
    }
    return PrepareParams(**(values | changes))
