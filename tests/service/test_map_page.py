"""The map in a real browser: it draws, finds the image that is pointed at, and says it in words."""

import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

pytest.importorskip("playwright")  # a GPU machine may lack it

from playwright.sync_api import Browser, Page, expect

from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import load_model
from siamese.projection.maps import compute_map
from tests.support.browser import WIDTHS, visiting
from tests.support.galleries import noise_images
from tests.support.service import Server, serving

pytestmark = pytest.mark.slow
at_both_widths = pytest.mark.parametrize("width", WIDTHS)
KINDS = {"pipeline": "gallery", "enrolled": "enrolled", "query": "test image"}


@pytest.fixture(scope="module")
def server(
    browser: Browser, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service over a project with two enrolled images and a computed map."""
    folder = tmp_path_factory.mktemp("map") / "project"
    for name in ("data", "metrics"):
        shutil.copytree(place / name, folder / name)
    model = load_model(folder / "data/model")
    table = GalleryTable.open(folder / "data/gallery")
    compute_map(table, folder, folder / "data/prepared", limit=80)
    Gallery.open(folder / "data/gallery", model).enroll(noise_images(model, 2), "noise")
    with serving(folder, log=folder / "service.log") as server:
        yield server


# Pixels around the map's buttons: where the pointer goes is rounded.
MARGIN = 4


class Shown:
    """What the service answers, and where the page is to draw it."""

    def __init__(self, server: Server, page: Page, method: str = "pca") -> None:
        self.page = page
        self.map = httpx.get(f"{server.url}/map", params={"method": method}).json()
        x, y = np.array(self.map["x"]), -np.array(self.map["y"])
        extent = max(np.ptp(x), np.ptp(y))
        box = page.locator("canvas").bounding_box()
        buttons = page.locator(".map-zoom").bounding_box()
        assert box is not None
        assert buttons is not None
        corner = np.array([buttons["x"] - box["x"], buttons["y"] - box["y"]])
        size = np.array([buttons["width"], buttons["height"]])
        self.buttons = corner - MARGIN, corner + size + MARGIN
        middle = np.array([box["width"], box["height"]]) / 2
        unit = np.stack([x - (x.min() + x.max()) / 2, y - (y.min() + y.max()) / 2], axis=1) / extent
        self.places = middle + unit * 0.94 * min(box["width"], box["height"])

    def kind(self, point: int) -> str:
        return self.map["kinds"][self.map["kind"][point]]

    def label(self, point: int) -> str:
        return self.map["classes"][self.map["label"][point]]

    def is_wrong(self, point: int) -> bool:
        called = self.map["called"][point]
        return called >= 0 and called != self.map["label"][point]

    def loneliest(self, points: list[int]) -> int:
        """Return the one of some points that is farthest from all others."""

        def space(point: int) -> float:
            return np.sort(np.linalg.norm(self.places - self.places[point], axis=1))[1]

        return max(filter(self.is_free, points), key=space)

    def is_free(self, point: int) -> bool:
        """Tell whether a point is not below the buttons."""
        place, (first, last) = self.places[point], self.buttons
        return bool(((place < first) | (place > last)).any())

    def of_kind(self, kind: str) -> list[int]:
        return [point for point in range(len(self.places)) if self.kind(point) == kind]

    def point_at(self, point: int) -> None:
        x, y = self.places[point]
        self.page.locator("canvas").hover(position={"x": x, "y": y})

    def expect_card(self, point: int) -> None:
        """Expect beside the point its image and what it is."""
        card = self.page.locator(".map-card")
        expect(card.locator("strong")).to_have_text(self.label(point))
        kind, number = self.kind(point), self.map["number"][point]
        expect(card).to_contain_text(KINDS[kind])
        if self.is_wrong(point):
            called = self.map["classes"][self.map["called"][point]]
            expect(card).to_contain_text(f"taken for {called}")
        source = f"samples/{number}.png" if kind == "query" else f"gallery/images/{number}.png"
        image = card.locator("img")
        expect(image).to_have_attribute("src", source)
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0


def drawing(page: Page) -> str:
    """Return what is on the canvas, once everything that was asked for is drawn."""
    return page.evaluate(
        """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
            () => done(document.querySelector("canvas").toDataURL()))))"""
    )


def covered(page: Page) -> float:
    """Return the share of the canvas that something is drawn on."""
    drawing(page)
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas");
          const copy = new OffscreenCanvas(canvas.width, canvas.height);
          const pen = copy.getContext("2d", { willReadFrequently: true });
          pen.drawImage(canvas, 0, 0);
          const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
          const pixels = new Uint32Array(data.buffer);
          return pixels.filter((pixel) => pixel !== pixels[0]).length / pixels.length;
        }"""
    )


@at_both_widths
def test_what_is_pointed_at_is_shown(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, server.url, "map", width) as page:
        shown = Shown(server, page)
        expect(page.locator(".status")).to_have_text(
            f"{len(shown.places):,} images of {len(shown.map['classes'])} classes."
        )
        assert covered(page) > 0.02
        for kind in KINDS:
            point = shown.loneliest(shown.of_kind(kind))
            shown.point_at(point)
            shown.expect_card(point)
        page.mouse.move(0, 0)
        expect(page.locator(".map-card")).to_be_hidden()


@at_both_widths
def test_zooming_keeps_what_is_pointed_at(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, server.url, "map", width) as page:
        shown = Shown(server, page)
        whole = drawing(page)
        point = shown.loneliest(shown.of_kind("pipeline"))
        shown.point_at(point)
        page.keyboard.down("Control")
        for _ in range(4):
            page.mouse.wheel(0, -150)
        page.keyboard.up("Control")
        shown.expect_card(point)
        assert drawing(page) != whole
        # Dragged, the point goes along.
        box = page.locator("canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + shown.places[point][0], box["y"] + shown.places[point][1]
        page.mouse.down()
        page.mouse.move(x + 30, y + 20, steps=4)
        page.mouse.up()
        page.mouse.move(x + 31, y + 20)
        shown.expect_card(point)
        page.get_by_role("button", name="Show the whole map").click()
        page.mouse.move(0, 0)
        assert drawing(page) == whole


def test_the_wheel_scrolls_the_page_until_the_map_is_clicked(
    browser: Browser, server: Server
) -> None:
    with visiting(browser, server.url, "map") as page:
        whole = drawing(page)
        page.locator("canvas").hover()
        scrolled = page.evaluate("window.scrollY") + 40
        page.mouse.wheel(0, 40)
        expect(page.locator("html")).to_have_js_property("scrollTop", scrolled)
        page.mouse.move(0, 0)
        assert drawing(page) == whole
        page.locator("canvas").click()
        page.mouse.wheel(0, 40)
        page.mouse.move(0, 0)
        assert drawing(page) != whole
        expect(page.locator("html")).to_have_js_property("scrollTop", scrolled)


@at_both_widths
def test_the_card_lies_within_the_map(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, server.url, "map", width) as page:
        card = page.locator(".map-card")
        bounds = "(node) => (({ x, y, width, height }) => [x, y, x + width, y + height])"
        bounds += "(node.getBoundingClientRect())"
        left, top, right, bottom = page.locator(".map-box").evaluate(bounds)
        shown, sizes = Shown(server, page), []
        for point in filter(shown.is_free, range(0, len(shown.places), len(shown.places) // 40)):
            shown.point_at(point)
            expect(card).to_be_visible()
            x0, y0, x1, y1 = card.evaluate(bounds)
            assert left <= x0 < x1 <= right
            assert top <= y0 < y1 <= bottom
            sizes.append((x1 - x0, y1 - y0))
        assert min(width for width, _ in sizes) > 130, "room for an image and words"
        assert max(height for _, height in sizes) < 130


def test_two_fingers_zoom(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url, "map", 390) as page:
        before = drawing(page)
        box = page.locator("canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session = page.context.new_cdp_session(page)

        def touch(kind: str, gap: float | None) -> None:
            fingers = [] if gap is None else [{"x": x - gap, "y": y}, {"x": x + gap, "y": y}]
            points = [{**finger, "id": number} for number, finger in enumerate(fingers)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", 30)
        for gap in (40, 60, 90):
            touch("touchMove", gap)
        touch("touchEnd", None)
        assert drawing(page) != before
        page.get_by_role("button", name="Show the whole map").click()
        assert drawing(page) == before


def test_keys_move_and_zoom_and_show_what_is_in_the_middle(
    browser: Browser, server: Server
) -> None:
    with visiting(browser, server.url, "map") as page:
        canvas = page.locator("canvas")
        canvas.focus()
        drawings = [drawing(page)]
        for key in ("+", "+", "ArrowLeft", "ArrowUp", "-", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
            drawings.append(drawing(page))
        assert all(one != other for one, other in pairwise(drawings))
        page.keyboard.press("0")
        assert drawing(page) == drawings[0]
        shown = Shown(server, page)
        box = canvas.bounding_box()
        assert box is not None
        middle = np.array([box["width"], box["height"]]) / 2
        # Zoomed out and in again, the middle is where it was.
        page.keyboard.press("-")
        page.keyboard.press("+")
        distances = np.linalg.norm(shown.places - middle, axis=1)
        card = page.locator(".map-card")
        if distances.min() < 14:
            shown.expect_card(int(distances.argmin()))
        else:
            expect(card).to_be_hidden()


@at_both_widths
def test_classes_are_found_and_highlighted(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, server.url, "map", width) as page:
        shown = Shown(server, page)
        names = shown.map["classes"]
        legend = page.locator(".legend .legend-name")
        assert sorted(legend.all_inner_texts()) == sorted(names)
        page.get_by_label("Classes", exact=True).fill("NOI")
        expect(legend).to_have_text(["noise"])
        page.get_by_label("Classes", exact=True).press("Enter")
        button = page.locator(".legend button")
        expect(button).to_have_attribute("aria-pressed", "true")
        enrolled = shown.loneliest(shown.of_kind("enrolled"))
        shown.point_at(enrolled)
        shown.expect_card(enrolled)
        others = [point for point in shown.of_kind("pipeline") if shown.label(point) != "noise"]
        shown.point_at(shown.loneliest(others))
        expect(page.locator(".map-card")).to_be_hidden()
        page.get_by_role("button", name="Show all classes alike").click()
        expect(button).to_have_attribute("aria-pressed", "false")
        point = shown.loneliest(others)
        shown.point_at(point)
        shown.expect_card(point)
        # The button goes away; by keyboard, the focus does not go with it.
        button.press("Enter")
        page.get_by_role("button", name="Show all classes alike").press("Enter")
        expect(page.get_by_label("Classes", exact=True)).to_be_focused()
        page.get_by_role("button", name="To the tables").press("Enter")
        expect(page.locator(".map-tables summary").first).to_be_focused()


def test_kinds_are_shown_and_hidden(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url, "map") as page:
        shown = Shown(server, page)
        everything = covered(page)
        gallery, queries = (
            page.get_by_label(name, exact=True) for name in ("Gallery", "Test images")
        )
        status = page.locator(".status")
        total = f"{len(shown.places):,} images"
        gallery.uncheck()
        assert 0 < covered(page) < everything
        expect(status).to_have_text(f"Shown: {len(shown.of_kind('query'))} of {total}.")
        queries.uncheck()
        expect(status).to_have_text("Nothing is chosen to be shown.")
        point = shown.loneliest(shown.of_kind("pipeline"))
        shown.point_at(point)
        expect(page.locator(".map-card")).to_be_hidden()
        only = page.get_by_label("Only the wrong ones")
        only.check()
        expect(gallery).to_be_disabled()
        expect(queries).to_be_disabled()
        wrong = [point for point in shown.of_kind("query") if shown.is_wrong(point)]
        assert wrong, "the digits have some"
        expect(status).to_have_text(f"Shown: {len(wrong)} of {total}.")
        point = shown.loneliest(wrong)
        shown.point_at(point)
        shown.expect_card(point)
        right = [point for point in shown.of_kind("query") if not shown.is_wrong(point)]
        shown.point_at(shown.loneliest(right))
        expect(page.locator(".map-card")).to_be_hidden()
        only.uncheck()
        expect(gallery).to_be_enabled()


def test_the_map_is_asked_anew_after_a_change_once_it_is_looked_at(
    browser: Browser, server: Server
) -> None:
    with visiting(browser, server.url, "map") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        changed = """() => document.dispatchEvent(new Event("gallery-changed"))"""

        def go_to(part: str) -> None:
            page.get_by_role("link", name=part, exact=True).click()
            expect(page.locator(f"[data-part={part.lower()}]")).to_be_visible()

        with page.expect_response("**/map?*"):
            page.evaluate(changed)
        go_to("Results")
        page.evaluate(changed)
        page.wait_for_load_state("networkidle")
        assert sum("/map?" in url for url in asked) == 1
        with page.expect_response("**/map?*"):
            go_to("Map")
        go_to("Results")
        go_to("Map")
        page.wait_for_load_state("networkidle")
        assert sum("/map?" in url for url in asked) == 2


@at_both_widths
def test_the_map_is_there_in_words(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, server.url, "map", width) as page:
        shown = Shown(server, page)
        page.get_by_text("Classes in figures").click()
        listed = page.locator(".map-tables details").first.locator("tbody tr")
        expect(listed).to_have_count(len(shown.map["classes"]))
        rows = [row.locator("th, td").all_inner_texts() for row in listed.all()]
        points = range(len(shown.places))
        counts = Counter((shown.label(point), shown.kind(point)) for point in points)
        failed = Counter(shown.label(point) for point in points if shown.is_wrong(point))
        assert rows == [
            [name, *(f"{counts[name, kind]}" for kind in KINDS), f"{failed[name]}"]
            for name in shown.map["classes"]
        ]
        page.get_by_text("Test images taken for another class").click()
        table = page.locator(".map-tables details").last
        table.locator("tbody tr").first.wait_for()
        more = table.get_by_role("button")
        while more.is_visible():
            more.click()
        found = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
        assert [row[1:] for row in found] == [
            [shown.label(p), shown.map["classes"][shown.map["called"][p]], shown.map["number"][p]]
            for p in points
            if shown.is_wrong(p)
        ]


def test_the_computed_map_takes_the_place_of_the_other(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url, "map", scheme="dark") as page:
        before = drawing(page)
        page.get_by_label("t-SNE").check()
        expect(page.locator(".status")).to_contain_text("82 images")
        assert drawing(page) != before
        shown = Shown(server, page, "tsne")
        point = shown.loneliest(shown.of_kind("pipeline"))
        shown.point_at(point)
        shown.expect_card(point)


def test_what_is_not_computed_is_said(browser: Browser, place: Path, tmp_path: Path) -> None:
    with (
        serving(place, log=tmp_path / "service.log") as server,
        visiting(browser, server.url, "map") as page,
    ):
        before = drawing(page)
        page.get_by_label("t-SNE").click()
        expect(page.locator("[data-part=map] .careful")).to_contain_text("siamese map computes it")
        expect(page.locator(".status")).to_contain_text("images of 10 classes")
        expect(page.get_by_label("PCA")).to_be_checked()
        assert drawing(page) == before


def test_ten_thousand_points_are_drawn_from_what_was_made_once(
    browser: Browser, server: Server
) -> None:
    """No frame makes arrays: while the map is moved, none is asked for."""
    many = 10_000
    rng = np.random.default_rng(0)

    def answered(route: Any) -> None:
        label = (np.arange(many) % 10).tolist()
        route.fulfill(
            json={
                "classes": [str(name) for name in range(10)],
                "superclasses": [],
                "superclass": [-1] * 10,
                "kinds": list(KINDS),
                "explained": [0.2, 0.1],
                "notes": [],
                "x": rng.normal(size=many).round(4).tolist(),
                "y": rng.normal(size=many).round(4).tolist(),
                "kind": [0] * many,
                "label": label,
                "called": [-1] * many,
                "number": [str(number) for number in range(many)],
            }
        )

    with visiting(browser, server.url, "gallery") as page:
        page.route("**/map?*", answered)
        page.goto(f"{server.url}/#map")
        expect(page.locator("[data-part=map] .status")).to_contain_text("10,000 images")
        page.evaluate(
            """() => {
              window.made = 0;
              for (const name of ["Float32Array", "Uint8Array", "Uint16Array", "Uint32Array"]) {
                const plain = window[name];
                window[name] = new Proxy(plain, { construct(...given) {
                  window.made += 1;
                  return Reflect.construct(...given);
                }, get(target, key) {
                  if (key === "from") window.made += 1;
                  return Reflect.get(target, key);
                } });
              }
            }"""
        )
        box = page.locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        before = drawing(page)
        page.mouse.down()
        for step in range(5):
            page.mouse.move(box["x"] + 100 + 20 * step, box["y"] + 100)
            assert step == 0 or drawing(page) != before
        page.mouse.up()
        assert page.evaluate("window.made") == 0
