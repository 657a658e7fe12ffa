"""The verification thresholds in the model folder: what counts as the same class."""

from dataclasses import dataclass
from typing import Any, Self

from siamese.base.errors import InputError


@dataclass(frozen=True)
class Curve:
    """FAR and FRR by threshold: thresholds and FAR rise, FRR falls, from accepting none to all."""

    threshold: tuple[float, ...]
    far: tuple[float, ...]
    frr: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """Distance thresholds that were found on one set of pairs, to be used on others.

    Attributes:
        accuracy_threshold: the one with the most pairs decided right.
        eer_threshold: the one where FAR and FRR are most nearly equal.
        curve: about 200 operating points, to choose another threshold from.
    """

    accuracy_threshold: float
    eer_threshold: float
    curve: Curve

    def to_json(self) -> dict[str, Any]:
        """Return the content of a JSON file that `from_json` reads."""
        curve = {name: list(values) for name, values in vars(self.curve).items()}
        thresholds = {"accuracy": self.accuracy_threshold, "eer": self.eer_threshold}
        return {"thresholds": thresholds, "curve": curve}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: a key is missing or holds something else than numbers.
        """
        try:
            thresholds, points = content["thresholds"], content["curve"]
            columns = [tuple(map(float, points[name])) for name in ("threshold", "far", "frr")]
            accuracy, eer = float(thresholds["accuracy"]), float(thresholds["eer"])
            if not columns[0] or len(set(map(len, columns))) > 1:
                raise ValueError("the curve is empty, or its columns differ in length")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "the verification thresholds cannot be read: expected numbers under"
                f" `thresholds.accuracy`, `thresholds.eer` and `curve` ({error!r}); train again"
            ) from None
        return cls(accuracy, eer, Curve(*columns))
