"""The verification thresholds in the model folder: what counts as the same class."""

from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

import numpy as np

from siamese.base.errors import InputError
from siamese.measures.claims import RULES, FalseKind, Rule


@dataclass(frozen=True)
class Curve:
    """FAR and FRR by threshold: thresholds and FAR rise, FRR falls, from accepting none to all."""

    threshold: tuple[float, ...]
    far: tuple[float, ...]
    frr: tuple[float, ...]

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """Return FAR and FRR at any threshold, on straight lines between the points."""
        far, frr = (np.interp(threshold, self.threshold, rates) for rates in (self.far, self.frr))
        return float(far), float(frr)


@dataclass(frozen=True)
class ClaimCalibration:
    """Thresholds for claims, see `siamese.measures.claims`, by number of references.

    Attributes:
        rule: how the distances to the references become one.
        references: numbers of references, ascending.
        threshold: of each number, where FAR and FRR are most nearly equal.
        far: what share of false claims that threshold accepted where it was found.
        frr: what share of true claims it rejected there.
        against: what these false claims were: forgeries, if there were any, else strangers.
    """

    rule: Rule
    references: tuple[int, ...]
    threshold: tuple[float, ...]
    far: tuple[float, ...]
    frr: tuple[float, ...]
    against: FalseKind = "stranger"

    def place(self, n_references: int) -> int:
        """Return the position of the largest number of references that is not above this one."""
        return max(0, bisect_right(self.references, n_references) - 1)


@dataclass(frozen=True)
class Calibration:
    """Distance thresholds that were found on one set of pairs, to be used on others.

    Attributes:
        accuracy_threshold: the one with the most pairs decided right.
        eer_threshold: the one where FAR and FRR are most nearly equal.
        curve: about 200 operating points, to choose another threshold from.
        claims: thresholds for claims; None where there were too few images of a class to find any,
            and in older models.
    """

    accuracy_threshold: float
    eer_threshold: float
    curve: Curve
    claims: ClaimCalibration | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of a JSON file that `from_json` reads."""
        curve = {name: list(values) for name, values in vars(self.curve).items()}
        thresholds = {"accuracy": self.accuracy_threshold, "eer": self.eer_threshold}
        content: dict[str, Any] = {"thresholds": thresholds, "curve": curve}
        return content | ({"claims": asdict(self.claims)} if self.claims else {})

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
            claims = _claims_from(content["claims"]) if "claims" in content else None
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "the verification thresholds cannot be read: expected numbers under"
                f" `thresholds.accuracy`, `thresholds.eer`, `curve` and, if there are any, `claims`"
                f" ({error!r}); train again"
            ) from None
        return cls(accuracy, eer, Curve(*columns), claims)


def _claims_from(content: Any) -> ClaimCalibration:
    """Read what `asdict` made of the thresholds for claims; else a KeyError and the like."""
    rule, against = content["rule"], content["against"]
    references = tuple(map(int, content["references"]))
    threshold, far, frr = (tuple(map(float, content[name])) for name in ("threshold", "far", "frr"))
    if rule not in RULES or against not in get_args(FalseKind):
        raise ValueError(f"`claims` has the rule {rule!r} against {against!r}")
    if not references or {*map(len, (threshold, far, frr))} != {len(references)}:
        raise ValueError("the columns of `claims` are empty, or differ in length")
    return ClaimCalibration(rule, references, threshold, far, frr, against)
