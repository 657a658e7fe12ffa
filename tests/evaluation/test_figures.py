"""The table of figures: one row for each, and all that a reader needs in it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from siamese.base.files import write_json
from siamese.cli.results import results_table
from siamese.comparison.compare import compare_models
from siamese.comparison.revisions import Revision
from siamese.comparison.runs import Run
from siamese.evaluation import figures
from siamese.evaluation.figures import (
    FIGURES,
    MAIN,
    TOPICS,
    Figure,
    MeanOf,
    OfAllPairs,
    OfTestPairs,
    figures_for,
    find_figure,
    queries_about,
)
from siamese.evaluation.result_files import save_evaluation
from tests.support.made_up_embeddings import NOVEL, MadeUpSplit, params, with_forgeries
from tests.support.workspace import ROOT


def test_every_figure_of_the_committed_results_is_in_the_table() -> None:
    metrics, details = (
        json.loads((ROOT / "metrics" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("evaluation", "details")
    )
    names = [f"{topic}.{key}" for topic, values in metrics.items() for key in values]
    assert len(names) > 10
    for name in [*names, *details["intervals"]]:
        figure = find_figure(name)
        assert figure is not None, name
        assert (figure.name, f"{figure.topic}.{figure.key}") == (name, name)
        assert figure.is_detail == (name not in names)


def test_a_name_is_found_with_its_number_of_neighbours_and_no_other_is() -> None:
    found = find_figure("novel.alone_k17")
    assert found is not None
    assert found.label == "gallery of such classes alone, k = 17"
    assert isinstance(found.source, MeanOf)
    assert (found.source.column, found.about) == ("alone_k17", "novel")
    for unknown in ("knn.k", "knn.kx", "knn.weighted2", "k20", "seen.alone_k1", "verification_auc"):
        assert find_figure(unknown) is None


def test_no_row_is_doubled_and_error_rates_alone_are_better_when_lower() -> None:
    assert max(Counter(figure.name for figure in FIGURES).values()) == 1
    assert {figure.topic for figure in FIGURES} == set(TOPICS)
    lower = {figure.name for figure in FIGURES if not figure.higher_is_better}
    of_pairs = {"verification.eer", "skilled.eer", "seen.eer", "novel.eer"}
    assert lower == of_pairs | {figure.name for figure in FIGURES if figure.topic == "claims"}
    assert all(find_figure(name) for name in MAIN)


def test_each_column_is_computed_by_one_row() -> None:
    sources = [figure.source for figure in FIGURES if isinstance(figure.source, MeanOf)]
    computed = Counter(source.column for source in sources if source.outcome)
    assert set(computed) == {source.column for source in sources}
    assert max(computed.values()) == 1


def test_a_test_split_with_everything_has_every_figure_that_is_asked_for() -> None:
    found = with_forgeries(NOVEL).evaluate()
    names = [f"{topic}.{key}" for topic, values in found.metrics.items() for key in values]
    # Its classes have some eight images each.
    wanted = [one for one in figures_for(params()) if getattr(one.source, "references", 0) < 10]
    assert len({figure.name for figure in wanted}) == len(wanted) == 31 + 3 + 5 * 3
    # Where some queries are classified, no others are searched for among one another; drawn pairs
    # have no folds.
    headlines = {figure.name for figure in wanted if not figure.is_detail}
    assert set(names) == headlines - {"retrieval.recall_at_1", "verification.accuracy_by_folds"}


def test_a_new_figure_is_a_function_and_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is computed, written, given an interval, shown and compared."""
    vote = MeanOf("k2_sure", lambda answers: answers.elected(2) == answers.queries.fine)
    new = (
        Figure("knn.sure", "a vote of two", vote),
        Figure("retrieval.sure", "the vote once more", MeanOf("k2_sure"), is_detail=True),
        Figure("verification.far", "false accepts", OfTestPairs(lambda one: one.far_at_threshold)),
        Figure("verification.n", "like at 0", OfAllPairs(lambda one: one.like[0]), is_detail=True),
    )
    monkeypatch.setattr(figures, "FIGURES", (*FIGURES, *new))
    found = MadeUpSplit().evaluate()
    assert found.metrics["knn"]["sure"] == pytest.approx(found.per_query["k2_sure"].mean())
    assert {figure.name for figure in new[:3]} <= set(found.details["intervals"])
    save_evaluation(found, list("abcdef"), tmp_path / "metrics")
    floors = {"pixels": 0.1, "untrained": 0.2}
    ran = {"epochs": 1, "best_epoch": 1, "device": "cpu", "precision": "float32"}
    for name, content in (("floor", floors), ("training", ran), ("ran_on", ran)):
        write_json(tmp_path / f"metrics/{name}.json", content)
    shown = results_table(tmp_path)
    assert all(figure.label in shown for figure in new)
    run = Run(Revision("workspace", None, tmp_path), {})
    tested = {one.metric for one in compare_models(run, run) if one.outcome}
    assert tested >= {"knn.sure", "verification.far"}


def test_the_queries_of_a_figure_by_hand() -> None:
    table = {
        "sample": np.arange(4),
        "copied": np.array([True, False, False, False]),
        "near_duplicate": np.array([True, False, False, True]),
        "novel": np.array([False, False, True, True]),
        "novel_findable": np.array([False, False, False, True]),
    }
    expected = {"all": [0, 1, 2, 3], "no_copies": [1, 2, 3], "clean": [1, 2]}
    expected |= {"seen": [0, 1], "novel": [2, 3], "novel_findable": [3], "findable": [0, 1, 2, 3]}
    for about, rows in expected.items():
        found = queries_about(about, table)  # type: ignore[arg-type]
        assert np.flatnonzero(found).tolist() == rows
    table["findable"] = np.array([True, False, True, True])
    assert np.flatnonzero(queries_about("findable", table)).tolist() == [0, 2, 3]
    del table["novel"]
    with pytest.raises(KeyError, match="novel"):
        queries_about("seen", table)
