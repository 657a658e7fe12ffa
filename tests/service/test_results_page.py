"""The results in a real browser: the figures of `siamese show`, pictures, curves, a comparison."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")  # a GPU machine may lack it

from playwright.sync_api import Browser, expect

from siamese.cli.results import results_table
from siamese.comparison.compare import compare
from siamese.comparison.conclusions import conclusions
from siamese.comparison.revisions import find_revisions
from tests.support.browser import WIDTHS, visiting
from tests.support.service import Server, serving
from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow
at_both_widths = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture(scope="module")
def project(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in Git with results, and an experiment that changes nothing."""
    workspace = Workspace(place).copy_to(tmp_path_factory.mktemp("results") / "project")
    head = workspace.git("rev-parse", "HEAD").strip()
    workspace.git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/same-again", head)
    return workspace


@pytest.fixture(scope="module")
def server(browser: Browser, project: Workspace) -> Iterator[Server]:
    with serving(project.path, log=project.path / "service.log") as server:
        yield server


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+\.\d+", text)


@at_both_widths
def test_the_figures_are_those_of_the_command(
    browser: Browser, server: Server, project: Workspace, width: int
) -> None:
    lines = results_table(project.path).splitlines()
    with visiting(browser, server.url, "results", width) as page:
        rows = page.locator(".figures tbody tr:not(.topic)").all()
        assert len(rows) > 15
        for row in rows:
            label, *cells = row.locator("th, td").all_inner_texts()
            found = [numbers(" ".join(cells))]
            assert found == [numbers(line[44:]) for line in lines if line[2:44].rstrip() == label][
                :1
            ] or found[0] in [numbers(line[44:]) for line in lines if label in line]
        titles = page.locator(".figures .topic").all_inner_texts()
        assert all(any(line.startswith(title) for line in lines) for title in titles)
        expect(page.locator(".careful")).to_have_count(0)
        worst = page.locator(".result-classes table", has_text="Worst").locator("tbody th").first
        expect(worst).to_have_text(lines[lines.index(_title(lines, "Worst")) + 1].split()[0])


def test_what_thresholds_promised_stands_beside_what_they_do(
    browser: Browser, server: Server, project: Workspace
) -> None:
    """Where there are forgeries, which the digits lack: one figure of them is put in."""
    file = project.path / "metrics/evaluation.json"
    before = file.read_text()
    with visiting(browser, server.url, "results") as page:
        expect(page.get_by_text("what they promised")).to_have_count(0)
        file.write_text(json.dumps(json.loads(before) | {"skilled": {"eer": 0.1}}))
        try:
            lines = results_table(project.path).splitlines()
            page.get_by_role("link", name="Map").click()
            page.get_by_role("link", name="Results").click()
            table = page.locator("table", has_text="what they promised")
            expect(table.locator("tbody tr")).to_have_count(6)
            for row in table.locator("tbody tr").all():
                label, *cells = row.locator("th, td").all_inner_texts()
                [line] = [line for line in lines if line.startswith(f"  {label} ") and "%" in line]
                assert numbers(" ".join(cells)) == numbers(line[44:])
        finally:
            file.write_text(before)


def _title(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


@at_both_widths
def test_the_pictures_are_loaded(
    browser: Browser, server: Server, project: Workspace, width: int
) -> None:
    files = [*project.path.glob("data/*.png"), *project.path.glob("data/*/*.png")]
    with visiting(browser, server.url, "results", width) as page:
        pictures = page.locator(".pictures img")
        expect(pictures).to_have_count(len(files))
        for picture in pictures.all():
            picture.scroll_into_view_if_needed()
            expect(picture).to_have_js_property("complete", True)
            assert (
                picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
            )


def test_a_picture_that_is_drawn_anew_is_shown_when_the_part_is_opened_again(
    browser: Browser, server: Server, project: Workspace
) -> None:
    with visiting(browser, server.url, "results") as page:
        picture = page.locator(".pictures img").first
        before = picture.get_attribute("src") or ""
        page.get_by_text("Every epoch in figures").click()
        page.get_by_role("link", name="Map").click()
        expect(picture).to_be_hidden()
        os.utime(project.path / "data/training.png", (1, 1))
        page.get_by_role("link", name="Results").click()
        expect(picture).not_to_have_attribute("src", before)
        picture.scroll_into_view_if_needed()  # before that it is not loaded
        assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
        # What is as before stays open.
        expect(page.locator("details[open]")).to_have_count(1)


@at_both_widths
def test_the_curves_mark_the_best_epoch(
    browser: Browser, server: Server, project: Workspace, width: int
) -> None:
    training = json.loads((project.path / "metrics/training.json").read_text())
    with visiting(browser, server.url, "results", width) as page:
        charts = page.locator(".curve svg")
        expect(charts).to_have_count(4)
        for chart in charts.all():
            expect(chart.locator(".best-text")).to_have_text(
                f"best: epoch {training['best_epoch']}"
            )
        for heading, key in (("k-NN on validation", "knn"), ("Equal error rate", "eer")):
            chart = page.locator(".curve", has_text=heading).locator("svg")
            value = f"{100 * training['validation'][key]:.1f} %"
            expect(chart).to_have_attribute("aria-label", re.compile(re.escape(value)))
        # The line ends at the right number of epochs, one point each.
        points = chart.locator("path").get_attribute("d") or ""
        assert len(re.findall("[ML]", points)) == training["epochs"]
        page.get_by_text("Every epoch in figures").click()
        rows = page.locator("details table tbody tr")
        expect(rows).to_have_count(training["epochs"])


@at_both_widths
def test_a_comparison_is_asked_for_and_answered(
    browser: Browser, server: Server, project: Workspace, width: int
) -> None:
    expected = compare(
        find_revisions("same-again", project.path), find_revisions("workspace", project.path)
    )
    with visiting(browser, server.url, "results", width, refused=(422,)) as page:
        expect(page.locator("th.experiment")).to_have_text("same-again")
        base = page.get_by_label("Base")
        base.fill("same-again")
        button = page.get_by_role("button", name="Compare")
        button.press("Enter")
        texts = page.locator(".conclusion")
        expect(texts).to_have_count(2)
        said = [text.replace("`", "") for text in conclusions(expected)]
        assert texts.all_inner_texts() == said
        rows = page.locator(".result").last.locator("tbody tr")
        expect(rows).to_have_count(len(expected.metrics))
        expect(button).to_be_focused()
        dotted = rows.locator("th code").all_inner_texts()
        assert set(dotted) <= {one.metric for one in expected.metrics}
        assert len(dotted) > 5
        verdict = rows.first.locator("td").first
        expect(verdict).to_have_text("no difference shown")
        changes = page.locator("details", has_text="What differs").locator("pre")
        expect(changes).to_be_hidden()
        page.get_by_text("What differs").click()
        expect(changes).to_contain_text("nothing: the same parameters, data and code")
        base.fill("nothing")
        base.press("Enter")
        expect(page.locator(".result .status").last).to_contain_text("neither a Git revision")
        expect(rows).to_have_count(0)


def test_a_project_without_results_is_told_in_sentences(
    browser: Browser, project: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--workspace", str(tmp_path / "empty"))
    with (
        serving(project.path, *options, log=tmp_path / "service.log") as server,
        visiting(browser, server.url, "results") as page,
    ):
        parts = page.locator(".result")
        expect(parts).to_have_count(5)
        for heading, text in (
            ("Figures", "metrics/training.json is not there"),
            ("Training", "metrics/training.json is not there"),
            ("Pictures", "There are no pictures here"),
            ("Experiments", "The project is not in a Git repository"),
        ):
            part = parts.filter(has=page.get_by_role("heading", name=heading, exact=True))
            expect(part).to_contain_text(text)
        assert str(tmp_path) not in page.content()


def test_figures_of_other_parameters_say_so_first(
    browser: Browser, project: Workspace, tmp_path: Path
) -> None:
    changed = project.copy_to(tmp_path / "changed")
    changed.change_params({"train": {"margin": 0.25}})
    with (
        serving(changed.path, log=tmp_path / "service.log") as server,
        visiting(browser, server.url, "results", 390, "dark") as page,
    ):
        expect(page.locator(".careful")).to_contain_text("train.margin 1.0, not 0.25")
