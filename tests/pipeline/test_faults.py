"""Full disks and kills: what ran before is kept, and the next run ends with the same bytes."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from siamese.base.params import read_document
from tests.support.workspace import Workspace, new_workspace

STAGES = (
    "download",
    "prepare",
    "duplicates",
    "pairs",
    "weights",
    "train",
    "embed",
    "floor",
    "evaluate",
)
KILLS = 5
LATEST = 8.0  # seconds after which a run is killed


def content(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of all files in a folder, by name."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def limited(size: int) -> Callable[[], None]:
    """Return what makes a process find the disk full when a file exceeds a size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_one_sentence_and_the_next_run_ends_with_the_same_bytes(
    workspace: Workspace, stage: str
) -> None:
    declared = read_document(workspace.path / "dvc.yaml")["stages"][stage]
    entries = [*declared.get("outs", ()), *declared.get("metrics", ())]
    outputs = [workspace.path / (e if isinstance(e, str) else next(iter(e))) for e in entries]
    folders = [path for path in outputs if path.is_dir()]
    before = {path: content(path) for path in folders}
    largest = max(len(one) for path in outputs for one in content(path).values())
    done = subprocess.run(
        [sys.executable, f"stages/{stage}.py"],
        cwd=workspace.path,
        preexec_fn=limited(largest // 2),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{stage}: ")
    assert "make room" in last or "is the disk full?" in last
    assert {path: content(path) for path in folders} == before, "a folder is whole or as it was"
    assert not list(workspace.path.glob("*/.*.partial")), "nothing half-written is left"
    workspace.dvc("repro")
    assert not workspace.git("status", "--porcelain"), "the lock and the figures are as they were"


def forget_what_is_torn(workspace: Workspace) -> None:
    """Delete what a kill has torn of the files that DVC writes in place.

    So docs/training.md says; here no lock is committed that could be restored. A folder of the
    run cache that a kill has left empty stops DVC 3.67 in `StageCache._load`.
    """
    runs = workspace.path / ".dvc/cache/runs"
    if any(not any(folder.iterdir()) for folder in runs.glob("*/*")):
        shutil.rmtree(runs)
    locks = workspace.path / ".dvc/tmp/rwlock"
    with suppress(FileNotFoundError):
        try:
            json.loads(locks.read_text())
        except ValueError:
            locks.unlink()
    lock = workspace.path / "dvc.lock"
    if lock.exists() and not is_sound_lock(workspace):
        lock.unlink()


def is_sound_lock(workspace: Workspace) -> bool:
    """Ask DVC, by a command that reads all of the lock, and nothing of the data."""
    command = [sys.executable, "-m", "dvc", "stage", "list"]
    return subprocess.run(command, cwd=workspace.path, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_the_pipeline_ends_with_the_same_bytes(
    finished: Workspace, tmp_path: Path, seed: int
) -> None:
    workspace = new_workspace(tmp_path / "repository")
    chance = random.Random(seed)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=workspace.path,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0, LATEST))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        forget_what_is_torn(workspace)
    workspace.dvc("repro")
    for name in ("dvc.lock", "metrics"):
        uninterrupted, killed = (content(one.path / name) for one in (finished, workspace))
        assert list(killed.values()) == list(uninterrupted.values()), name
    assert not list(workspace.path.glob("*/.*.partial"))
    assert not list((workspace.path / "data/resume").glob("*"))
