"""The report: one page that needs nothing else, opened in a real browser where there is one."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from siamese.cli.main import main
from siamese.comparison.compare import compare
from siamese.comparison.dvc_cache import cache_folder, cached_folder
from siamese.comparison.report import as_html, write_report
from siamese.comparison.revisions import find_revisions
from tests.support.made_up_results import MadeUp, Repository

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")
CURVES = """\
epoch,loss,like_distance,unlike_distance,validation_knn
1,0.5,0.8,1,0.4
2,0.4,0.7,1.1,0.5
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two branches, `main` and `change`, with curves; no pictures."""
    made = Repository(tmp_path / "repository")
    (made.root / "metrics").mkdir()
    (made.root / "metrics/training.csv").write_text(CURVES)
    made.commit(MadeUp(0.7, luck=1))
    made.git("checkout", "-qb", "change")
    (made.root / "metrics/training.csv").write_text(CURVES.replace("0.5\n", "0.6\n"))
    made.commit(MadeUp(0.8, luck=2, params={"train.margin": 0.5, "train.seed": 0}))
    return made


def page_of(repository: Repository, base: str = "main", head: str = "change") -> str:
    root = repository.root
    return as_html(compare(find_revisions(base, root), find_revisions(head, root)))


def add_picture(folder: Path, name: str = "confusion.png") -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), "teal").save(folder / name)
    return (folder / name).read_bytes()


def test_the_page_says_what_the_table_says_and_refers_to_nothing_outside(
    repository: Repository,
) -> None:
    page = page_of(repository)
    assert "cannot show that a setting helps" in page
    assert "train.margin 1.0 -&gt; 0.5" in page
    assert len(re.findall(r'<tr class="better">', page)) == 7
    for source in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page):
        assert source.startswith("data:image/")
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_results_of_verification_alone_make_a_page(repository: Repository) -> None:
    for name, skill in (("base", 0.7), ("head", 0.85)):
        repository.commit(MadeUp(skill, luck=round(10 * skill), is_classified=False), name)
    page = page_of(repository, "base", "head")
    assert len(re.findall(r'<tr class="better">', page)) == 3
    assert "knn" not in page.partition("<h2>Training")[0]


def test_figures_of_one_side_alone_are_neither_better_nor_worse(
    repository: Repository, recwarn: pytest.WarningsRecorder
) -> None:
    repository.commit(MadeUp(0.7, luck=7, is_classified=False), "verified")
    page = page_of(repository, "verified", "main")
    for metric in ("knn.k1", "retrieval.map_at_r"):
        [row] = re.findall(rf"<tr[^>]*>(?:(?!</tr>).)*{metric}\b.*?</tr>", page, re.DOTALL)
        assert row.startswith("<tr>")
        assert "none" in row
    assert [str(warning.message) for warning in recwarn] == []


def test_pictures_that_were_not_pulled_are_said_to_be_missing(repository: Repository) -> None:
    page = page_of(repository)
    assert page.count("are neither in the workspace nor in DVC's cache") == 2


def test_pictures_stand_side_by_side(repository: Repository) -> None:
    add_picture(repository.root / "data/pictures")
    page = page_of(repository, head="workspace")
    assert 'alt="confusion.png of head" src="data:image/png;base64,' in page
    assert "not here" in page, "the base's are missing"


def test_text_from_a_revision_is_escaped(repository: Repository) -> None:
    repository.git("branch", "<b>name")
    assert "&lt;b&gt;name" in page_of(repository, base="<b>name")


def test_equal_results_give_an_equal_page_and_no_half_written_file(
    repository: Repository, tmp_path: Path
) -> None:
    root = repository.root
    comparison = compare(find_revisions("main", root), find_revisions("change", root))
    files = write_report(comparison, tmp_path / "report")
    assert sorted(tmp_path.joinpath("report").iterdir()) == sorted(files)
    first = [file.read_bytes() for file in files]
    write_report(comparison, tmp_path / "report")
    # Matplotlib numbers the parts of an SVG by chance.
    assert first[1] == files[1].read_bytes()
    assert len(first[0]) == len(files[0].read_bytes())


def test_the_command_writes_both_files(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.root)
    assert main(["report", "main", "change"]) == 0
    assert capsys.readouterr().out.splitlines() == ["report/report.html", "report/report.md"]
    markdown = Path("report/report.md").read_text()
    assert "| **knn.k20** |" in markdown
    assert "data:" not in markdown, "a pull request shows no embedded pictures"


def test_a_folder_is_read_out_of_dvcs_cache(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    assert cache_folder(tmp_path) == tmp_path / ".dvc/cache"
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    cache = tmp_path / "elsewhere/files/md5"
    content = b"picture"
    names = [hashlib.md5(content).hexdigest(), "ab" * 16 + ".dir"]
    listing = json.dumps([{"md5": names[0], "relpath": "a.png"}]).encode()
    for name, data in zip(names, (content, listing), strict=True):
        (cache / name[:2]).mkdir(parents=True)
        (cache / name[:2] / name[2:]).write_bytes(data)
    assert cached_folder(tmp_path, names[1]) == {"a.png": content}
    assert cached_folder(tmp_path, "cd" * 16 + ".dir") is None
    (cache / names[0][:2] / names[0][2:]).unlink()
    assert cached_folder(tmp_path, names[1]) is None, "a part of it is missing"


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome on the path")
def test_a_browser_without_network_shows_every_picture(
    repository: Repository, tmp_path: Path
) -> None:
    add_picture(repository.root / "data/pictures")
    page = page_of(repository, head="workspace")
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
