"""The benchmark of the service runs on small data and reports what it says. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.galleries import build_gallery
from tests.support.workspace import ROOT, Workspace


@pytest.mark.slow
def test_the_service_is_measured_over_http_and_its_search_alone(workspace: Workspace) -> None:
    pytest.importorskip("fastapi")
    build_gallery(workspace, workspace.path / "data/gallery")
    script: Path = ROOT / "bench/serve.py"
    short = ["--workspace", str(workspace.path), "--clients", "3", "--seconds", "0.5"]
    done = subprocess.run(
        [sys.executable, script, *short], capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    measured = report["over HTTP, torch"]
    assert set(measured) == {"one by one", "3 clients"}
    for figures in measured.values():
        assert 0 < figures["p50_ms"] <= figures["p95_ms"]
        assert figures["requests_per_s"] > 0
    assert all(value > 0 for value in report["search alone"].values())
    assert "| over HTTP, torch, 3 clients |" in done.stderr
