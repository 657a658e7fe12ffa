"""Pairs that are given, from the table to the figures, by the real pipeline on the digits."""

import json

import numpy as np
import pandas as pd
import pytest

from siamese.embeddings.embedding_file import load_embeddings
from tests.support.pipeline_output import metrics, stages_run
from tests.support.workspace import Workspace

COUNTS = {"train": (60, 90), "validation": (40, 60), "test": (60, 120)}  # like, unlike


def protocol(samples: pd.DataFrame) -> pd.DataFrame:
    """Some pairs of each split, twice as many unlike ones in the test, in three folds."""
    rng = np.random.default_rng(0)
    rows = []
    for split, counts in COUNTS.items():
        numbers = samples["sample"][samples["split"] == split].to_numpy()
        wanted = dict(zip((True, False), counts, strict=True))
        while any(wanted.values()):
            one, other = rng.choice(numbers, 2, replace=False)
            same = bool(samples["fine"][one] == samples["fine"][other])
            if wanted[same]:
                wanted[same] -= 1
                files = samples["file"][one], samples["file"][other]
                rows.append((*files, int(same), split, wanted[same] % 3))
    return pd.DataFrame(rows, columns=["left", "right", "same", "split", "fold"])


@pytest.mark.slow
def test_a_table_of_pairs_is_trained_on_and_reported(workspace: Workspace) -> None:
    samples = pd.read_parquet(workspace.path / "data/prepared/samples.parquet")
    table = protocol(samples)
    table.to_csv(workspace.path / "protocol.csv", index=False)
    workspace.change_params({"pairs": {"given": "protocol.csv"}, "train": {"mining": "none"}})
    ran = stages_run(workspace.dvc("repro"))
    assert ran == {"pairs", "train", "embed", "floor", "evaluate"}
    workspace.commit("given pairs")

    numbers = samples.set_index("file")["sample"]
    trained = pd.read_parquet(workspace.path / "data/pairs/train.parquet")
    of_train = table[table["split"] == "train"]
    known = set(zip(numbers[of_train["left"]], numbers[of_train["right"]], strict=True))
    assert set(zip(trained["left"], trained["right"], strict=True)) == known

    pairs = pd.read_parquet(workspace.path / "metrics/per_pair.parquet")
    tested = table[table["split"] == "test"]
    assert pairs["left"].tolist() == numbers[tested["left"]].tolist()
    assert pairs["right"].tolist() == numbers[tested["right"]].tolist()
    assert pairs["same"].tolist() == tested["same"].astype(bool).tolist()
    assert pairs["fold"].tolist() == tested["fold"].tolist()
    queries = load_embeddings(workspace.path / "data/embeddings/queries.parquet")
    left, right = (
        queries.vectors[np.searchsorted(queries.samples, pairs[side])] for side in ("left", "right")
    )
    distances = np.linalg.norm(left - right, axis=1)
    np.testing.assert_allclose(pairs["distance"], distances, atol=1e-4)
    found = metrics(workspace, "evaluation")["verification"]
    assert set(found) == {"auc", "eer", "accuracy", "accuracy_by_folds"}
    like, unlike = distances[pairs["same"]], distances[~pairs["same"]]
    # The chance that a like pair is nearer, counted.
    assert found["auc"] == pytest.approx(np.mean(like[:, None] < unlike), abs=1e-4)
    details = metrics(workspace, "details")["verification"]
    assert (details["like_pairs"], details["unlike_pairs"]) == (60, 120)

    shown = workspace.siamese("show")
    assert "Verification of the given pairs, 60 like and 120 unlike" in shown
    assert "accuracy, by the other folds' threshold" in shown
    compared = workspace.siamese("compare", "HEAD~1", "HEAD", "--json")
    tests = {one["metric"]: one for one in json.loads(compared)["metrics"]}
    assert tests["knn.k20"]["p"] is not None
    assert tests["verification.auc"]["p"] is None, "drawn pairs against given ones"

    workspace.change_params({"train": {"margin": 0.5}})
    assert stages_run(workspace.dvc("repro")) == {"train", "embed", "evaluate"}
    compared = workspace.siamese("compare", "HEAD", "--json")
    tests = {one["metric"]: one for one in json.loads(compared)["metrics"]}
    for name in found:
        assert tests[f"verification.{name}"]["p"] is not None
