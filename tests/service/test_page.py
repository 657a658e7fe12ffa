"""The page in a real browser: it asks the service that it comes from, and shows what it answers."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright")  # a GPU machine may lack it

from playwright.sync_api import Browser, expect

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from tests.support.browser import WIDTHS, check_basics, give, tab_to, visiting
from tests.support.galleries import noise_images, save_claims
from tests.support.service import TOKEN, Server, serving

slow = pytest.mark.slow
at_both_widths = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture(scope="module")
def project(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose gallery the tests change, and images of its test split in `images/`."""
    folder = tmp_path_factory.mktemp("page") / "project"
    shutil.copytree(place / "data", folder / "data")
    dataset = load_dataset(folder / "data/prepared")
    images = folder / "images"
    images.mkdir()
    for row in dataset.queries()[:4]:
        Image.fromarray(dataset.images[row]).save(images / f"{row}.png")
    [noise] = noise_images(load_model(folder / "data/model"), 1)
    Image.fromarray(noise).save(images / "noise.png")
    (images / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def server(browser: Browser, project: Path) -> Iterator[Server]:
    # After the browser: where there is none, nothing is started.
    with serving(project, log=project / "service.log") as server:
        yield server


@pytest.fixture(scope="module")
def gallery(project: Path) -> Gallery:
    return Gallery.open(project / "data/gallery", load_model(project / "data/model"))


def _images(project: Path) -> list[Path]:
    return sorted(file for file in (project / "images").iterdir() if file.stem.isdigit())


def _rows(gallery: Gallery) -> int:
    return sum(one.pipeline + one.enrolled for one in gallery.labels())


def test_ask_shows_what_the_gallery_answers(
    browser: Browser, server: Server, project: Path, gallery: Gallery
) -> None:
    [file, *_] = _images(project)
    [expected] = gallery.classify([file])
    with visiting(browser, server.url, "ask") as page:
        page.locator("input[type=file]").first.set_input_files(file)
        answer = page.locator(".answer")
        expect(answer.locator("h2")).to_have_text(expected.label or "")
        votes = dict(
            zip(
                answer.locator(".bar-name").all_inner_texts(),
                answer.locator(".bar-share").all_inner_texts(),
                strict=True,
            )
        )
        shares = {vote.label: vote.share for vote in expected.votes}
        if (rest := 1 - sum(shares.values())) > 1e-6:
            shares["other classes"] = rest
        assert votes == {label: f"{100 * share:.0f} %" for label, share in shares.items()}
        shown = zip(
            answer.locator(".tile-name").all_inner_texts(),
            answer.locator(".tile-more").all_inner_texts(),
            strict=True,
        )
        assert list(shown) == [(one.label, f"{one.distance:.3f}") for one in expected.neighbours]
        sources = answer.locator(".tile img").evaluate_all("all => all.map(one => one.src)")
        assert sources == [
            f"{server.url}/gallery/images/{one.number}.png" for one in expected.neighbours
        ]


@slow
@at_both_widths
def test_ask_takes_a_test_image_and_other_numbers_of_voters(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    dataset = load_dataset(project / "data/prepared")
    with visiting(browser, server.url, "ask", width) as page:
        page.get_by_label("Class").select_option("3")
        expect(page.locator(".sample span").first).to_have_text("3")
        assert set(page.locator(".sample span").all_inner_texts()) == {"3"}
        sample = page.locator(".sample").first
        source = sample.locator("img").get_attribute("src") or ""
        row = int(source.removeprefix("samples/").removesuffix(".png"))
        sample.click()
        answer = page.locator(".answer")
        expect(answer.locator(".tile")).to_have_count(20)
        page.get_by_role("slider").fill("7")
        expect(answer.locator(".tile")).to_have_count(7)
        [expected] = gallery.classify(dataset.images[row][None], k=7)
        assert answer.locator("h2").inner_text() == expected.label
        # Right and wrong are said by a sign and a word too, not by a colour alone.
        for tile, one in zip(answer.locator(".tile").all(), expected.neighbours, strict=True):
            mark, sign = ("right", "✓") if one.label == "3" else ("wrong", "✗")
            assert mark in (tile.get_attribute("class") or "").split()
            assert tile.locator(".tile-name").inner_text() == f"{sign} {one.label}"
        judged = "✓ Right: it is 3" if expected.label == "3" else "✗ Wrong: it is 3"
        expect(answer.locator(".judged")).to_have_text(judged)


@slow
@at_both_widths
def test_ask_takes_images_that_are_dropped_pasted_or_chosen_together(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    files = _images(project)
    labels = [answer.label or "" for answer in gallery.classify(files)]
    with visiting(browser, server.url, "ask", width) as page:
        give(page, files[:1], "drop", page.locator(".drop"))
        expect(page.locator(".answer h2")).to_have_text([labels[0]])
        give(page, files[1:2], "paste", page.locator("body"))
        expect(page.locator(".answer h2")).to_have_text([labels[1], labels[0]])
        # Beside the box: taken all the same, and once.
        page.get_by_role("button", name="Clear").click()
        give(page, files[:1], "drop", page.locator("#ask-title"))
        expect(page.locator(".answer h2")).to_have_text([labels[0]])
        give(page, files[1:2], "paste", page.locator("body"))
        expect(page.locator(".answer h2")).to_have_text([labels[1], labels[0]])
        page.locator("input[type=file]").first.set_input_files(files[2:4])
        expect(page.locator(".answer h2")).to_have_text(
            [labels[2], labels[3], labels[1], labels[0]]
        )
        expect(page.locator(".status").first).to_have_text("2 images answered.")
        page.get_by_role("button", name="Clear").click()
        expect(page.locator(".answer")).to_have_count(0)
        expect(page.get_by_role("slider")).to_be_hidden()


@slow
def test_votes_that_are_not_shown_are_one_bar(
    browser: Browser, server: Server, gallery: Gallery, tmp_path: Path
) -> None:
    # Of much noise that which has neighbours of the most classes.
    noise = noise_images(gallery.model, 200)
    answers = gallery.classify(noise, k=100)
    rests = [1 - sum(vote.share for vote in answer.votes) for answer in answers]
    rest, best = max(rests), int(np.argmax(rests))
    answer = answers[best]
    assert rest > 0.005
    Image.fromarray(noise[best]).save(tmp_path / "noise.png")
    with visiting(browser, server.url, "ask") as page:
        page.locator("input[type=file]").first.set_input_files(tmp_path / "noise.png")
        page.get_by_role("slider").fill("100")
        votes = page.locator(".answer .bars > li")
        expect(page.locator(".answer .tile")).to_have_count(100)
        expect(votes).to_have_count(len(answer.votes) + 1)
        expect(votes.last).to_contain_text("other classes")
        expect(votes.last).to_contain_text(f"{100 * rest:.0f} %")


@slow
@at_both_widths
def test_ask_says_that_an_image_is_like_nothing_or_no_image(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    noise, broken = project / "images/noise.png", project / "images/broken.png"
    [expected] = gallery.classify([noise])
    assert expected.is_novel
    with visiting(browser, server.url, "ask", width, refused=(422,)) as page:
        page.locator("input[type=file]").first.set_input_files([noise, broken])
        first, second = page.locator(".answer").all()
        expect(first.locator("h2")).to_have_text("Unlike anything in the gallery")
        expect(first).to_contain_text(f"{expected.neighbours[0].distance:.3f} away")
        expect(first).to_contain_text(f"Beyond {expected.novelty_distance:.3f}")
        expect(second.locator("h2")).to_have_text("No answer")
        expect(second.locator(".failed")).to_contain_text("broken.png")
        expect(page.locator(".status").first).to_have_text("1 image got no answer.")


@slow
def test_ask_works_by_keyboard_alone(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url, "ask") as page:
        tab_to(page, "Verify")
        page.keyboard.press("Enter")
        expect(page.locator("#verify-title")).to_be_visible()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#ask-title")).to_be_visible()
        tab_to(page, "Class")
        page.keyboard.press("Shift+Tab")  # back to the last of the test images
        page.keyboard.press("Enter")
        tiles = page.locator(".answer .tile")
        expect(tiles).to_have_count(20)
        tab_to(page, "Nearest images that vote")
        page.keyboard.press("ArrowRight")
        expect(tiles).to_have_count(21)
        page.keyboard.press("Home")
        expect(tiles).to_have_count(1)
        tab_to(page, "Clear")
        page.keyboard.press("Space")
        expect(tiles).to_have_count(0)


@slow
def test_where_the_focus_is_can_be_seen(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url, "ask") as page:
        for _ in range(20):
            page.keyboard.press("Tab")
            seen = page.evaluate(
                """() => {
                  const one = document.activeElement;
                  if (one === document.body) return true;
                  // A file input is not drawn: the label after it is.
                  const drawn = one.type === "file" ? one.nextElementSibling : one;
                  const style = getComputedStyle(drawn);
                  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                }"""
            )
            assert seen, page.evaluate("document.activeElement.outerHTML")


@slow
@at_both_widths
def test_verify_decides_as_the_gallery_does(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    left, right, *_ = _images(project)
    with visiting(browser, server.url, "verify", width) as page:
        for side, file in zip(page.locator(".side").all(), (left, right), strict=True):
            side.locator("input[type=file]").set_input_files(file)
            expect(side.locator(".frame img")).to_be_visible()
        [expected] = gallery.verify([left], [right])
        verdict, threshold, rate = (
            page.locator(".verdict-box"),
            page.get_by_role("slider", name="Threshold"),
            page.get_by_role("slider", name="False-accept rate"),
        )
        expect(verdict).to_contain_text(f"They are {expected.distance:.3f} apart")
        assert float(threshold.input_value()) == pytest.approx(expected.threshold, abs=5e-4)
        assert 10 ** float(rate.input_value()) == pytest.approx(expected.far, rel=0.05)
        for far in (0.02, 0.2, 0.7):
            [expected] = gallery.verify([left], [right], far)
            rate.fill(str(np.log10(far)))
            said = "The same class" if expected.same else "Different classes"
            expect(verdict.locator("h2")).to_have_text(said)
            assert float(threshold.input_value()) == pytest.approx(expected.threshold, abs=5e-4)
            rates = [
                float(text.split()[0]) / 100 for text in verdict.locator("strong").all_inner_texts()
            ]
            assert rates == pytest.approx([expected.far, expected.frr], abs=6e-4)
            beside = page.locator(".slider output").last
            expect(beside).to_have_text(verdict.locator("strong").first.inner_text())
        # Where the pair is drawn, on the axis from 0 to the end of the curve.
        threshold.fill(str(expected.distance))
        at = page.locator(".apart-dot").get_attribute("cx")
        assert float(at or 0) == pytest.approx(
            float(page.locator(".chart line.threshold").get_attribute("x1") or 0), abs=1
        )
        status = page.locator("[data-part=verify] .status")
        for value in (expected.distance + 0.01, expected.distance - 0.01, 0):
            said = "The same class" if value > expected.distance else "Different classes"
            threshold.fill(str(value))
            expect(verdict.locator("h2")).to_have_text(said)
            expect(status).to_have_text(f"{said}: {expected.distance:.3f} apart.")
        # At 0 there is no room for the word left of it, and both rates say 0.
        expect(page.locator(".zone-text")).to_have_text(["different"])
        expect(verdict.locator("strong").first).to_have_text("0.00 %")
        expect(page.locator(".slider output").last).to_have_text("0.00 %")


@slow
def test_verify_says_which_of_two_images_cannot_be_read(
    browser: Browser, server: Server, project: Path
) -> None:
    [first, *_] = _images(project)
    with visiting(browser, server.url, "verify", refused=(422,)) as page:
        heading = page.locator(".verdict-box h2")
        expect(heading).to_have_text("Give two images")
        for side, file in zip(
            page.locator(".side").all(), (first, project / "images/broken.png"), strict=True
        ):
            side.locator("input[type=file]").set_input_files(file)
        expect(page.locator(".status.failed")).to_contain_text("broken.png")
        expect(heading).to_have_text("No answer")


@slow
@at_both_widths
def test_verify_takes_test_images_and_what_is_pasted(
    browser: Browser, server: Server, project: Path, width: int
) -> None:
    [first, *_] = _images(project)
    with visiting(browser, server.url, "verify", width) as page:
        sides = page.locator(".side")
        sides.nth(0).locator(".sample").first.click()
        expect(sides.nth(0).locator(".frame img")).to_be_visible()
        give(page, [first], "paste", page.locator("body"))  # to the side that has none
        expect(sides.nth(1).locator(".frame")).to_contain_text(first.name)
        expect(page.locator(".verdict-box h2")).to_have_text(
            re.compile("The same class|Different classes")
        )
        # An image and itself.
        give(page, [first], "drop", sides.nth(0).locator(".drop"))
        expect(page.locator(".verdict-box")).to_contain_text("They are 0.000 apart")
        expect(page.locator(".verdict-box h2")).to_have_text("The same class")


@slow
@at_both_widths
def test_verify_judges_a_claim_as_the_gallery_does(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    files = _images(project)
    with visiting(browser, server.url, "verify", width) as page:
        page.get_by_label("all images of a class").check()
        verdict, tiles = page.locator(".claim-verdict"), page.locator(".neighbours .tile")
        expect(verdict.locator("h2")).to_have_text("Choose a class")
        page.get_by_label("The class that it claims").select_option("3")
        expect(verdict.locator("h2")).to_have_text("Give an image")
        expect(tiles).to_have_count(24)
        give(page, files[:1], "paste", page.locator("body"))
        for label, file in (("3", files[0]), ("7", files[0]), ("7", files[1]), ("2", files[2])):
            page.get_by_label("The class that it claims").select_option(label)
            give(page, [file], "drop", page.locator(".side"))
            [expected] = gallery.verify_claim([file], label)
            said, within = ("Accepted", "within") if expected.accepted else ("Rejected", "beyond")
            expect(verdict).to_contain_text(
                f"The mean distance to {expected.references} images is {expected.distance:.3f},"
                f" {within} the threshold of {expected.threshold:.3f}. Of validation claims against"
                f" {expected.calibrated_references} images, at this threshold:"
            )
            expect(verdict.locator("h2")).to_have_text(f"{said} as {label}")
            expect(verdict).to_be_in_viewport()
            expect(verdict.locator("strong")).to_have_text(["3.00 %", "1.50 %"])
            expect(verdict).not_to_contain_text("exact copy")
            expect(page.locator(".neighbours h3")).to_have_text(
                f"{expected.references} images of {label}"
            )
            expect(tiles).to_have_count(24)
            nearest = f"{server.url}/gallery/images/{expected.nearest.number}.png"
            expect(tiles.first).to_contain_text(f"nearest, {expected.nearest.distance:.3f}")
            sources = tiles.locator("img").evaluate_all("all => all.map(one => one.src)")
            assert sources[0] == nearest
            assert len(set(sources)) == 24
        page.get_by_role("link", name="All of them").click()
        expect(page.get_by_role("heading", name=label, exact=True)).to_be_visible()


@slow
def test_verify_tells_copies_what_cannot_be_read_and_what_was_enrolled_meanwhile(
    browser: Browser, server: Server, gallery: Gallery, project: Path
) -> None:
    [first, *_] = _images(project)
    with visiting(browser, server.url, "verify", refused=(422,)) as page:
        page.get_by_label("all images of a class").check()
        claimed = page.get_by_label("The class that it claims")
        heading = page.locator(".claim-verdict h2")
        expect(heading).to_have_text("Choose a class")
        page.get_by_role("link", name="Gallery").click()
        form = page.get_by_role("region", name="Enrol")
        form.locator("input[type=file]").set_input_files(first)
        form.get_by_label("Class").fill("writer 1")
        form.get_by_label("Token").fill(TOKEN)
        form.get_by_role("button", name="Enrol 1 image").click()
        expect(page.locator("[data-part=gallery] > .status")).to_contain_text("1 image of writer 1")
        page.get_by_role("link", name="Verify").click()
        claimed.select_option("writer 1")
        page.locator(".side input[type=file]").set_input_files(first)
        expect(page.locator(".claim-verdict")).to_contain_text("has an exact copy of this image")
        tile = page.locator("[data-part=verify] .neighbours .tile")
        expect(tile.locator(".tile-name, .tile-more")).to_have_text(["nearest, 0.000", "enrolled"])
        page.locator(".side input[type=file]").set_input_files(project / "images/broken.png")
        expect(page.locator(".claim-verdict .failed")).to_contain_text("broken.png: not a picture")
        expect(heading).to_have_text("No answer")
        page.get_by_label("another image").check()
        expect(page.locator(".verdict-box h2")).to_have_text("Give two images")
    gallery.refresh()
    assert gallery.remove(label="writer 1") == 1


@slow
def test_verify_says_that_the_model_has_no_thresholds_for_claims(
    browser: Browser, place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(place / "data", folder / "data")
    save_claims(folder / "data/model", None)
    with (
        serving(folder, log=tmp_path / "log") as server,
        visiting(browser, server.url, "verify") as page,
    ):
        page.get_by_label("all images of a class").check()
        expect(page.locator("[data-part=verify]")).to_contain_text(
            "This model has no thresholds for claims"
        )


@slow
@at_both_widths
def test_the_gallery_is_searched_and_opened(
    browser: Browser, server: Server, gallery: Gallery, width: int
) -> None:
    info, labels = gallery.info(), gallery.labels()
    with visiting(browser, server.url, "gallery", width) as page:
        facts = page.get_by_role("region", name="What made it")
        for text in (info.model[:12], f"{info.novelty_distance:.3f}", "16 × 16", "exact"):
            expect(facts).to_contain_text(text)
        names = page.locator(".class-link .tile-name")
        expect(names).to_have_text([one.label for one in labels])
        page.get_by_label("Search classes").fill("7")
        expect(names).to_have_text(["7"])
        expect(page.locator(".class-link .tile-more")).to_have_text(
            [f"{next(one.pipeline for one in labels if one.label == '7')}"]
        )
        page.locator(".class-link").click()
        expect(page.get_by_role("heading", name="7")).to_be_focused()
        tiles = page.locator("[data-part=gallery] .tile:visible")
        expect(tiles).to_have_count(60)
        page.get_by_role("button", name="Show more").click()
        expect(tiles).to_have_count(120)
        expect(tiles.nth(60).locator("..")).to_be_focused()
        expect(page).to_have_title("7 · Gallery · siamese")
        page.get_by_role("link", name="All classes").press("Enter")
        expect(page.get_by_label("Search classes")).to_have_value("7")
        expect(page.locator(".class-link")).to_be_focused()
        expect(page).to_have_title("Gallery · siamese")
        page.go_back()
        expect(page.get_by_role("heading", name="7")).to_be_visible()
        # Addresses typed by hand.
        page.goto(f"{server.url}/#gallery/%E0%A4%A")
        expect(page.get_by_role("heading", name="%E0%A4%A")).to_be_visible()
        expect(page.locator("[data-part=gallery]")).to_contain_text("no such class")
        page.goto(f"{server.url}/#gallery/")
        expect(page.get_by_label("Search classes")).to_be_visible()


@slow
@at_both_widths
def test_images_are_enrolled_and_removed_with_the_token(
    browser: Browser, server: Server, gallery: Gallery, project: Path, width: int
) -> None:
    label = f"a <b>new</b> class/{width}"
    first, second, *_ = _images(project)
    broken = project / "images/broken.png"
    with visiting(browser, server.url, "gallery", width, refused=(401, 422)) as page:
        form = page.get_by_role("region", name="Enrol")
        form.locator("input[type=file]").set_input_files([first, broken, second])
        form.get_by_label("Class").fill(label)
        form.get_by_label("Token").fill("another")
        form.get_by_role("button", name="Enrol 3 images").click()
        expect(form.locator(".failed")).to_have_text("That is not this service's token.")
        expect(form.get_by_label("Token")).to_be_focused()
        form.get_by_label("Token").fill(TOKEN)
        form.get_by_role("button", name="Enrol 3 images").click()
        expect(page.locator(".status.failed")).to_contain_text("broken.png: not a picture")
        expect(page.locator(".status.failed")).to_be_in_viewport()
        expect(form.locator(".bad .pending-name")).to_have_text(["broken.png"])
        form.get_by_role("button", name="Leave out broken.png").click()
        form.get_by_role("button", name="Enrol 2 images").click()
        said = page.locator("[data-part=gallery] > .status")
        expect(said).to_have_text(f"2 images of {label} enrolled.")
        gallery.refresh()
        assert next(one for one in gallery.labels() if one.label == label).enrolled == 2
        # Once more: they are known.
        form.locator("input[type=file]").set_input_files([first])
        form.get_by_label("Class").fill(label)
        form.get_by_role("button", name="Enrol 1 image").click()
        expect(said).to_have_text(f"0 images of {label} enrolled, 1 known already.")
        # No page keeps the token where another could find it.
        assert page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])") == (
            json.dumps([{}, {}, ""], separators=(",", ":"))
        )
        page.get_by_role("link", name=label).click()
        expect(page.locator("#summary")).to_contain_text(f"{_rows(gallery):,} images")
        tiles = page.locator("[data-part=gallery] .tile:visible")
        expect(tiles).to_have_count(2)
        tiles.first.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep").click()
        expect(tiles).to_have_count(2)
        tiles.first.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(said).to_have_text("1 image removed.")
        expect(tiles).to_have_count(1)
        expect(page.locator("#summary")).to_contain_text(f"{_rows(gallery) - 1:,} images")
        page.get_by_role("button", name="Remove the enrolled image").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        # The class is gone: its page, too.
        expect(page).to_have_url(f"{server.url}/#gallery")
        expect(page.get_by_label("Search classes")).to_be_focused()
        expect(said).to_have_text("1 image removed.")
        gallery.refresh()
        assert label not in [one.label for one in gallery.labels()]


@slow
def test_the_page_says_that_writing_is_off_and_that_the_service_is_gone(
    browser: Browser, place: Path, tmp_path: Path
) -> None:
    with serving(place, log=tmp_path / "log", token=None) as server:
        with visiting(browser, server.url, "gallery") as page:
            form = page.get_by_role("region", name="Enrol")
            expect(form).to_contain_text("Writing is off")
            expect(form.locator("input")).to_have_count(0)
        page = browser.new_page()
        page.goto(f"{server.url}/#verify")
        others = page.get_by_role("button", name="Draw others").first
        others.wait_for()
        server.process.terminate()
        server.process.wait(60)
        others.click()
        expect(page.locator(".status.failed")).to_contain_text("The service does not answer.")
        page.get_by_role("link", name="Gallery").click()
        expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
        page.close()


@slow
def test_a_part_is_built_anew_once_the_service_answers_again(
    browser: Browser, server: Server, project: Path
) -> None:
    [first, *_] = _images(project)
    page = browser.new_page()
    page.goto(f"{server.url}/#gallery")
    page.locator(".class-link").first.wait_for()
    # The last request of the part fails: all that comes before has been built by then.
    page.route("**/samples/labels", lambda route: route.abort())
    page.get_by_role("link", name="Ask").click()
    expect(page.get_by_role("alert").first).to_contain_text("The service does not answer.")
    page.unroute("**/samples/labels")
    page.get_by_role("link", name="Verify").click()
    page.get_by_role("link", name="Ask").click()
    page.locator(".sample").first.wait_for()
    expect(page.locator("[data-part=ask] .failed")).to_have_count(0)
    expect(page.locator("#ask-title")).to_have_count(1)
    give(page, [first], "paste", page.locator("body"))
    expect(page.locator(".answer h2.verdict")).to_have_count(1)
    page.close()


@slow
def test_ask_counts_what_was_enrolled_and_removed_meanwhile(
    browser: Browser, server: Server, gallery: Gallery, project: Path
) -> None:
    [first, *_] = _images(project)
    gallery.refresh()
    before = f"The nearest of {_rows(gallery):,} images"
    with visiting(browser, server.url, "ask", refused=(401,)) as page:
        lead = page.locator("[data-part=ask] .lead")
        expect(lead).to_contain_text(before)
        page.get_by_role("link", name="Gallery").click()
        form = page.get_by_role("region", name="Enrol")
        form.locator("input[type=file]").set_input_files(first)
        form.get_by_label("Class").fill("new")
        form.get_by_label("Token").fill(TOKEN)
        form.get_by_role("button", name="Enrol 1 image").click()
        expect(lead).to_contain_text(f"The nearest of {_rows(gallery) + 1:,} images")
        page.get_by_role("link", name="new").click()
        page.get_by_role("button", name="Remove the enrolled image").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Token").fill("another")
        dialog.get_by_role("button", name="Remove").click()
        expect(dialog.locator(".failed")).to_have_text("That is not this service's token.")
        expect(dialog.get_by_label("Token")).to_be_focused()
        dialog.get_by_label("Token").fill(TOKEN)
        dialog.get_by_role("button", name="Remove").click()
        expect(lead).to_contain_text(before)


@slow
@at_both_widths
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(
    browser: Browser, server: Server, width: int, scheme: Literal["light", "dark"]
) -> None:
    texts = ["ink", "muted", "accent", "right", "wrong"]
    grounds = ["paper", "card", "well"]
    with visiting(browser, server.url, "ask", width, scheme) as page:
        colours = page.evaluate(
            """(names) => {
              const style = getComputedStyle(document.documentElement);
              return names.map((name) => style.getPropertyValue(`--${name}`).trim());
            }""",
            [*texts, *grounds, "on-accent", "accent-soft", "edge"],
        )
        named = dict(
            zip([*texts, *grounds, "on-accent", "accent-soft", "edge"], colours, strict=True)
        )
        pairs = [(text, ground, 4.5) for text in texts for ground in grounds]
        pairs += [("on-accent", "accent", 4.5), ("muted", "accent-soft", 4.5), ("edge", "card", 3)]
        low = {
            (text, ground): contrast
            for text, ground, least in pairs
            if (contrast := _contrast(named[text], named[ground])) < least
        }
        assert not low
        for part in ("verify", "gallery", "map", "results"):
            page.goto(f"{server.url}/#{part}")
            page.locator(f"#{part}-title").wait_for()
            page.locator("[aria-busy]").first.wait_for(state="detached")
            assert page.locator("nav [aria-current=page]").get_attribute("href") == f"#{part}"
            check_basics(page)


@slow
def test_numbers_that_javascript_would_round_stay_exact(browser: Browser, server: Server) -> None:
    numbers = [0, -1, 2**53 - 1, 2**53 + 1, 2**62, 2**63 - 1, -(2**62) - 1]
    content = {
        "numbers": numbers,
        "floats": [0.1, 1.2345678901234567, 1e300, -2.5e-10, 1e-7],
        "text": [f'"{2**62}"', f"[{2**62}, 1]", "\\", "ä\n", f": {2**60}"],
        str(2**61): None,
    }
    with visiting(browser, server.url, "ask") as page:
        for text in (json.dumps(content), json.dumps(content, indent=1), str(2**62), "3"):
            found = page.evaluate(
                "async (text) => JSON.stringify((await import('/api.js')).parse(text))", text
            )
            assert _exact(json.loads(found)) == _exact(json.loads(text))


def _exact(value: object) -> object:
    """Return JSON with integers beyond 2^53 as the text of their digits."""
    if isinstance(value, dict):
        return {key: _exact(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_exact(one) for one in value]
    return str(value) if isinstance(value, int) and abs(value) >= 2**53 else value


def _contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, #rrggbb, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)
