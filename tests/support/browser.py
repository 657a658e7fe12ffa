"""A real browser for tests: Chromium, if the machine has one, driven by Playwright.

Playwright keeps a loop running in its thread while a browser is open: open one for a module, not
for a session, in which other tests run loops of their own.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No GPU, and no word to its maker.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Of a page on a desk and on a phone, in pixels.
WIDTHS = (1280, 390)
PATIENCE = 60_000  # ms, for a machine that does other things too


@contextmanager
def browsing() -> "Iterator[Browser]":
    """Open Chromium until the block ends; skip the test, with the reason, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is installed")
    playwright.expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visiting(
    browser: "Browser",
    url: str,
    part: str,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    refused: tuple[int, ...] = (),
) -> "Iterator[Page]":
    """Open a part of the page, as a new visitor; what goes wrong fails the test at the end.

    That is: a request to anywhere but `url`, one that fails or is refused, an error or a warning on
    the console, and anything wider than the window.

    Args:
        browser: of `browsing`.
        url: of the service.
        part: what follows the `#`.
        width: of the window.
        scheme: of colours.
        refused: statuses that the test brings about.
    """
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()

    def requested(request: "Request") -> None:
        if not request.url.startswith((f"{url}/", "blob:", "data:")):
            wrong.append(f"asked elsewhere: {request.url}")

    def told(kind: str, text: str) -> None:
        expected = any(f"status of {status}" in text for status in refused)
        if kind in ("error", "warning") and not expected:
            wrong.append(f"console: {text}")

    page.on("request", requested)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on("console", lambda message: told(message.type, message.text))
    page.on(
        "response",
        lambda answer: (
            wrong.append(f"{answer.status}: {answer.url}")
            if answer.status >= 400 and answer.status not in refused
            else None
        ),
    )
    page.goto(f"{url}/#{part}")
    page.locator(f"#{part.split('/')[0]}-title").wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")
    yield page
    page.wait_for_load_state("networkidle")
    check_basics(page)
    context.close()
    assert not wrong, "\n".join(wrong)


def check_basics(page: "Page") -> None:
    """What every page owes those who do not see it, or see it on a phone."""
    faults = page.evaluate(
        """() => {
          const shown = (node) => node.checkVisibility();
          const faults = [];
          if (!document.documentElement.lang) faults.push("the document has no language");
          if (!document.title) faults.push("the document has no title");
          if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
          for (const image of document.images) {
            if (!image.hasAttribute("alt")) faults.push(`no alt: ${image.outerHTML}`);
          }
          for (const input of document.querySelectorAll("input, select, textarea")) {
            const labelled = input.labels.length || input.ariaLabel;
            if (!labelled) faults.push(`no label: ${input.outerHTML}`);
          }
          for (const node of document.querySelectorAll("button, a")) {
            const within = node.querySelector("img")?.alt ?? "";
            const name = node.ariaLabel ?? node.textContent + within;
            if (shown(node) && !name.trim()) faults.push(`no name: ${node.outerHTML}`);
          }
          const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
          for (const id of ids) {
            if (ids.filter((other) => other === id).length > 1) faults.push(`twice: #${id}`);
          }
          if ([...document.querySelectorAll("h1")].filter(shown).length !== 1) {
            faults.push("not one heading of the first level");
          }
          const wide = document.documentElement.scrollWidth - window.innerWidth;
          if (wide > 0) faults.push(`${wide} pixels wider than the window`);
          return faults;
        }"""
    )
    assert not faults, "\n".join(faults)


def give(
    page: "Page", files: list[Path], event: Literal["drop", "paste"], target: "Locator"
) -> None:
    """Drop or paste files on an element, as a desktop does."""
    data = page.evaluate_handle(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, bytes] of files) {
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
          }
          return data;
        }""",
        [[file.name, list(file.read_bytes())] for file in files],
    )
    name = {"drop": "dataTransfer", "paste": "clipboardData"}[event]
    target.evaluate(
        """(node, [event, name, data]) => {
          const made = event === "drop" ? new DragEvent("drop", { bubbles: true, cancelable: true,
            dataTransfer: data }) : new ClipboardEvent("paste", { bubbles: true, cancelable: true,
            clipboardData: data });
          node.dispatchEvent(made);
        }""",
        [event, name, data],
    )


def tab_to(page: "Page", name: str) -> None:
    """Press Tab until what has this name, or this label, has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const one = document.activeElement;
              return (one.labels?.[0] ?? one).textContent.trim();
            }"""
        )
        if focused == name:
            return
    raise AssertionError(f"Tab never comes to {name}")
