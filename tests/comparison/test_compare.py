"""`siamese compare` on made-up results in a real Git repository: what it finds and refuses."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.comparison.compare import Comparison, compare_settings
from siamese.comparison.conclusions import conclusions
from siamese.comparison.revisions import Revision, find_revision
from siamese.comparison.runs import Run
from siamese.comparison.significance import Outcome
from siamese.comparison.text_formats import as_json, as_markdown, as_text
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import ROOT


def outcomes(comparison: Comparison) -> dict[str, Outcome]:
    """Return what the tests say, by metric; there is one of each."""
    found = {one.metric: one.outcome for one in comparison.metrics if one.outcome is not None}
    assert len(found) == len(comparison.metrics)
    return found


# Two models.


def test_every_figure_of_evaluation_json_is_compared_and_tested(
    made_up: Repository, good_and_better: Comparison
) -> None:
    assert good_and_better.claim == "models"
    stated = json.loads(made_up.git("show", "better:metrics/evaluation.json"))
    found = {one.metric: one for one in good_and_better.metrics}
    assert list(found) == [f"{group}.{name}" for group in stated for name in stated[group]]
    for group, values in stated.items():
        for name, value in values.items():
            one = found[f"{group}.{name}"]
            assert one.head == (value,)
            assert one.outcome is not None
            # The figures have four decimals, distances too.
            assert one.outcome.difference == pytest.approx(one.difference, abs=3e-4), one.metric
            assert one.differs, "a much better model"
            assert one.is_better
    assert found["verification.eer"].difference < 0, "fewer errors are better"
    assert outcomes(good_and_better)["knn.k20"].test == "McNemar, exact"
    assert outcomes(good_and_better)["retrieval.map_at_r"].test == "paired bootstrap"


@pytest.mark.parametrize(
    ("figure", "column"), [("no_copies", "copied"), ("clean", "near_duplicate")]
)
def test_the_clean_figures_are_tested_on_the_clean_queries(
    figure: str, column: str, made_up: Repository, good_and_better: Comparison
) -> None:
    base, head = (made_up.read_queries(revision) for revision in ("good", "better"))
    is_clean = ~base[column]
    assert 0 < is_clean.sum() < len(is_clean)
    gap = head["k20"][is_clean].mean() - base["k20"][is_clean].mean()
    found = outcomes(good_and_better)
    assert found[f"knn.k20_{figure}"].difference == pytest.approx(gap)
    assert found["knn.k20"].difference != pytest.approx(gap)


def test_a_revision_and_itself_differ_in_nothing(made_up: Repository) -> None:
    comparison = made_up.compare("good", "good")
    assert not comparison.differing
    assert not comparison.changes
    assert all(one.p == 1.0 for one in comparison.metrics)
    assert "nothing: the same parameters, data and code" in as_text(comparison)


def test_two_single_runs_never_show_that_a_setting_helps(
    made_up: Repository, good_and_better: Comparison
) -> None:
    words = " ".join(conclusions(good_and_better))
    assert "These two models differ: the head is better in knn.k1" in words
    assert "cannot show that a setting helps" in words
    assert "The setting makes" not in words
    words = " ".join(conclusions(made_up.compare("good", "other-seed")))
    assert "differ only in seeds" in words
    assert "not the effect of a setting" in words


def test_p_values_are_corrected_for_the_number_of_figures(made_up: Repository) -> None:
    comparison = made_up.compare("good", "other-seed")
    raw = {name: outcome.p for name, outcome in outcomes(comparison).items()}
    assert len(raw) == 8
    smallest = min(raw, key=lambda name: raw[name])
    found = {one.metric: one.p for one in comparison.metrics}
    assert found[smallest] == pytest.approx(min(1.0, 8 * raw[smallest]))


# Settings.


def test_several_seeds_per_side_show_the_effect_of_a_setting(made_up: Repository) -> None:
    comparison = made_up.compare("m10-*", "m01-1,m01-2,m01-3,m01-4")
    assert comparison.claim == "setting"
    assert [len(comparison.base), len(comparison.head)] == [4, 4]
    found = {one.metric: one for one in comparison.metrics}["knn.k20"]
    assert found.differs
    assert not found.is_better
    assert outcomes(comparison)["knn.k20"].test == "Welch's t"
    sentences = conclusions(comparison)
    assert "The setting makes a difference (4 runs against 4" in sentences[0]
    assert "train.margin is all that differs" in sentences[1]
    assert "±" in as_text(comparison)


def test_seeds_alone_are_not_called_an_effect_of_the_setting(made_up: Repository) -> None:
    comparison = made_up.compare("m10-1,m10-2", "m10-3,m10-4")
    sentences = conclusions(comparison)
    assert "No effect of the setting is shown" in sentences[0]
    assert "Both sides have the same setting" in sentences[1]


def test_ten_comparisons_of_seeds_alone_give_at_most_one_false_alarm(tmp_path: Path) -> None:
    skills = np.random.default_rng(1000).normal(0.7, 0.01, 60)
    runs = []
    for number, skill in enumerate(skills):
        # Their tests need no Git, which would take most of the time.
        root = tmp_path / str(number)
        MadeUp(skill, luck=100 + number).write(root)
        runs.append(Run.of(Revision(str(number), None, root)))
    alarms = 0
    for start in range(0, 60, 6):
        tested = compare_settings(runs[start : start + 3], runs[start + 3 : start + 6])
        alarms += any(one.differs for one in tested)
    assert alarms <= 1


def test_the_option_seeds_finds_the_runs_that_belong_together(
    made_up: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made_up.root)
    # `other-seed` is margin 1.0 with seed 1, as is m10-1: the same draw is not counted twice.
    assert main(["compare", "other-seed", "m01-3", "--seeds", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["claim"] == "setting"
    assert [run["name"] for run in found["base"]] == ["other-seed", "m10-2", "m10-3", "m10-4"]
    assert [run["name"] for run in found["head"]] == ["m01-3", "m01-1", "m01-2", "m01-4"]


@pytest.mark.parametrize(
    ("base", "head", "message"),
    [
        ("m10-1,m01-1", "m10-2,m10-3", "not runs of one setting: they differ in train.margin"),
        ("m10-1,other-seed", "m01-1,m01-2", "have the same seeds: they are one run twice"),
        ("m10-1", "m01-1,m01-2", "is a single run, the other side has 2"),
        ("m10-1,m10-1", "m01-1,m01-2", "is there twice"),
        ("m99-*", "m01-1", "no experiment's name is like this"),
        ("m99", "m01-1", "neither a Git revision nor an experiment"),
        (",", "m01-1", "names no revision"),
    ],
)
def test_sides_that_cannot_be_compared_are_refused(
    made_up: Repository, base: str, head: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        made_up.compare(base, head)


# What is refused.


def test_other_queries_are_refused(repository: Repository) -> None:
    """Seeds of a setting with novel classes against seeds of one without, say."""
    for number, name in enumerate(("b0", "b1", "h0", "h1")):
        seed = {"train.margin": 1.0 if name < "h" else 0.5, "train.seed": number % 2}
        run = MadeUp(luck=number, params=seed)
        repository.commit(run, name)
        repository.commit(replace(run, n_queries=320), f"{name}-odd")
    sides = [
        ("b0", "h0-odd"),
        ("b0,b1-odd", "h0,h1"),
        ("b0,b1", "h0-odd,h1"),
        ("b0,b1", "h0,h1-odd"),
    ]
    for base, head in sides:
        with pytest.raises(
            InputError, match=r"of b0 .* about 400 queries, .*-odd \(.*\) about 320"
        ):
            repository.compare(base, head)


@pytest.mark.parametrize(
    "file",
    [
        "metrics/evaluation.json",
        "metrics/per_query.parquet",
        "metrics/per_pair.parquet",
        "dvc.lock",
    ],
)
def test_a_revision_without_results_is_named_with_the_file(
    repository: Repository, file: str
) -> None:
    repository.git("rm", "-q", file)
    repository.git("commit", "-qm", "no results")
    with pytest.raises(InputError, match=rf"HEAD \(.*\): {file} is not there, so there are no res"):
        repository.compare("HEAD", "good")


CONFLICT = "<<<<<<< HEAD\n{}\n=======\n[]\n>>>>>>> branch\n"
DAMAGED = [
    ("metrics/evaluation.json", "{", "cannot be read (invalid JSON: EOF"),
    ("metrics/evaluation.json", "{}", "cannot be read"),
    ("metrics/evaluation.json", "[]", "cannot be read"),
    ("metrics/evaluation.json", '{"knn": {"k1": "high"}}', "has 'high' as `knn.k1`;"),
    ("metrics/evaluation.json", '{"knn": {"k1": NaN}}', "has nan as `knn.k1`;"),
    ("metrics/evaluation.json", '{"knn": 1}', "has 1 as `knn`;"),
    ("metrics/evaluation.json", CONFLICT, "has merge conflict markers; `git checkout HEAD -- "),
    ("metrics/evaluation.json", b"\xff\xfe", "cannot be read"),
    ("metrics/per_query.parquet", "PAR1", "cannot be read (Parquet"),
    ("metrics/per_query.parquet", CONFLICT, "has merge conflict markers"),
    ("metrics/details.json", "{}", "lacks `verification`"),
    ("metrics/details.json", '{"verification": {"threshold": "far"}}', "has 'far' as `verif"),
    ("metrics/ran_on.json", "[1]", "cannot be read"),
    ("dvc.lock", "stages: 3", "has 3 as `stages`;"),
    ("dvc.lock", "- 3", "cannot be read"),
    ("dvc.lock", "", "cannot be read"),
    ("dvc.lock", "stages: {a: {deps: {}}}", "has {} as `stages.a.deps`;"),
    ("dvc.lock", "stages:\n\ta: {}", "cannot be read (while scanning"),
    ("dvc.lock", CONFLICT, "has merge conflict markers"),
    ("params.yaml", "[1]", "cannot be read"),
    ("params.yaml", CONFLICT, "has merge conflict markers"),
]


@pytest.mark.parametrize(("file", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named(
    repository: Repository, file: str, content: str | bytes, message: str
) -> None:
    content = content if isinstance(content, bytes) else content.encode()
    (repository.root / file).write_bytes(content)
    with pytest.raises(InputError) as error:
        repository.compare("good")
    assert f"{repository.root / file} {message}" in str(error.value)
    assert "\n" not in str(error.value)
    repository.git("commit", "-qam", "damaged")
    with pytest.raises(InputError) as error:
        repository.compare("HEAD", "good")
    assert f"{file} {message.partition(';')[0]}" in str(error.value)
    assert str(error.value).startswith("HEAD (")


def test_figures_of_different_runs_are_not_compared(repository: Repository) -> None:
    file = repository.root / "metrics/evaluation.json"
    file.write_text('{"knn": {"k20": 0.1}}')
    with pytest.raises(InputError, match="come from different runs"):
        repository.compare("good")


def test_a_figure_that_one_side_lacks_is_shown_untested(repository: Repository) -> None:
    MadeUp(0.85, luck=2).write(repository.root)
    file = repository.root / "metrics/evaluation.json"
    content = json.loads(file.read_text())
    del content["retrieval"]
    file.write_text(json.dumps(content))
    comparison = repository.compare("good")
    assert str(comparison.head[0]) == "the workspace", "where no head is given"
    found = {one.metric: one for one in comparison.metrics}
    assert found["retrieval.map_at_r"].outcome is None
    assert not found["retrieval.map_at_r"].differs
    assert found["knn.k20"].differs


# Classes that training never saw.


def test_seen_and_never_seen_classes_are_each_compared_on_their_own_queries(
    repository: Repository,
) -> None:
    for name, skill, luck in (("base", 0.7, 1), ("head", 0.85, 2)):
        repository.commit(MadeUp(skill, luck=luck, novel=2), name)
    comparison = repository.compare("base", "head")
    found = outcomes(comparison)
    base, head = (repository.read_queries(name) for name in ("base", "head"))
    gaps = {}
    for metric in ("seen.k1", "seen.k20", "novel.k1", "novel.k20", "novel.alone_k1"):
        group, _, column = metric.partition(".")
        chosen = base["novel"] == (group == "novel")
        gaps[metric] = head[column][chosen].mean() - base[column][chosen].mean()
        assert found[metric].difference == pytest.approx(gaps[metric]), metric
        assert found[metric].test == "McNemar, exact"
    assert len(set(gaps.values())) == len(gaps)
    for one in comparison.metrics:
        assert one.outcome is not None
        assert one.outcome.difference == pytest.approx(one.difference, abs=3e-4), one.metric
    kinds = [f"{kind}.{name}" for kind in ("seen", "novel") for name in ("auc", "eer", "accuracy")]
    assert {found[metric].test for metric in kinds} == {"paired bootstrap"}
    eer = {one.metric: one for one in comparison.metrics}["novel.eer"]
    assert eer.difference < 0
    assert eer.is_better, "fewer errors are better"

    repository.commit(MadeUp(0.7, luck=1), "plain")
    repository.commit(MadeUp(0.85, luck=2), "plain-better")
    plain = outcomes(repository.compare("plain", "plain-better"))
    assert plain["verification.auc"] == found["verification.auc"], "the same draws"


def test_other_never_seen_classes_are_not_tested_against_each_other(
    repository: Repository,
) -> None:
    repository.commit(MadeUp(0.7, luck=1, novel=2), "two")
    repository.commit(MadeUp(0.7, luck=2, novel=1), "one")
    for one in repository.compare("two", "one").metrics:
        assert (one.outcome is None) == (one.metric.partition(".")[0] in ("seen", "novel"))


def test_figures_without_their_column_are_pointed_out(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=1, novel=2), "two")
    MadeUp(0.7, luck=1, novel=2).write(repository.root)
    file = repository.root / "metrics/per_query.parquet"
    pd.read_parquet(file).drop(columns="novel").to_parquet(file)
    with pytest.raises(InputError, match=r"has `seen.k1`, but .* lacks `novel`: the two come"):
        repository.compare("two")


def test_results_without_classification_are_compared(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=1, is_classified=False), "base")
    repository.commit(MadeUp(0.85, luck=2, is_classified=False), "head")
    comparison = repository.compare("base", "head")
    found = outcomes(comparison)
    pairs = {"verification.auc", "verification.eer", "verification.accuracy"}
    assert set(found) == {"retrieval.recall_at_1", "retrieval.map_at_r", *pairs}
    assert all(one.differs for one in comparison.metrics)
    assert found["retrieval.recall_at_1"].test == "McNemar, exact"
    base, head = (repository.read_queries(name) for name in ("base", "head"))
    for name, column in (("recall_at_1", "recall_at_1"), ("map_at_r", "average_precision")):
        ours, theirs = (table[column][table["findable"]] for table in (base, head))
        gap = theirs.mean() - ours.mean()
        assert found[f"retrieval.{name}"].difference == pytest.approx(gap, abs=1e-6)
        assert gap != pytest.approx(head[column].mean() - base[column].mean(), abs=1e-4)
    assert "knn" not in as_text(comparison)
    # Of a side that classified the same images, the figures in common are tested: MAP@R in a
    # gallery and among test images are not in common.
    against = repository.compare("good", "head")
    assert {one.metric for one in against.metrics if one.outcome is not None} == pairs


class GivenPairs(MadeUp):
    """A run on given pairs, in four folds from a number on; some are of forgeries, no queries."""

    first_fold = 0

    def pairs(self) -> pd.DataFrame:
        table = super().pairs()
        number = np.arange(len(table), dtype=np.int32)
        table.loc[number % 8 == 1, "right"] = 5000 + number[number % 8 == 1]
        return table.assign(fold=number // 2 % 4 + np.int32(self.first_fold))


class OtherFolds(GivenPairs):
    first_fold = 1


def test_given_pairs_are_tested_against_the_same_given_ones_alone(repository: Repository) -> None:
    stated = {"verification": {"auc": 0.8, "accuracy_by_folds": 0.7}}
    runs = {
        "given": GivenPairs(0.7, luck=1, measured=stated),
        "given-better": GivenPairs(0.85, luck=2, measured=stated),
        "others": OtherFolds(0.85, luck=2, measured=stated),
    }
    for tag, run in runs.items():
        repository.commit(run, tag)
    found = outcomes(repository.compare("given", "given-better"))
    assert set(found) == {"verification.auc", "verification.accuracy_by_folds"}
    tables = (runs["given"].pairs(), runs["given-better"].pairs())
    base, head = (roc_auc_score(pairs["same"], -pairs["distance"]) for pairs in tables)
    assert found["verification.auc"].difference == pytest.approx(head - base)
    by_folds = found["verification.accuracy_by_folds"]
    assert 0.05 < by_folds.interval[0] < by_folds.difference < by_folds.interval[1]
    assert by_folds.test == "paired bootstrap"
    for base_tag, head_tag in (("good", "given"), ("given", "others"), ("others", "better")):
        for one in repository.compare(base_tag, head_tag).metrics:
            assert one.outcome is None, one.metric


def test_settings_searched_in_other_places_share_no_retrieval(repository: Repository) -> None:
    names = ["a0", "a1", "b0", "b1"]
    for number, name in enumerate(names):
        seed = {"train.margin": 1.0 if name < "b" else 0.5, "train.seed": number}
        run = MadeUp(luck=number, params=seed)
        repository.commit(run, name)
        repository.commit(replace(run, is_classified=False), f"{name}-new")
    for head, is_tested in (("b0,b1", True), ("b0-new,b1-new", False)):
        found = {one.metric: one for one in repository.compare("a0,a1", head).metrics}
        assert (found["retrieval.map_at_r"].outcome is not None) == is_tested
        assert found["verification.auc"].outcome is not None


# The command.


def test_the_table_fits_its_width_and_holds_the_figures(
    made_up: Repository, good_and_better: Comparison
) -> None:
    text = as_text(good_and_better)
    assert max(map(len, text.splitlines())) <= 100
    stated = json.loads(made_up.git("show", "better:metrics/evaluation.json"))
    line = next(line for line in text.splitlines() if line.startswith("  knn.k20 "))
    assert f"{stated['knn']['k20']:.2%}".replace("%", " %") in line
    assert line.endswith("better")


def test_markdown_and_json_say_the_same(good_and_better: Comparison) -> None:
    markdown, data = as_markdown(good_and_better), json.loads(json.dumps(as_json(good_and_better)))
    for sentence in data["conclusions"]:
        assert sentence in markdown
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(data["metrics"])
    assert {line.count("|") for line in table} == {8}
    for one in data["metrics"]:
        assert one["differs"] == (one["p_corrected"] < 0.05)
        assert one["interval"][0] <= one["difference"] <= one["interval"][1]


def test_reading_starts_no_thread_and_the_command_imports_nothing_that_is_slow(
    made_up: Repository,
) -> None:
    """An Arrow thread still at work when the command refuses would abort the process."""
    code = (
        "import psutil, pyarrow.parquet, sys; from pathlib import Path;"
        "from siamese.comparison.runs import Run;"
        "from siamese.comparison.revisions import find_revisions;"
        "threads = psutil.Process().num_threads; before = threads();"
        "run = Run.of(find_revisions('good', Path())[0]);"
        "print(len(run.queries['sample']), threads() - before);"
        "from siamese.cli.main import main; main(['compare', 'good', 'better']);"
        "print(sorted({'torch', 'dvc', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    output = subprocess.check_output(command, cwd=made_up.root, env=environment, text=True)
    assert output.splitlines()[0].split() == ["400", "0"]
    assert "These two models differ" in output
    assert output.splitlines()[-1] == "[]"


def test_outside_a_repository_the_message_is_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["compare", "main"]) == 1
    error = capsys.readouterr().err
    assert "not a git repository" in error
    assert len(error.splitlines()) == 1


# Revisions.


def test_a_project_in_a_folder_of_its_repository_is_read(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    inner = repository.root / "inner" / "project"
    MadeUp().write(inner)
    repository.git("add", "-A")
    repository.git("commit", "-qm", "inner")
    revision = find_revision("HEAD", inner)
    assert revision.read("params.yaml") == (inner / "params.yaml").read_bytes()
    assert revision.read_all(["inner", "nothing here", "src"]) == {
        "inner": None,
        "nothing here": None,
        "src": None,
    }


def test_an_experiment_of_this_commit_goes_before_one_of_another(repository: Repository) -> None:
    older = repository.experiment(MadeUp(0.6), "mine")
    repository.commit(MadeUp(0.65))
    assert find_revision("mine", repository.root).commit == older
    newer = repository.experiment(MadeUp(0.62), "mine")
    assert find_revision("mine", repository.root).commit == newer
    repository.commit(MadeUp(0.66))
    with pytest.raises(InputError, match="several experiments have this name"):
        find_revision("mine", repository.root)


def test_a_name_that_looks_like_an_option_is_none(made_up: Repository) -> None:
    with pytest.raises(InputError, match="neither a Git revision nor an experiment"):
        find_revision("--all", made_up.root)
