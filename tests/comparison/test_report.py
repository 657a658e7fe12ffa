"""The report: one page that needs nothing else, opened in a real browser where there is one."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.comparison.compare import Comparison
from siamese.comparison.provenance import Change
from siamese.comparison.report import as_html, pictures_of, write_report
from siamese.comparison.revisions import find_revision
from siamese.comparison.runs import Run
from siamese.comparison.text_formats import as_markdown, as_text
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import Workspace

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")
CURVES = """\
epoch,loss,like_distance,unlike_distance,validation_knn
1,0.5,0.8,1,0.4
2,0.4,0.7,1.1,0.5
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two branches, `<b>main` and `change`, with curves; no pictures. Tests must not change it."""
    made = Repository(tmp_path_factory.mktemp("report") / "repository")
    (made.root / "metrics").mkdir()
    (made.root / "metrics/training.csv").write_text(CURVES)
    made.git("checkout", "-qb", "<b>main")
    made.commit(MadeUp(0.7, luck=1))
    made.git("checkout", "-qb", "change")
    (made.root / "metrics/training.csv").write_text(CURVES.replace("0.5\n", "0.6\n"))
    made.commit(MadeUp(0.8, luck=2, params={"train.margin": 0.5, "train.seed": 0}))
    return made


@pytest.fixture(scope="module")
def comparison(shared: Repository) -> Comparison:
    return shared.compare("<b>main", "change")


@pytest.fixture(scope="module")
def written(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The report of both branches: a page and Markdown."""
    return write_report(comparison, tmp_path_factory.mktemp("written") / "report")


@pytest.fixture
def repository(shared: Repository, tmp_path: Path) -> Repository:
    """A copy of the repository for one test to change."""
    shutil.copytree(shared.root, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


def add_picture(file: Path, colour: str = "teal") -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(file)
    return file.read_bytes()


def write_lock(root: Path, outputs: dict[str, str]) -> None:
    """Write a lock of one stage with these outputs and their hashes."""
    outs = [{"path": path, "md5": hash_} for path, hash_ in outputs.items()]
    stages = {"evaluate": {"cmd": "evaluate", "outs": outs}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_the_page_says_what_the_table_says_and_refers_to_nothing_outside(
    written: list[Path],
) -> None:
    page = written[0].read_text()
    assert "cannot show that a setting helps" in page
    assert "train.margin 1.0 -&gt; 0.5" in page
    assert "&lt;b&gt;main" in page, "text from a revision is escaped"
    assert "<b>main" not in page
    assert page.count("are neither in the workspace nor in DVC's cache") == 2
    assert len(re.findall(r'<tr class="better">', page)) == 8
    for source in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page):
        assert source.startswith("data:image/")
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_only_long_lists_of_files_are_folded_away(comparison: Comparison) -> None:
    few = [Change(f"src/few_{number}.py", None, "1") for number in range(3)]
    many = [Change(f"src/many_{number}.py", None, "1") for number in range(80)]
    stale = {"change": [change.name for change in many], "main": ["src/stale.py"]}
    for code, is_folded in ((few, False), (many, True)):
        page = as_html(replace(comparison, code=code, stale=stale))
        details = " ".join(re.findall("<details>.*?</details>", page, re.DOTALL))
        open_text = page.replace(details, "") if is_folded else page
        assert (f"{code[-1].name} (new)" in details) == is_folded
        assert f"{code[-1].name} (new)" in (details if is_folded else open_text)
        assert "src/stale.py" not in details
        assert "<summary>Careful: change has changed since its figures were made: 80" in details
    assert "<summary>code: 80 files</summary>" in details
    page = as_html(
        replace(comparison, changes=[], code=[], ran_on=[], stale={"main": stale["change"]})
    )
    assert "nothing" not in page.partition("<h2>What differs")[2].partition("<h2>Training")[0]


def test_what_is_stale_stands_before_the_conclusions(comparison: Comparison) -> None:
    changed = replace(comparison, stale={"change": ["data.name (made with cifar100, now folder)"]})
    careful = "Careful: change has changed since its figures were made"
    page, markdown, text = as_html(changed), as_markdown(changed), as_text(changed)
    for content, conclusion in ((page, "These two models"), (markdown, "These two models")):
        assert content.index(careful) < content.index(conclusion)
        assert content.count(careful) == 1
    assert text.index(careful) < text.index("What differs")
    assert "data.name (made with cifar100, now folder)" in page
    assert "Careful" not in as_html(comparison)


@pytest.mark.parametrize("content", ["<<<<<<< HEAD\n", "epoch,loss\n1,high\n", "loss\n1\n", "\0"])
def test_a_damaged_curve_is_named(repository: Repository, content: str, tmp_path: Path) -> None:
    (repository.root / "metrics/training.csv").write_text(content)
    comparison = repository.compare("<b>main")
    with pytest.raises(InputError, match=r"metrics/training\.csv (cannot be read|has merge)"):
        write_report(comparison, tmp_path / "report")


def test_figures_of_one_side_alone_are_neither_better_nor_worse(
    repository: Repository, recwarn: pytest.WarningsRecorder
) -> None:
    repository.commit(MadeUp(0.7, luck=7, is_classified=False), "verified")
    page = as_html(repository.compare("verified", "<b>main"))
    for metric in ("knn.k1", "retrieval.recall_at_1"):
        [row] = re.findall(rf"<tr[^>]*>(?:(?!</tr>).)*{metric}\b.*?</tr>", page, re.DOTALL)
        assert row.startswith("<tr>")
        assert "none" in row
    assert [str(warning.message) for warning in recwarn] == []
    repository.commit(MadeUp(0.85, luck=8, is_classified=False), "verified-better")
    page = as_html(repository.compare("verified", "verified-better"))
    assert len(re.findall(r'<tr class="better">', page)) == 5
    assert "retrieval.recall_at_1" in page
    assert "knn" not in page.partition("<h2>Training")[0]


def test_pictures_of_every_output_stand_side_by_side(repository: Repository) -> None:
    root = repository.root
    add_picture(root / "data/pictures/confusion.png")
    add_picture(root / "data/training.png")
    add_picture(root / "data/no_output.png")
    (root / "data/pictures/words.txt").write_text("no picture")
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    lock["stages"]["evaluate"]["outs"] += [
        {"path": path, "md5": "0"} for path in ("data/pictures", "data/training.png", "data/gone")
    ]
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    page = as_html(repository.compare("<b>main"))
    for name in ("confusion.png", "training.png"):
        assert f'alt="{name} of head" src="data:image/png;base64,' in page
    assert page.count("not here") == 2, "the base's are missing"
    assert "no_output" not in page


def test_the_command_writes_both_files(
    repository: Repository,
    written: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(repository.root)
    assert main(["report", "<b>main", "change"]) == 0
    assert capsys.readouterr().out.splitlines() == ["report/report.html", "report/report.md"]
    markdown = Path("report/report.md").read_text()
    assert "| **knn.k20** |" in markdown
    assert "data:" not in markdown, "a pull request shows no embedded pictures"
    # Equal results give an equal report, but Matplotlib numbers the parts of an SVG at random.
    page, text = written
    assert markdown == text.read_text()
    assert Path("report/report.html").stat().st_size == page.stat().st_size
    assert len(list(Path("report").iterdir())) == 2, "no file is half written"


@pytest.fixture(params=["", "inner/project"], ids=["repository", "folder of a repository"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Workspace, dict[str, bytes]]:
    """A project whose one commit has two pictures in DVC's cache, and these by their names."""
    root = tmp_path / "repository" / request.param
    root.mkdir(parents=True)
    Workspace(tmp_path / "repository").git("init", "-q")
    workspace = Workspace(root)
    Repo.init(str(root), subdir=bool(request.param)).close()
    (root / ".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    stage = {"cmd": "true", "outs": ["data/pictures", "data/training.png"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    pictures = {
        "confusion.png": add_picture(root / "data/pictures/confusion.png", "teal"),
        "training.png": add_picture(root / "data/training.png", "red"),
    }
    with Repo(str(root)) as repo:
        repo.commit(force=True)
    workspace.commit("results")
    return workspace, pictures


def test_pictures_of_an_earlier_commit_are_read_from_dvcs_cache(
    stored: tuple[Workspace, dict[str, bytes]],
) -> None:
    workspace, pictures = stored
    shutil.rmtree(workspace.path / "data")
    run = Run.of(find_revision("HEAD", workspace.path))
    assert pictures_of(run) == pictures
    md5 = hashlib.md5(pictures["confusion.png"]).hexdigest()
    (workspace.path / "elsewhere/files/md5" / md5[:2] / md5[2:]).unlink()
    assert pictures_of(run) == {"training.png": pictures["training.png"]}


@pytest.mark.parametrize("stored", [""], indirect=True)
def test_no_remote_is_asked_for_a_picture(
    stored: tuple[Workspace, dict[str, bytes]], tmp_path: Path
) -> None:
    workspace, pictures = stored
    (workspace.path / "elsewhere").rename(tmp_path / "remote")
    with (workspace.path / ".dvc/config").open("a") as file:
        file.write("[core]\n    remote = shared\n['remote \"shared\"']\n")
        file.write(f"    url = {tmp_path / 'remote'}\n")
    workspace.commit("a remote")
    assert pictures_of(Run.of(find_revision("HEAD", workspace.path))) == {}
    with Repo(str(workspace.path)) as repo:
        repo.pull()
    assert pictures_of(Run.of(find_revision("HEAD", workspace.path))) == pictures


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome on the path")
def test_a_browser_without_network_shows_every_picture(
    repository: Repository, tmp_path: Path
) -> None:
    add_picture(repository.root / "data/training.png")
    write_lock(repository.root, {"data/training.png": "0"})
    page = as_html(repository.compare("<b>main"))
    # What the browser made of each picture, written where `--dump-dom` shows it.
    script = (
        "<script>addEventListener('load', () => document.title = 'widths ' +"
        " [...document.images].map(image => image.naturalWidth).join(' '))</script></body>"
    )
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", script), encoding="utf-8")
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search(r"<title>widths ([\d ]+)</title>", dom)
    assert match is not None, dom[:500]
    widths = [int(width) for width in match[1].split()]
    assert len(widths) == 2, "the curves, and one picture"
    assert min(widths) > 0
