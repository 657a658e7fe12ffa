"""Same or different: what a distance threshold is worth."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve


def pair_distances(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    difference = embeddings[left].astype(np.float64) - embeddings[right]
    return np.sqrt((difference**2).sum(axis=1))


def auc(distances: np.ndarray, same: np.ndarray) -> float:
    return float(roc_auc_score(same, -distances))


def equal_error_rate(distances: np.ndarray, same: np.ndarray) -> float:
    far, tar, _ = roc_curve(same, -distances)
    i = np.argmin(np.abs(far - (1 - tar)))
    return float((far[i] + 1 - tar[i]) / 2)


def error_rates(distances: np.ndarray, same: np.ndarray, threshold: float) -> tuple[float, float]:
    accepted = distances <= threshold
    return float(accepted[~same].mean()), float((~accepted[same]).mean())


@dataclass(frozen=True)
class Calibration:
    accuracy_threshold: float
    eer_threshold: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(**content)


def calibrate(distances: np.ndarray, same: np.ndarray) -> Calibration:
    far, tar, t = roc_curve(same, -distances)
    return Calibration(float(-t[np.argmax(tar - far)]), float(-t[np.argmin(np.abs(far - 1 + tar))]))
