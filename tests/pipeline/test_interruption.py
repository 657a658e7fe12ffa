"""The real training stage, stopped in earnest, ends with the bytes of a run never stopped."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.support.workspace import Workspace

OUTPUTS = ("data/model", "metrics/training.csv", "metrics/training.json")
EPOCHS = 12


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
    """Many epochs to train, their pairs drawn: some seconds in which to stop it."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("longer") / "repository")
    workspace.change_params({"pairs": {"epochs": EPOCHS}, "train": {"patience": EPOCHS}})
    workspace.run(sys.executable, "stages/pairs.py")
    return workspace


@pytest.fixture(scope="module")
def never_stopped(longer: Workspace) -> dict[str, bytes]:
    longer.run(sys.executable, "stages/train.py")
    return outputs(longer)


def resume_files(workspace: Workspace) -> list[str]:
    """Return all that lies there, files that were being written when their process died too."""
    return [path.name for path in (workspace.path / "data/resume").iterdir()]


def saved(workspace: Workspace) -> list[str]:
    return [name for name in resume_files(workspace) if not name.endswith(".partial")]


def test_a_signal_saves_says_how_to_go_on_and_ends_the_process(
    longer: Workspace, never_stopped: dict[str, bytes]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(longer)
        wait_for("epoch  ", process)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
        assert process.returncode == -number, "as a shell or a scheduler expects of that signal"
        assert "stopped in epoch" in printed
        assert "the same command continues from there" in printed
        assert "Traceback" not in printed
        assert len(resume_files(longer)) == 1
    assert "Resuming in epoch" in longer.run(sys.executable, "stages/train.py")
    watched = pd.read_csv(longer.path / "logs/training.csv")
    assert watched["epoch"].tolist() == list(range(1, EPOCHS + 1)), "the log goes on, too"
    assert outputs(longer) == never_stopped
    assert not resume_files(longer)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    longer: Workspace, never_stopped: dict[str, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    process = start(longer)
    time.sleep(chance.uniform(0, 0.1))  # before there is anything to go on from, as a rule
    process.kill()
    process.communicate(timeout=60)
    for _ in range(3):
        process = start(longer)
        wait_for("epoch  ", process)
        time.sleep(chance.uniform(0, 0.1))  # an epoch takes about so long
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, "killed in the middle of it"
        assert len(saved(longer)) == 1
    assert "Resuming in epoch" in longer.run(sys.executable, "stages/train.py")
    assert outputs(longer) == never_stopped
    assert not resume_files(longer)


@pytest.mark.slow
def test_several_processes_stop_at_one_batch_and_go_on_from_it(
    longer: Workspace, tmp_path: Path
) -> None:
    together = longer.copy_to(tmp_path / "repository")
    together.change_params({"pairs": {"epochs": 6}, "train": {"processes": 2}})
    together.run(sys.executable, "stages/pairs.py")
    together.run(sys.executable, "stages/train.py")
    never_stopped = outputs(together)

    # One of them dies: the others end, and it is said.
    process = start(together)
    wait_for("epoch  ", process)
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 2
    ranks[1].kill()
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "one of the 2 processes failed (exit status -9)" in printed
    assert "Traceback" not in printed
    assert not any(rank.is_running() for rank in ranks)

    process = start(together)
    wait_for("Resuming in epoch", process)
    wait_for("epoch  ", process)
    process.terminate()
    _, printed = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM
    assert printed.count("the same command continues from there") == 1
    assert "Traceback" not in printed
    assert len(resume_files(together)) == 1
    printed = together.run(sys.executable, "stages/train.py")
    assert printed.count("Resuming in epoch") == 1
    assert outputs(together) == never_stopped
    assert not resume_files(together)
