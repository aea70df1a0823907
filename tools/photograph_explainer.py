"""Photograph the interactive explainer for where no script runs: docs/images/explainer*.png.

    python tools/photograph_explainer.py

Needs chromium and playwright, and fonts with Chinese characters.
"""

import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def explainer_page(language: str) -> str:
    """Return a page with nothing but the explainer."""
    static = (DOCS / "_static").as_uri()
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>explainer</title>'
        '<link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{static}/explainer.css">'
        "<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 8px; background: #f7f8fb }"
        '</style></head><body><div id="softmax2d-explainer"></div>'
        f'<script src="{static}/explainer.js"></script></body></html>'
    )


def open_page(page: Page, folder: Path, language: str) -> None:
    """Write the page into ``folder`` and open it from there."""
    path = folder / f"explainer.{language}.html"
    path.write_text(explainer_page(language), encoding="utf-8")
    page.goto(path.as_uri())


def main() -> None:
    """Take a picture in each language."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        executable = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 800, "height": 900}, color_scheme="light")
        for language, ending in (("en", ""), ("zh-CN", ".zh")):
            open_page(page, Path(folder), language)
            picture = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
            few = picture.quantize(96, dither=Image.Dither.NONE)  # colours: a third of the bytes
            few.save(DOCS / "images" / f"explainer{ending}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
