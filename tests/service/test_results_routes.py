"""What the service says about results is what the files and the commands say."""

import csv
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from siamese.cli.results import results_table
from siamese.comparison.compare import compare
from siamese.comparison.experiment_table import experiment_table
from siamese.comparison.revisions import find_revisions
from siamese.comparison.text_formats import as_text
from siamese.service import results_routes
from siamese.service.app import create_app
from siamese.service.settings import Settings
from tests.support.made_up_results import MadeUp, Repository


@pytest.fixture(scope="module")
def asked(read_only: Settings) -> TestClient:
    """The application over a project that nobody changes."""
    return over(read_only, read_only.workspace)


def over(settings: Settings, workspace: Path) -> TestClient:
    """Return the application over another project."""
    return TestClient(
        create_app(replace(settings, workspace=workspace)), base_url="http://127.0.0.1:8000"
    )


@pytest.fixture
def copied(place: Path, tmp_path: Path) -> Path:
    """A project's figures, to change; outside Git."""
    for name in ("metrics", "dvc.lock", "params.yaml"):
        source = place / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, tmp_path / name)
    return tmp_path


def test_figures_are_those_of_the_files_and_of_the_command(asked: TestClient, place: Path) -> None:
    answer = asked.get("/results").json()
    values = {one["value"] for topic in answer["topics"] for one in topic["values"]}
    evaluation = json.loads((place / "metrics/evaluation.json").read_text())
    floor = json.loads((place / "metrics/floor.json").read_text())
    assert {value for part in evaluation.values() for value in part.values()} <= values
    assert set(floor.values()) <= values
    intervals = json.loads((place / "metrics/details.json").read_text())["intervals"]
    shown = [one["interval"] for topic in answer["topics"] for one in topic["values"]]
    # Claims are shown where there are forgeries, or where nothing is classified.
    others = [interval for name, interval in intervals.items() if not name.startswith("claims.")]
    assert len(others) < len(intervals)
    assert sorted(filter(None, shown)) == sorted(others)
    lines = results_table(place).splitlines()
    for topic in answer["topics"]:
        assert any(line.startswith(topic["title"]) for line in lines)
        for one in topic["values"]:
            assert any(f"  {one['label']:<42}{one['value']:8.2%}" in line for line in lines)
    assert {*answer["remarks"], answer["trained"]} <= set(lines)
    with (place / "metrics/classes.csv").open() as file:
        rows = {row["class"]: float(row["accuracy"]) for row in csv.DictReader(file)}
    assert [rows[one["class"]] for one in answer["best"]] == sorted(rows.values())[:-6:-1]
    assert answer["origin"] == []


def test_pictures_come_by_name_and_nothing_else_does(asked: TestClient, place: Path) -> None:
    names = [picture["name"] for picture in asked.get("/results").json()["pictures"]]
    files = {file.stem for file in [*place.glob("data/*.png"), *place.glob("data/*/*.png")]}
    assert set(names) == files
    for name in names:
        [file] = [*place.glob(f"data/{name}.png"), *place.glob(f"data/*/{name}.png")]
        answer = asked.get(f"/results/pictures/{name}.png")
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"] == "image/png"
    for name in ("other", "..%2Ftraining", "%2e%2e/%2e%2e/training", "training.png%00", "."):
        assert asked.get(f"/results/pictures/{name}.png").status_code == 404


def test_training_is_the_record_of_every_epoch(asked: TestClient, place: Path) -> None:
    answer = asked.get("/results/training").json()
    with (place / "metrics/training.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = answer["columns"]
    assert columns == {name: [float(row[name]) for row in rows] for name in rows[0]}
    assert (
        answer["best_epoch"]
        == json.loads((place / "metrics/training.json").read_text())["best_epoch"]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "metrics/training.csv is not there"),
        ("loss\n1\n", "metrics/training.csv cannot be read (no table of epochs)"),
        ("epoch,loss\n1\n", "metrics/training.csv cannot be read (no table of epochs)"),
        ("", "metrics/training.csv cannot be read"),
    ],
)
def test_a_record_that_is_missing_or_damaged_is_named(
    read_only: Settings, copied: Path, content: str | None, said: str
) -> None:
    file = copied / "metrics/training.csv"
    file.unlink()
    if content is not None:
        file.write_text(content)
    answer = over(read_only, copied).get("/results/training").json()
    assert answer["missing"].startswith(said)


def test_values_that_are_not_finite_are_none(read_only: Settings, copied: Path) -> None:
    (copied / "metrics/training.csv").write_text("epoch,loss\n1,nan\n2,\n3,0.5\n")
    answer = over(read_only, copied).get("/results/training").json()
    assert answer["columns"] == {"epoch": [1, 2, 3], "loss": [None, None, 0.5]}


def test_an_empty_project_is_answered_in_sentences(read_only: Settings, tmp_path: Path) -> None:
    client = over(read_only, tmp_path)
    for path in ("/results", "/results/training", "/results/experiments"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.json()["missing"]
        assert str(tmp_path) not in answer.text
    assert client.get("/results").json()["pictures"] == []
    assert client.get("/results/pictures/training.png").status_code == 404
    answer = client.get("/results/compare", params={"base": "HEAD"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("The project is not in a Git repository")


def test_older_figures_say_so(read_only: Settings, copied: Path) -> None:
    params = copied / "params.yaml"
    text = params.read_text()
    assert "margin: 1.0" in text
    params.write_text(text.replace("margin: 1.0", "margin: 0.25"))
    [sentence] = over(read_only, copied).get("/results").json()["origin"]
    assert sentence.startswith("These figures were made with train.margin 1.0, not 0.25")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.commit(MadeUp(), "first")
    repository.experiment(MadeUp(skill=0.6, params={"train.margin": 0.5, "train.seed": 0}), "less")
    return repository


def test_experiments_are_those_of_the_command(read_only: Settings, repository: Repository) -> None:
    answer = over(read_only, repository.root).get("/results/experiments").json()
    text = experiment_table(repository.root)
    assert text.splitlines()[0].split() == answer["columns"][1:]
    assert [row["is_baseline"] for row in answer["rows"]] == [True, False]
    for row, line in zip(answer["rows"], text.splitlines()[1:], strict=True):
        assert line.split() == " ".join([row["name"], *row["cells"]]).split()


def test_a_comparison_is_that_of_the_command(read_only: Settings, repository: Repository) -> None:
    answer = over(read_only, repository.root).get("/results/compare", params={"base": "less"})
    expected = compare(
        find_revisions("less", repository.root), find_revisions("workspace", repository.root)
    )
    found = answer.json()
    assert [one["differs"] for one in found["rows"]] == [one.differs for one in expected.metrics]
    assert any(one["differs"] for one in found["rows"])
    shown = " ".join(as_text(expected).split())
    for row in found["rows"]:
        assert " ".join(filter(None, row["cells"])) in shown
    for text in [*found["conclusions"], found["method"], found["base"], *found["changes"]]:
        assert " ".join(text.split()) in shown


@pytest.mark.filterwarnings("error")
def test_a_figure_of_one_side_alone_is_not_compared(
    read_only: Settings, repository: Repository
) -> None:
    evaluation = repository.root / "metrics/evaluation.json"
    metrics = json.loads(evaluation.read_text())
    metrics["knn"]["k7"] = 0.5
    evaluation.write_text(json.dumps(metrics))
    answer = over(read_only, repository.root).get("/results/compare", params={"base": "HEAD"})
    rows = {row["cells"][0]: row for row in answer.json()["rows"]}
    assert rows["knn.k7"]["label"] == "embedding, k = 7"
    assert rows["knn.k7"]["cells"][-1] == "not tested: no common ground"
    assert not rows["knn.k7"]["is_better"]
    [one] = [
        one
        for one in compare(
            find_revisions("HEAD", repository.root), find_revisions("workspace", repository.root)
        ).metrics
        if one.metric == "knn.k7"
    ]
    assert (one.base, one.head, one.is_better) == ((), (0.5,), False)


@pytest.mark.parametrize(
    "name",
    [
        *("--output=/tmp/x", "-n", "/etc/passwd", ":/a run", "HEAD:params.yaml", "a\0b", "a\nb"),
        *("", " ", ",", "HEAD,--help", "a" * 300),
    ],
)
def test_no_name_is_an_option_or_a_path(
    read_only: Settings, repository: Repository, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_asked(*_: Any) -> None:
        raise AssertionError("Git was asked")

    client = over(read_only, repository.root)
    monkeypatch.setattr(results_routes, "find_revisions", not_asked)
    for query in ({"base": name}, {"base": "HEAD", "head": name}):
        answer = client.get("/results/compare", params=query)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("expected a revision or an experiment")


def test_an_unknown_revision_is_a_sentence(read_only: Settings, repository: Repository) -> None:
    answer = over(read_only, repository.root).get("/results/compare", params={"base": "nothing"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("nothing: neither a Git revision nor an experiment")


def test_one_comparison_at_a_time_each_within_a_limit(
    read_only: Settings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = over(read_only, repository.root)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(*sides: Any) -> Any:
        begun.set()
        may_end.wait(60)
        ended.set()
        return compare(*sides)

    monkeypatch.setattr(results_routes, "compare", slow)
    monkeypatch.setattr(results_routes, "SHARE_OF_TIMEOUT", 0.001)
    query = {"base": "less"}
    late = client.get("/results/compare", params=query)
    assert late.status_code == 503
    assert "no answer within" in late.json()["detail"]
    assert begun.wait(60)
    assert not ended.is_set()
    busy = client.get("/results/compare", params=query)
    assert busy.status_code == 429
    may_end.set()
    assert results_routes._comparing.acquire(timeout=60)  # free again once it has ended
    results_routes._comparing.release()
    monkeypatch.setattr(results_routes, "SHARE_OF_TIMEOUT", 0.9)
    assert client.get("/results/compare", params=query).status_code == 200
