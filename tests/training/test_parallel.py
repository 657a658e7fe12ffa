"""Two processes that train together against one that trains alone on the same batches."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from siamese.base.errors import InputError
from siamese.model.folder import load_model
from siamese.training.parallel import Ranks, this_rank
from tests.support.workspace import ROOT, Workspace

SCRIPT = ROOT / "tests/support/train_in_parallel.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


STANDING: tuple[dict[str, Any], ...] = (
    {"mining": "none"},
    {"mining": "batch"},
    {"mining": "batch", "proxy_weight": 2.0},
    {"optimizer": "adamw", "images_at_once": 5},
    {"architecture": "timm/test_efficientnet", "freeze": "backbone", "proxy_weight": 1.0},
)
RUNS = [*((changes, "stands") for changes in STANDING), ({"proxy_weight": 2.0}, "learns")]

Outcomes = list[dict[str, Any]]


def run(target: Path, launcher: list[str]) -> Outcomes:
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), json.dumps(RUNS), str(target)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    outcomes: Outcomes = torch.load(target, weights_only=True)
    return outcomes


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return run(tmp_path_factory.mktemp("together") / "outcomes.pt", TORCHRUN)


def test_two_processes_find_the_gradients_and_figures_of_one(
    together: Outcomes, tmp_path: Path
) -> None:
    alone = run(tmp_path / "outcomes.pt", [])
    for two, one in list(zip(together, alone, strict=True))[: len(STANDING)]:
        assert two["gradients"].shape == one["gradients"].shape
        for found, expected in zip(two["gradients"], one["gradients"], strict=True):
            assert expected.norm() > 0.01
            assert (found - expected).norm() < 1e-4 * expected.norm()
        for figures, expected in zip(two["figures"], one["figures"], strict=True):
            assert figures == pytest.approx(expected, rel=1e-4)
        for name in ("validation_loss", "validation_knn"):
            assert two[name] == pytest.approx(one[name], rel=1e-4)


def test_all_processes_hold_the_same_weights_and_statistics(together: Outcomes) -> None:
    first, second = together[-1]["state"]
    assert torch.equal(first, second)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    assert Ranks(rank=1, size=2).part(6) == slice(3, 6)
    with pytest.raises(InputError, match=r"6 images of a batch.*4 processes \(`train\.processes`"):
        Ranks(rank=0, size=4).part(6)


def test_torchrun_and_the_parameters_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert this_rank(1) == Ranks()
    started = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    assert this_rank(4) == Ranks(rank=3, size=4, local_rank=1)
    with pytest.raises(InputError, match=r"`train\.processes` is 2, but torchrun started 4"):
        this_rank(2)


@pytest.mark.slow
def test_the_stage_starts_its_processes_and_the_first_alone_writes(workspace: Workspace) -> None:
    workspace.change_params({"train": {"processes": 2}})
    for name in ("data/model/model.safetensors", "metrics/training.json"):
        (workspace.path / name).unlink()
    printed = workspace.run(sys.executable, "stages/train.py")
    assert printed.count("epoch   2 ") == 1
    assert printed.count("best of 2 epochs") == 1
    assert load_model(workspace.path / "data/model").network.image_size == (16, 16)
    assert not list((workspace.path / "data/resume").glob("*"))


@pytest.mark.slow
def test_what_processes_cannot_share_is_said_once(workspace: Workspace) -> None:
    workspace.change_params({"train": {"processes": 3}})
    printed = workspace.run(sys.executable, "stages/train.py", fails=True)
    assert printed.count("cannot be shared evenly by 3 processes") == 1
