"""How fluid the page's map is: milliseconds between frames, and of drawing one, while it is moved.

    siamese serve &
    python bench/map_frames.py http://127.0.0.1:8000

Moves and zooms the map in Chromium without a GPU. Prints JSON: medians and 95th percentiles.
"""

import argparse
import json
import shutil
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
# Keeps the time of every frame, and the time that the page's own code takes of it.
WATCH = """
window.frames_ = [];
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => ask((at) => {
  const before = performance.now();
  draw(at);
  window.frames_.push([at, performance.now() - before]);
});
"""
MOVES = 120


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    options = parser.parse_args()
    found = next(path for name in NAMES if (path := shutil.which(name)))
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=found, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(WATCH)
        page.goto(f"{options.url}/#map")
        page.locator("[data-part=map] .status").filter(has_text="images of").wait_for()
        points = page.locator("[data-part=map] .status").inner_text()
        box: Any = page.locator("canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        dragged = _measured(page, lambda step: page.mouse.move(x + 3 * (step % 40), y + step % 40))
        page.mouse.up()
        zoomed = _measured(page, lambda step: page.mouse.wheel(0, -40 if step % 60 < 30 else 40))
        browser.close()
    print(json.dumps({"map": points, "dragged": dragged, "zoomed": zoomed}, indent=2))


def _measured(page: Page, move: Any) -> dict[str, float]:
    page.evaluate("window.frames_.length = 0")
    for step in range(MOVES):
        move(step)
    frames = np.array(page.evaluate("window.frames_"))  # (F, 2)
    between = np.diff(frames[:, 0])
    return {
        "frames": len(frames),
        **_quantiles("between_ms", between),
        **_quantiles("drawing_ms", frames[:, 1]),
    }


def _quantiles(name: str, values: np.ndarray) -> dict[str, float]:
    return {
        f"{name}_median": round(float(np.median(values)), 2),
        f"{name}_p95": round(float(np.quantile(values, 0.95)), 2),
    }


if __name__ == "__main__":
    main()
