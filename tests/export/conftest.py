"""The digits' model, and the ONNX file that was made of it: tests only read both."""

from pathlib import Path

import pytest

# What `pip install siamese` alone does not bring.
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from siamese.export.file import Exported, export
from siamese.model.folder import Model, load_model
from tests.support.workspace import Workspace


@pytest.fixture(scope="session")
def model(finished: Workspace) -> Model:
    return load_model(finished.path / "data/model")


@pytest.fixture(scope="session")
def written(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """The file, and what its writer says of it."""
    file = tmp_path_factory.mktemp("export") / "model.onnx"
    data = finished.path / "data"
    return file, export(data / "model", file, data / "prepared")
