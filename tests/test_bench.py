"""The speed benchmark runs on small data and reports what it says it does. No time is asserted."""

import json
import shutil
import sys

import pytest

from tests.conftest import ROOT, Workspace


@pytest.mark.slow
def test_every_contestant_is_measured_in_every_round(workspace: Workspace) -> None:
    shutil.copytree(ROOT / "bench", workspace.path / "bench")
    short = ("--rounds", "2", "--batches", "2", "--workers", "0", "1")
    printed = workspace.run(sys.executable, "bench/speed.py", *short)
    report = json.loads((workspace.path / "bench" / "speed.json").read_text())
    assert set(report["peer_workers"]["tried"]) == {"0", "1"}
    assert len(report["rounds"]) == 2
    for figures in report["rounds"]:
        assert all(figures[name] > 0 for name in ("trainer", "limit", "peer"))
        assert figures["trainer_memory_mb"] > 0
        assert figures["peer_memory_mb"] > 0
    assert report["machine"]["pytorch-metric-learning"]
    for words in ("| trainer |", "| limit |", "| peer |", "trainer / limit: ", "trainer / peer: "):
        assert words in printed
