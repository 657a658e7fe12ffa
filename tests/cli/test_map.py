"""`siamese map`: what it writes and says."""

from pathlib import Path

import pytest

from siamese.base.parquet import read_frame
from siamese.cli.main import main
from tests.support.galleries import build_gallery
from tests.support.workspace import Workspace


def test_the_command_writes_the_map_of_the_project(
    finished: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_gallery(finished, tmp_path / "gallery")
    options = [
        f"--{name}={value}"
        for name, value in (
            ("gallery", tmp_path / "gallery"),
            ("prepared", finished.path / "data/prepared"),
            ("workspace", tmp_path),
            ("points", 40),
        )
    ]
    assert main(["map", *options]) == 0
    output = capsys.readouterr()
    file = tmp_path / "data/map.parquet"
    assert output.out == f"{file}: 40 images of the gallery and 0 test images\n"
    assert output.err.startswith("siamese map: ten thousand points take about a minute\n")
    assert "note: There is no data/embeddings/queries.parquet" in output.err
    assert len(read_frame(file)) == 40
    for wrong, sentence in (
        ("--points=0", "0 points make no map; expected at least 3"),
        ("--seed=-1", "the seed is -1; expected 0 to 4294967295"),
    ):
        assert main(["map", *options, wrong]) == 1
        assert capsys.readouterr().err.endswith(f"\nsiamese: {sentence}\n")
    assert len(read_frame(file)) == 40
