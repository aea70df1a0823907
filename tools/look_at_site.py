"""Open the built site in a headless Chromium: what it shows, asks for, finds and complains about.

    .venv/bin/python tools/look_at_site.py FOLDER

After scripts/docs.sh. Pictures of the front pages in both languages, light and dark, on a wide
screen and a telephone's, go to FOLDER. Pages are opened as files: a request to any host, an error
in the console, a blank picture, a search that does not find or a switch that does not lead to the
twin is an error.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import numpy as np
from check_machine import BROWSER_FLAGS
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
# A query, and a page that must be among those found. Chinese has no spaces between words.
QUERIES = {
    "zh": {
        "语义分割": "index",
        "置信度": "concepts/labels",
        "交叉熵": "concepts/losses",
        "大图": "",
        "熵": "concepts/labels",
        "softmax 概率": "concepts/formula",
        "segment": "concepts/labels",
    },
    "en": {"entropy": "concepts/labels", "cross-entropy": "concepts/losses"},
}
complaints: list[str] = []


def watch(page: Page) -> None:
    """Note what a page complains about, and what it asks of others."""
    page.set_default_timeout(180_000)  # beside other work the browser is slow
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:"))
            or complaints.append(f"asks for {request.url}")
        ),
    )


def address(language: str, page: str) -> str:
    """The address of a page as a file."""
    return f"{(SITE / language / page).as_uri()}.html"


def take_pictures(browser: Browser, folder: Path) -> None:
    """Front pages in both languages, schemes and sizes."""
    for scheme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            viewport = {"width": width, "height": height}
            context = browser.new_context(viewport=viewport, color_scheme=scheme)
            page = context.new_page()
            watch(page)
            for language in ("en", "zh"):
                page.goto(address(language, "index"))
                page.wait_for_load_state("networkidle")
                shot = page.screenshot(path=folder / f"index-{language}-{scheme}-{size}.png")
                look(shot, scheme, f"{language} {scheme} {size}")
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    complaints.append(f"{language} {size}: {wide} pixels wide, of {width}")
            context.close()


def look(shot: bytes, scheme: str, name: str) -> None:
    """A picture must show something, on a background of its scheme."""
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("L"), np.float32)
    if pixels.std() < 5:
        complaints.append(f"{name}: blank")
    if (np.median(pixels) < 128) != (scheme == "dark"):
        complaints.append(f"{name}: not {scheme}")


def search(browser: Browser) -> None:
    """Type each query into the search of the front page."""
    page = browser.new_page()
    watch(page)
    for language, queries in QUERIES.items():
        for query, wanted in queries.items():
            page.goto(address(language, "index"))
            page.keyboard.press("Control+k")
            page.keyboard.type(query)
            page.keyboard.press("Enter")
            page.wait_for_selector("#search-results .search-summary:not(:empty)")
            found = page.locator("#search-results li a")
            links = [each.get_attribute("href") or "" for each in found.all()]
            print(f"{language} {query}: {len(links)} results, {' '.join(links[:4])}")
            if not any(link.startswith(wanted) for link in links):
                complaints.append(f"search for {query}: {wanted or 'nothing'} not found")


def switch(browser: Browser) -> None:
    """Follow the switch of language there and back, from a page in a folder."""
    page = browser.new_page()
    watch(page)
    page.goto(address("en", "concepts/formula"))
    for language in ("zh", "en"):
        page.click("a.language-switch >> visible=true")
        page.wait_for_load_state()
        if page.url != address(language, "concepts/formula"):
            complaints.append(f"the switch leads to {page.url}")
    formulas = page.locator("mjx-container").count()
    if not formulas:
        complaints.append("formulas are not set")


def main() -> None:
    """Look at everything, print the complaints, leave with an error if there are any."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=BROWSER_FLAGS
        )
        take_pictures(browser, folder)
        search(browser)
        switch(browser)
        browser.close()
    if complaints:
        sys.exit("\n".join(complaints))


if __name__ == "__main__":
    main()
