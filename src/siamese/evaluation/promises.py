"""What the calibrated thresholds promised on validation, and what they do on test."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from siamese.evaluation.figures import round_figure
from siamese.measures.claim_drawing import Claims
from siamese.measures.verification import error_rates
from siamese.model.calibration import Calibration


def promises(
    calibration: Calibration,
    distances: np.ndarray,
    same: np.ndarray,
    claims: Mapping[int, Claims],
) -> dict[str, Any]:
    """Compare the error rates of the thresholds on validation with those on test.

    Args:
        calibration: what was found on validation.
        distances: of all test pairs, floats `[P]`; as on validation, forgeries are among them, if
            there are any.
        same: bool `[P]`.
        claims: of the test split, by number of references.

    Returns:
        `pairs` by what their threshold is best at, and, as far as both splits have them, `claims`
        by number of references: `threshold`, and FAR and FRR as `promised` and as `done`.
    """
    curve = calibration.curve
    pairs = {
        name: _promise(threshold, curve.rates_at(threshold), distances, same)
        for name, threshold in (
            ("accuracy", calibration.accuracy_threshold),
            ("eer", calibration.eer_threshold),
        )
    }
    found = calibration.claims
    if not found:
        return {"pairs": pairs}
    rows = zip(found.references, found.threshold, found.far, found.frr, strict=True)
    return {
        "pairs": pairs,
        "against": found.against,
        "claims": {
            str(number): _promise(
                threshold, (far, frr), *claims[number].against(found.against).decided_by(found.rule)
            )
            for number, threshold, far, frr in rows
            if number in claims and claims[number].count(found.against)
        },
    }


def _promise(
    threshold: float, promised: tuple[float, float], distances: np.ndarray, same: np.ndarray
) -> dict[str, Any]:
    rates = {"promised": promised, "done": error_rates(distances, same, threshold)}
    return {"threshold": threshold} | {
        name: dict(zip(("far", "frr"), map(round_figure, values), strict=True))
        for name, values in rates.items()
    }
