"""What training says of an epoch, and writes in the end, whatever figures the objective has."""

import json
from pathlib import Path

import pandas as pd
import pytest

from siamese.training.early_stopping import EpochRecord, Pace, Trained
from siamese.training.report import EpochReport, collapse_warning, in_words, write_figures

HEALTHY = {
    "learning_rate": 0.1,
    "loss": 0.25,
    "like_distance": 0.6,
    "unlike_distance": 0.9,
    "active_unlike": 1.0,
    "spread": 0.7,
    "validation_loss": 0.25,
    "validation_knn": 0.01,
    "validation_eer": 0.4,
}
ALWAYS = ("learning_rate", "loss", "validation_loss", "validation_knn", "validation_eer")
FEWEST = {name: HEALTHY[name] for name in ALWAYS}


def test_a_collapsed_embedding_is_warned_of_in_words() -> None:
    assert collapse_warning(EpochRecord(3, HEALTHY), 1.0) is None
    collapsed = {"spread": 0.01, "like_distance": 0.011, "unlike_distance": 0.012}
    warning = collapse_warning(EpochRecord(3, HEALTHY | collapsed), 1.0)
    assert warning is not None
    assert "collapsed. After epoch 3 unlike pairs are" in warning
    # The first epoch of a sound run on photographs: it has learned little yet, no more.
    first = {"spread": 0.5, "like_distance": 0.756, "unlike_distance": 0.767}
    assert collapse_warning(EpochRecord(1, HEALTHY | first), 1.0) is None
    assert collapse_warning(EpochRecord(3, FEWEST), 1.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.5, "1 min"), (3569, "59 min"), (3571, "1 h 0 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("figures", [HEALTHY, FEWEST])
def test_files_have_the_figures_that_the_objective_has(
    tmp_path: Path, figures: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    records = tuple(EpochRecord(epoch, figures) for epoch in (1, 2))
    report = EpochReport(tmp_path / "log.csv", 1.0)
    for record in (records[0], records[1], records[1]):  # the last twice, as a resumed run may
        report(record, Pace(1000.0, 100.0))
    trained, curve = Trained(records, 2, False), tmp_path / "curve.png"
    write_figures(trained, {"device": "cpu"}, tmp_path, curve, "knn")
    written = pd.read_csv(tmp_path / "training.csv")
    assert list(written.columns) == ["epoch", *figures]
    assert written["epoch"].tolist() == [1, 2]
    watched = pd.read_csv(tmp_path / "log.csv")
    pd.testing.assert_frame_equal(watched.drop(columns="images_per_second"), written)
    best = {"knn": 0.01, "eer": 0.4, "loss": 0.25}
    expected = {"epochs": 2, "best_epoch": 2, "validation": best}
    assert json.loads((tmp_path / "training.json").read_text()) == expected
    drawn = curve.read_bytes()
    assert len(drawn) > 1000
    write_figures(trained, {"device": "cpu"}, tmp_path, curve, "eer")
    assert curve.read_bytes() != drawn
    printed = capsys.readouterr().out
    assert "epoch   1  loss 0.2500" in printed
    assert "(1,000 images/s, at most 2 min left)" in printed
    assert ("like 0.600" in printed) == ("like_distance" in figures)
