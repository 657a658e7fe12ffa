"""Made-up results in a real Git repository, made once for all tests of the comparison."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from siamese.comparison.compare import Comparison
from tests.support.made_up_results import MadeUp, Repository


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with results to read. Tests must not change it: see `repository`.

    Tags are `good`, `better` and `other-seed`, which is as good as `good`. Experiments are `m10-1`
    to `m10-4` and `m01-1` to `m01-4`: two margins, four seeds of each.
    """
    made = Repository(tmp_path_factory.mktemp("made_up") / "repository")
    made.commit(MadeUp(0.7, luck=1), "good")
    made.commit(MadeUp(0.85, luck=2, params={"train.margin": 0.5, "train.seed": 0}), "better")
    made.commit(MadeUp(0.7, luck=3, params={"train.margin": 1.0, "train.seed": 1}), "other-seed")
    for margin, skill, title in ((1.0, 0.7, "m10"), (0.1, 0.6, "m01")):
        luck = np.random.default_rng(round(1000 * margin)).normal(0, 0.01, 5)
        for seed in range(1, 5):
            params = {"train.margin": margin, "train.seed": seed}
            run = MadeUp(skill + luck[seed], luck=100 + seed, params=params)
            made.experiment(run, f"{title}-{seed}")
    return made


@pytest.fixture
def repository(made_up: Repository, tmp_path: Path) -> Repository:
    """A copy of the repository for one test to change."""
    shutil.copytree(made_up.root, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


@pytest.fixture(scope="session")
def good_and_better(made_up: Repository) -> Comparison:
    """`good` compared with `better`."""
    return made_up.compare("good", "better")
