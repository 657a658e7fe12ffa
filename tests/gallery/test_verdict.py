"""Same or different, at the threshold that was calibrated or at the rate that was asked for."""

import numpy as np
import pytest

from siamese.base.errors import InputError
from siamese.gallery.verdict import decide
from siamese.measures.verification import error_rates
from siamese.model.calibration import Calibration, Curve
from siamese.training.thresholds import calibrate

# Accepting none, then every threshold between five distances.
CURVE = Curve((0.5, 1.5, 2.5, 3.5), (0.0, 0.0, 0.5, 1.0), (1.0, 0.5, 0.25, 0.0))
CALIBRATION = Calibration(accuracy_threshold=2.0, eer_threshold=2.2, curve=CURVE)


def test_a_distance_at_the_threshold_is_the_same() -> None:
    assert decide(2.0, CALIBRATION).same
    assert not decide(np.nextafter(2.0, 3), CALIBRATION).same
    assert decide(0.0, CALIBRATION).threshold == 2.0


def test_rates_between_points_of_the_curve_are_on_the_line() -> None:
    verdict = decide(1.0, CALIBRATION)
    assert (verdict.far, verdict.frr) == (0.25, 0.375)


@pytest.mark.parametrize(
    ("far", "threshold", "frr"), [(0.01, 1.5, 0.5), (0.5, 2.5, 0.25), (0.99, 2.5, 0.25)]
)
def test_the_highest_threshold_with_that_rate_or_less(
    far: float, threshold: float, frr: float
) -> None:
    verdict = decide(1.0, CALIBRATION, far)
    assert (verdict.threshold, verdict.frr) == (threshold, frr)
    assert verdict.far <= far


def test_a_rate_that_no_threshold_keeps_is_refused() -> None:
    curve = Curve((-1.0, 0.5, 1.5), (0.0, 0.2, 1.0), (1.0, 0.5, 0.0))
    with pytest.raises(InputError, match=r"rate of 0\.1 or less; the least on its curve is 0\.2"):
        decide(1.0, Calibration(1.0, 1.0, curve), 0.1)
    for far in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="expected a number between 0 and 1"):
            decide(1.0, CALIBRATION, far)


def test_the_rates_are_those_of_the_pairs_that_were_calibrated_on() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(3000) < 1500
    distances = rng.normal(np.where(same, 1.0, 2.0), 0.4).clip(0)
    calibration = calibrate(distances, same)
    for far in (None, 0.01, 0.1):
        verdict = decide(1.0, calibration, far)
        measured = error_rates(distances, same, verdict.threshold)
        # Between two of 200 points the line may be off by what one of them covers.
        assert verdict.far == pytest.approx(measured[0], abs=0.005)
        assert verdict.frr == pytest.approx(measured[1], abs=0.005)
