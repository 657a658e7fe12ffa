"""`siamese compare` on made-up results in a real Git repository: what it finds and refuses."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.comparison.compare import Comparison, compare
from siamese.comparison.significance import Outcome
from siamese.comparison.revisions import WORKSPACE, find_revision, find_revisions
from siamese.comparison.text_formats import as_json, as_markdown, as_text
from siamese.comparison.conclusions import conclusions
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import ROOT


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("made_up") / "repository")
    made.commit(MadeUp(0.7, luck=1), "good")
    made.commit(MadeUp(0.85, luck=2, params={"train.margin": 0.5, "train.seed": 0}), "better")
    made.commit(MadeUp(0.7, luck=3, params={"train.margin": 1.0, "train.seed": 1}), "other-seed")
    return made


@pytest.fixture
def repository(template: Repository, tmp_path: Path) -> Repository:
    """A repository with `good`, `better` and `other-seed` (as good as `good`) as tags."""
    shutil.copytree(template.root, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


def compared(repository: Repository, base: str, head: str = WORKSPACE) -> Comparison:
    root = repository.root
    return compare(find_revisions(base, root), find_revisions(head, root))


def outcomes(comparison: Comparison) -> dict[str, Outcome]:
    """Return what the tests say, by metric; there is one of each."""
    found = {one.metric: one.outcome for one in comparison.metrics if one.outcome is not None}
    assert len(found) == len(comparison.metrics)
    return found


def seeds(skill: float, margin: float, numbers: range) -> list[MadeUp]:
    """Return runs of one setting: their skill varies a little with the seed."""
    luck = np.random.default_rng(round(1000 * margin)).normal(0, 0.01, numbers.stop)
    return [
        MadeUp(
            skill + luck[number],
            luck=100 + number,
            params={"train.margin": margin, "train.seed": number},
        )
        for number in numbers
    ]


# Two models.


def test_every_figure_of_evaluation_json_is_compared_and_tested(repository: Repository) -> None:
    comparison = compared(repository, "good", "better")
    assert comparison.claim == "models"
    stated = json.loads(repository.git("show", "better:metrics/evaluation.json"))
    found = {one.metric: one for one in comparison.metrics}
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
    assert outcomes(comparison)["knn.k20"].test == "McNemar, exact"
    assert outcomes(comparison)["retrieval.map_at_r"].test == "paired bootstrap"


def test_the_clean_figure_is_tested_on_the_clean_queries(repository: Repository) -> None:
    base, head = (read_queries(repository, revision) for revision in ("good", "better"))
    is_clean = ~base["near_duplicate"]
    assert 0 < is_clean.sum() < len(is_clean)
    gap = head["k20"][is_clean].mean() - base["k20"][is_clean].mean()
    found = outcomes(compared(repository, "good", "better"))
    assert found["knn.k20_clean"].difference == pytest.approx(gap)
    assert found["knn.k20"].difference != pytest.approx(gap)


def read_queries(repository: Repository, revision: str) -> pd.DataFrame:
    command = ["git", "show", f"{revision}:metrics/per_query.parquet"]
    return pd.read_parquet(io.BytesIO(subprocess.check_output(command, cwd=repository.root)))


def test_head_is_the_workspace_unless_given(repository: Repository) -> None:
    MadeUp(0.85, luck=2).write(repository.root)
    comparison = compared(repository, "good")
    assert str(comparison.head[0]) == "the workspace"
    assert all(one.differs for one in comparison.metrics)


def test_a_revision_and_itself_differ_in_nothing(repository: Repository) -> None:
    comparison = compared(repository, "good", "good")
    assert not comparison.differing
    assert not comparison.changes
    assert all(one.p == 1.0 for one in comparison.metrics)
    assert "nothing: the same parameters, data and code" in as_text(comparison)


def test_two_single_runs_never_show_that_a_setting_helps(repository: Repository) -> None:
    words = " ".join(conclusions(compared(repository, "good", "better")))
    assert "These two models differ: the head is better in knn.k1" in words
    assert "cannot show that a setting helps" in words
    assert "The setting makes" not in words
    words = " ".join(conclusions(compared(repository, "good", "other-seed")))
    assert "differ in seeds alone" in words
    assert "effect of no setting" in words


def test_p_values_are_corrected_for_the_number_of_figures(repository: Repository) -> None:
    comparison = compared(repository, "good", "other-seed")
    raw = {name: outcome.p for name, outcome in outcomes(comparison).items()}
    assert len(raw) == 7
    smallest = min(raw, key=lambda name: raw[name])
    found = {one.metric: one.p for one in comparison.metrics}
    assert found[smallest] == pytest.approx(min(1.0, 7 * raw[smallest]))


# Where it comes from.


def test_what_differs_is_told_stage_by_stage(repository: Repository) -> None:
    changed = MadeUp(0.7, luck=1, params={"train.margin": 0.5, "train.seed": 0}, code="second\n")
    repository.commit(changed, "changed")
    comparison = compared(repository, "good", "changed")
    train, evaluate = comparison.changes
    assert [(c.name, c.base, c.head) for c in train.params] == [("train.margin", 1.0, 0.5)]
    assert [change.name for change in train.code] == ["src/siamese/training/augment.py"]
    assert [change.name for change in train.outputs] == ["data/model"]
    assert not evaluate.is_cause
    text = as_text(comparison)
    assert "train.margin 1.0 -> 0.5" in text
    assert "src/siamese/training/augment.py (changed)" in text
    assert "and so    evaluate" in text


def test_equal_inputs_with_another_outcome_are_pointed_out(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=9), "elsewhere")
    (repository.root / "metrics/ran_on.json").write_text('{"device": "cuda", "torch": "2.14.1"}')
    repository.git("commit", "-qam", "on a GPU")
    text = as_text(compared(repository, "good", "HEAD"))
    assert "equal parameters, code and data gave other results" in text
    assert "ran on    device cpu -> cuda" in text


def test_figures_that_are_no_longer_the_revisions_own_are_pointed_out(
    repository: Repository,
) -> None:
    root = repository.root
    (root / "params.yaml").write_text("train: {margin: 0.9, seed: 1}\n")
    (root / "src/siamese/training/augment.py").write_text("edited\n")
    text = as_text(compared(repository, "good"))
    assert "Careful: the workspace has changed since its figures were made" in text
    assert "train.margin (made with 1.0, now 0.9)" in text
    assert "src/siamese/training/augment.py" in text.partition("Careful")[2]
    assert "Careful" not in as_text(compared(repository, "good", "better"))


# Settings.


@pytest.fixture
def seeded(repository: Repository) -> Repository:
    """Experiments m10-1 to m10-4 and m01-1 to m01-4: two margins, four seeds of each."""
    for margin, skill, title in ((1.0, 0.7, "m10"), (0.1, 0.6, "m01")):
        for number, run in enumerate(seeds(skill, margin, range(1, 5)), start=1):
            repository.experiment(run, f"{title}-{number}")
    return repository


def test_several_seeds_a_side_show_the_effect_of_a_setting(seeded: Repository) -> None:
    comparison = compared(seeded, "m10-*", "m01-1,m01-2,m01-3,m01-4")
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


def test_seeds_alone_are_not_called_an_effect_of_the_setting(seeded: Repository) -> None:
    comparison = compared(seeded, "m10-1,m10-2", "m10-3,m10-4")
    sentences = conclusions(comparison)
    assert "No effect of the setting is shown" in sentences[0]
    assert "Both sides have the same setting" in sentences[1]


def test_ten_comparisons_of_seeds_alone_give_at_most_one_false_alarm(
    repository: Repository,
) -> None:
    runs = seeds(0.7, 1.0, range(60))
    names = [f"s{number}" for number, run in enumerate(runs)]
    for name, run in zip(names, runs, strict=True):
        repository.experiment(run, name)
    alarms = 0
    for start in range(0, 60, 6):
        group = names[start : start + 6]
        alarms += bool(compared(repository, ",".join(group[:3]), ",".join(group[3:])).differing)
    assert alarms <= 1


def test_the_option_seeds_finds_the_runs_that_belong_together(
    seeded: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(seeded.root)
    # `other-seed` is margin 1.0 with seed 1, as is m10-1: the same draw is not counted twice.
    assert main(["compare", "other-seed", "m01-3", "--seeds", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["claim"] == "setting"
    assert [run["name"] for run in found["base"]] == ["other-seed", "m10-2", "m10-3", "m10-4"]
    assert [run["name"] for run in found["head"]] == ["m01-3", "m01-1", "m01-2", "m01-4"]


@pytest.mark.parametrize(
    ("base", "head", "message"),
    [
        ("m10-1,m01-1", "m10-2,m10-3", "no runs of one setting: they differ in train.margin"),
        ("m10-1,other-seed", "m01-1,m01-2", "have the same seeds: they are one run twice"),
        ("m10-1", "m01-1,m01-2", "is a single run, the other side has 2"),
        ("m10-1,m10-1", "m01-1,m01-2", "is there twice"),
        ("m99-*", "m01-1", "no experiment's name is like this"),
        ("m99", "m01-1", "neither a Git revision nor an experiment"),
        (",", "m01-1", "names no revision"),
    ],
)
def test_sides_that_cannot_be_compared_are_refused(
    seeded: Repository, base: str, head: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compared(seeded, base, head)


# What is refused.


@pytest.mark.parametrize("odd", ["b1", "h0", "h1"])
def test_among_several_runs_other_queries_are_refused(repository: Repository, odd: str) -> None:
    """Seeds of a setting with novel classes against seeds of one without, say."""
    for name in ("b0", "b1", "h0", "h1"):
        seed = {"train.margin": 1.0 if name < "h" else 0.5, "train.seed": int(name[1])}
        run = MadeUp(luck=ord(name[0]) + int(name[1]), params=seed)
        repository.commit(replace(run, n_queries=320) if name == odd else run, name)
    base, head = (find_revisions(names, repository.root) for names in ("b0,b1", "h0,h1"))
    with pytest.raises(InputError, match=rf"of {odd} \(.*\) about 320"):
        compare(base, head)


def test_other_queries_are_refused(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, n_queries=300), "smaller")
    with pytest.raises(InputError, match=r"of good \(.*\) is about 400 queries, .* about 300"):
        compared(repository, "good", "smaller")


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
        compared(repository, "HEAD", "good")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics/evaluation.json", "{", "is no JSON"),
        ("metrics/evaluation.json", '{"knn": {"k1": "high"}}', "expected to hold numbers"),
        ("metrics/evaluation.json", '{"knn": {"k20": 0.1}}', "come from different runs"),
        ("metrics/per_query.parquet", "PAR1", "is no Parquet table"),
        ("metrics/details.json", "{}", "lacks `verification.threshold`"),
        ("dvc.lock", "stages: 3", "dvc.lock cannot be read"),
    ],
)
def test_a_damaged_file_is_named(
    repository: Repository, file: str, content: str, message: str
) -> None:
    (repository.root / file).write_text(content)
    with pytest.raises(InputError, match=f"(?s)the workspace.*{message}"):
        compared(repository, "good")


def test_a_figure_that_one_side_lacks_is_shown_untested(repository: Repository) -> None:
    file = repository.root / "metrics/evaluation.json"
    content = json.loads(file.read_text())
    del content["retrieval"]
    file.write_text(json.dumps(content))
    found = {one.metric: one for one in compared(repository, "good").metrics}
    assert found["retrieval.map_at_r"].outcome is None
    assert not found["retrieval.map_at_r"].differs
    assert found["knn.k20"].outcome is not None


# Classes that training never saw.


def test_seen_and_never_seen_classes_are_each_compared_on_their_own_queries(
    repository: Repository,
) -> None:
    for name, skill, luck in (("base", 0.7, 1), ("head", 0.85, 2)):
        repository.commit(MadeUp(skill, luck=luck, novel=2), name)
    comparison = compared(repository, "base", "head")
    found = outcomes(comparison)
    base, head = (read_queries(repository, name) for name in ("base", "head"))
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
    plain = outcomes(compared(repository, "plain", "plain-better"))
    assert plain["verification.auc"] == found["verification.auc"], "the same draws"


def test_other_never_seen_classes_are_not_tested_against_each_other(
    repository: Repository,
) -> None:
    repository.commit(MadeUp(0.7, luck=1, novel=2), "two")
    repository.commit(MadeUp(0.7, luck=2, novel=1), "one")
    for one in compared(repository, "two", "one").metrics:
        assert (one.outcome is None) == (one.metric.partition(".")[0] in ("seen", "novel"))


def test_figures_without_their_column_are_pointed_out(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=1, novel=2), "two")
    MadeUp(0.7, luck=1, novel=2).write(repository.root)
    file = repository.root / "metrics/per_query.parquet"
    pd.read_parquet(file).drop(columns="novel").to_parquet(file)
    with pytest.raises(InputError, match=r"has `seen.k1`, but .* lacks `novel`: the two come"):
        compared(repository, "two")


def test_results_of_verification_alone_are_compared(repository: Repository) -> None:
    repository.commit(MadeUp(0.7, luck=1, is_classified=False), "base")
    repository.commit(MadeUp(0.85, luck=2, is_classified=False), "head")
    comparison = compared(repository, "base", "head")
    found = outcomes(comparison)
    assert list(found) == ["verification.auc", "verification.eer", "verification.accuracy"]
    assert all(one.differs for one in comparison.metrics)
    assert "knn" not in as_text(comparison)
    # Of a side that classified the same images, the figures in common are tested.
    against = compared(repository, "good", "head")
    assert {one.metric for one in against.metrics if one.outcome is not None} == set(found)


# The command.


def test_the_table_fits_its_width_and_holds_the_figures(repository: Repository) -> None:
    comparison = compared(repository, "good", "better")
    text = as_text(comparison)
    assert max(map(len, text.splitlines())) <= 100
    stated = json.loads(repository.git("show", "better:metrics/evaluation.json"))
    line = next(line for line in text.splitlines() if line.startswith("  knn.k20 "))
    assert f"{stated['knn']['k20']:.2%}".replace("%", " %") in line
    assert line.endswith("better")


def test_markdown_and_json_say_the_same(repository: Repository) -> None:
    comparison = compared(repository, "good", "better")
    markdown, data = as_markdown(comparison), json.loads(json.dumps(as_json(comparison)))
    for sentence in data["conclusions"]:
        assert sentence in markdown
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(data["metrics"])
    assert {line.count("|") for line in table} == {8}
    for one in data["metrics"]:
        assert one["differs"] == (one["p_corrected"] < 0.05)
        assert one["interval"][0] <= one["difference"] <= one["interval"][1]


def output_of(code: str, repository: Repository) -> str:
    """Run Python code in a repository, with this checkout's library, in a process of its own."""
    return subprocess.check_output(
        [sys.executable, "-c", code],
        cwd=repository.root,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
    )


def test_the_command_imports_nothing_that_is_slow(repository: Repository) -> None:
    code = (
        "import sys; from siamese.cli.main import main; main(['compare', 'good', 'better']);"
        "print(sorted({'torch', 'dvc', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    output = output_of(code, repository)
    assert "These two models differ" in output
    assert output.splitlines()[-1] == "[]"


def test_reading_results_starts_no_thread(repository: Repository) -> None:
    """One of Arrow's that is still at work when the command refuses would abort the process."""
    code = (
        "import psutil, pyarrow.parquet; from pathlib import Path;"
        "from siamese.comparison.compare import Run;"
        "from siamese.comparison.revisions import find_revisions;"
        "threads = psutil.Process().num_threads; before = threads();"
        "results = Run.of(find_revisions('good', Path())[0]).results;"
        "print(len(results.queries['sample']), threads() - before)"
    )
    output = output_of(code, repository)
    assert output.split() == ["400", "0"]


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


def test_a_name_that_looks_like_an_option_is_none(repository: Repository) -> None:
    with pytest.raises(InputError, match="neither a Git revision nor an experiment"):
        find_revision("--all", repository.root)
