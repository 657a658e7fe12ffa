"""The real training stage, stopped in earnest, ends with the bytes of a run never stopped."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Workspace

OUTPUTS = ("data/model", "metrics/training.csv", "metrics/training.json")


def start(workspace: Workspace) -> subprocess.Popen[str]:
    """Start the stage and wait until it has read its data and begun."""
    process = subprocess.Popen(
        [sys.executable, "stages/train.py"],
        cwd=workspace.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for("Running on", process)
    return process


def wait_for(words: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(
        f"the stage ended without saying {words!r}: {process.stderr and process.stderr.read()}"
    )


def outputs(workspace: Workspace) -> dict[str, bytes]:
    """Return the bytes of all that the stage writes, and remove them."""
    found = {}
    for name in OUTPUTS:
        path = workspace.path / name
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            found[str(file.relative_to(workspace.path))] = file.read_bytes()
            file.unlink()
    return found


@pytest.fixture(scope="module")
def longer(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Ten epochs to train, their pairs drawn: some seconds in which to stop it."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("longer") / "repository")
    workspace.change_params({"pairs": {"epochs": 10}})
    workspace.run(sys.executable, "stages/pairs.py")
    return workspace


@pytest.fixture(scope="module")
def never_stopped(longer: Workspace) -> dict[str, bytes]:
    longer.run(sys.executable, "stages/train.py")
    return outputs(longer)


def resume_files(workspace: Workspace) -> list[Path]:
    return list((workspace.path / "data/resume").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_go_on_and_ends_the_process(
    longer: Workspace, never_stopped: dict[str, bytes], number: signal.Signals
) -> None:
    process = start(longer)
    wait_for("epoch   1", process)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == -number, "as a shell or a scheduler expects of that signal"
    assert "stopped in epoch" in printed
    assert "the same command goes on from there" in printed
    assert "Traceback" not in printed
    assert len(resume_files(longer)) == 1
    assert "Going on in epoch" in longer.run(sys.executable, "stages/train.py")
    assert outputs(longer) == never_stopped
    assert not resume_files(longer)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    longer: Workspace, never_stopped: dict[str, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    went_on = False
    for _ in range(4):
        process = start(longer)
        time.sleep(chance.uniform(0.2, 4))
        process.kill()
        printed, _ = process.communicate(timeout=60)
        went_on = went_on or "Going on in epoch" in printed
    printed = longer.run(sys.executable, "stages/train.py")
    assert went_on or "Going on in epoch" in printed
    assert outputs(longer) == never_stopped


def test_with_several_processes_a_signal_leaves_the_last_epoch_to_go_on_from(
    finished: Workspace, longer: Workspace, tmp_path: Path
) -> None:
    workspace = longer.copy_to(tmp_path / "repository")
    workspace.change_params({"train": {"processes": 2}})
    process = start(workspace)
    wait_for("epoch   1", process)
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert len(resume_files(workspace)) == 1
    printed = workspace.run(sys.executable, "stages/train.py")
    assert "Going on in epoch" in printed
    assert printed.count("best of 10 epochs") == 1
