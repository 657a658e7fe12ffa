"""Galleries of the digits, and what to ask them, for tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from siamese.base.files import write_json
from siamese.gallery.build import Built, build
from siamese.gallery.defaults import NOVELTY_SHARE
from siamese.measures.claims import Rule
from siamese.model.calibration import ClaimCalibration
from siamese.model.folder import Model, load_model, save_model
from tests.support.workspace import Workspace


def build_gallery(
    workspace: Workspace,
    address: Path | str,
    model_folder: Path | None = None,
    embeddings_file: Path | None = None,
    prepared: Path | None = None,
    novelty_share: float = NOVELTY_SHARE,
) -> Built:
    """Build from a workspace's files, or from others in their place."""
    data = workspace.path / "data"
    return build(
        address,
        model_folder or data / "model",
        embeddings_file or data / "embeddings/gallery.parquet",
        prepared or data / "prepared",
        novelty_share,
    )


def noise_images(model: Model, count: int) -> np.ndarray:
    """Draw images that look like no digit, always the same ones."""
    size = model.network.image_size
    return np.random.default_rng(5).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def save_other_model(model: Model, folder: Path) -> Path:
    """Save a model whose first weights differ."""
    folder.mkdir()
    save_model(model, folder)
    other = load_model(folder)
    next(other.network.encoder.parameters()).data.add_(0.5)
    save_model(other, folder)
    return folder


def claims_at(*thresholds: float, rule: Rule = "mean") -> ClaimCalibration:
    """Return thresholds for 1, 3, 5 ... references, and rates that differ too."""
    references = tuple(range(1, 2 * len(thresholds), 2))
    rates = tuple(number / 100 for number in references)
    return ClaimCalibration(rule, references, thresholds, rates, tuple(rate / 2 for rate in rates))


def with_claims(model: Model, claims: ClaimCalibration | None) -> Model:
    """Return a model with other thresholds for claims."""
    return replace(model, calibration=replace(model.calibration, claims=claims))


def save_claims(folder: Path, claims: ClaimCalibration | None) -> None:
    """Put other thresholds for claims into a model folder."""
    calibration = with_claims(load_model(folder), claims).calibration
    write_json(folder / "verification.json", calibration.to_json())
