"""The report in headless Chromium: requests, errors, seeking, keyboard, width, accessibility, and frames per second.

Needs Playwright (`pip install playwright`), a Chromium, and for accessibility axe-core's `axe.min.js`:

    python benchmarks/report_page.py --chromium /usr/bin/chromium --axe axe.min.js --out shots

Prints one line per page and size, and writes screenshots. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

import emofuse
from emofuse.core.labels import AFFWILD2
from emofuse.export import ResultTable
from emofuse.report.results import write_results_page
from emofuse.synthetic.sample import make_sample

SIZES = ((1280, 900), (390, 844))
AXE_RUN = "axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.impact])))"
PAN = """async () => {
  const buttons = Object.fromEntries([...document.querySelectorAll(".tools button")].map((b) => [b.title, b]));
  for (let i = 0; i < 4; i++) buttons["Zoom in"].click();
  const begin = performance.now();
  let n = 0;
  for (; performance.now() - begin < 3000; n++) {
    buttons[n % 16 < 8 ? "Later" : "Earlier"].click();
    await new Promise(requestAnimationFrame);
  }
  return n / 3;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pages, wrong = write_pages(Path(folder)), []
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
        for path in pages:
            for width, height in SIZES:
                for scheme in ("light", "dark"):
                    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                    found = look(context.new_page(), path, arguments.axe)
                    name = f"{path.stem}-{width}-{scheme}"
                    context.pages[0].screenshot(path=arguments.out / f"{name}.png", full_page=True)
                    print(f"{name:26} {path.stat().st_size / 1e6:5.2f} MB  {'; '.join(found) or 'right'}")
                    wrong += found
                    context.close()
        print(f"frames per second while panning over three hours: {panned(browser.new_page(), pages):.0f}")
        wrong += operated(browser.new_page(), pages[0])
    sys.exit(1 if wrong else 0)


def write_pages(folder: Path) -> list[Path]:
    """Pages of a video, of two persons without their video, of nobody, of a voice, of three hours, of 200 files."""
    make_sample(folder / "talk.mp4", seconds=12)
    pages = [emofuse.predict(folder / "talk.mp4").report(folder / "talk.html")]
    kinds = {
        "two": [table("two.mp4", (1, 2), 120)],
        "nobody": [table("nobody.mp4", (None,), 60, scored=False)],
        "voice": [table("voice.wav", (None,), 60)],
        "long": [table("long.mp4", (1, 2), 3 * 3600)],
        "many": [table(f"<b>{n}</b> & ü.mp4", (1,), 600) for n in range(200)],
    }
    return [*pages, *(write_results_page(results, folder / f"{name}.html") for name, results in kinds.items())]


def table(file: str, persons: tuple[int | None, ...], seconds: int, *, scored: bool = True) -> ResultTable:
    """A result of synthetic rows, five per second."""
    rng, n = np.random.default_rng(len(file) + seconds), seconds * 5
    blocks = []
    for person in persons:
        walk = np.cumsum(rng.standard_normal((n, len(AFFWILD2))), axis=0) / 5
        values = np.exp(walk - walk.max(axis=1, keepdims=True))
        values = values / values.sum(axis=1, keepdims=True) if scored else np.full_like(values, np.nan)
        blocks.append(
            pd.DataFrame(
                {
                    "file": file,
                    "person": pd.array([person] * n, dtype="Int64"),
                    "start": np.arange(n) / 5,
                    "end": (np.arange(n) + 1) / 5,
                    "frame": np.arange(n),
                    "status": "ok" if scored else "no_face",
                    **dict(zip(AFFWILD2.names, values.T, strict=True)),
                    "emotion": np.array(AFFWILD2.names)[values.argmax(axis=1)] if scored else None,
                    "confidence": values.max(axis=1),
                }
            )
        )
    return ResultTable(file, AFFWILD2.names, {}, blocks)


def look(page: Page, path: Path, axe: Path | None) -> list[str]:
    """What is wrong with a page."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    local = ("file:", "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(local) else wrong.append(f"request: {r.url}"))
    page.goto(path.as_uri())
    page.wait_for_timeout(1000)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        wrong.append("wider than the window")
    if path.stat().st_size > 8e6:
        wrong.append("larger than 8 MB")
    if axe is not None:  # through the debugger, as the page allows no script but its own
        expression = axe.read_text("utf-8") + ";" + AXE_RUN
        session: Any = page.context.new_cdp_session(page)
        result = session.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True})
        wrong += [f"axe: {rule} ({impact})" for rule, impact in json.loads(result["result"]["value"])]
    return wrong


def panned(page: Page, pages: list[Path]) -> float:
    page.goto(next(path for path in pages if path.stem == "long").as_uri())
    page.wait_for_timeout(1000)
    return float(page.evaluate(PAN))


def operated(page: Page, path: Path) -> list[str]:
    """What is wrong with clicks and keys on the page of a video."""
    page.goto(path.as_uri())
    page.wait_for_timeout(1000)
    place = page.locator(".track .u-over").first.bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + 20)
    clicked = time_of(page)
    page.focus(".track")
    page.keyboard.press("ArrowLeft")
    stepped = time_of(page)
    page.keyboard.press(" ")
    page.wait_for_timeout(1500)
    playing = not page.evaluate("document.querySelector('video').paused")
    checks = {
        "a click seeks": abs(clicked - 6) < 0.1,
        "a key seeks": abs(clicked - stepped - 1) < 0.1,
        "a key plays": playing,
    }
    print(", ".join(f"{what}: {'yes' if right else 'NO'}" for what, right in checks.items()))
    return [what for what, right in checks.items() if not right]


def time_of(page: Page) -> float:
    page.wait_for_timeout(500)
    return float(page.evaluate("document.querySelector('video').currentTime"))


if __name__ == "__main__":
    main()
