"""The thresholds in a model folder: read as written, and refused where damaged."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.model.calibration import Calibration, ClaimCalibration, Curve

CLAIMS = ClaimCalibration("min", (1, 5), (0.5, 0.4), (0.1, 0.05), (0.2, 0.06), "forgery")
WHOLE = Calibration(0.5, 0.6, Curve((0.0, 0.5, 1.0), (0.0, 0.25, 1.0), (1.0, 0.5, 0.0)), CLAIMS)


@pytest.mark.parametrize("calibration", [WHOLE, replace(WHOLE, claims=None)])
def test_thresholds_survive_json(calibration: Calibration) -> None:
    content = json.loads(json.dumps(calibration.to_json(), allow_nan=False))
    assert Calibration.from_json(content) == calibration
    assert ("claims" in content) == (calibration.claims is not None)


@pytest.mark.parametrize(
    "damage",
    [
        {"rule": "max"},
        {"against": "strangers"},
        {"references": []},
        {"references": [1]},
        {"references": ["one", "five"]},
        {"far": [0.1]},
        {"threshold": 0.5},
    ],
)
def test_damaged_thresholds_for_claims_are_refused(damage: dict[str, Any]) -> None:
    content = json.loads(json.dumps(WHOLE.to_json()))
    for claims in (content["claims"] | damage, {**damage}, list(damage), None):
        with pytest.raises(InputError, match="verification thresholds cannot be read"):
            Calibration.from_json(content | {"claims": claims})


@pytest.mark.parametrize(("number", "place"), [(0, 0), (1, 0), (4, 0), (5, 1), (6, 1), (99, 1)])
def test_the_next_lower_number_of_references_counts(number: int, place: int) -> None:
    assert CLAIMS.place(number) == place


def test_rates_between_two_points_lie_on_a_line() -> None:
    curve = WHOLE.curve
    for at, expected in ((0.5, (0.25, 0.5)), (0.75, (0.625, 0.25)), (-1.0, (0, 1)), (9.0, (1, 0))):
        assert curve.rates_at(at) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    for at in rng.uniform(0, 0.5, 5):
        assert curve.rates_at(at) == pytest.approx((at / 2, 1 - at))
