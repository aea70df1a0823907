"""The interactive explainer and the drawings: what readers see is what NumPy and softmax2d compute.

The script runs in a page of its own, in one headless Chromium for all tests. Browser and playwright
are asserted in CI by tools/check_machine.py.
"""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import softmax2d as s2d
from tests.ulp import assert_within

playwright_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("PIL")
if shutil.which("chromium") is None:
    pytest.skip("needs the system's chromium", allow_module_level=True)

from tools import draw_picture, photograph_explainer  # noqa: E402 - needs playwright

CASES = {1: (10, 0, -40), 2: (15, 0, -40), 3: (18, 0, -40), 4: (1000, 999, 998), 5: (0, -110, -120)}
SETTINGS = [((1, 2, 0), 1.0), ((-3.5, 4.2, 4.1), 2.5), ((0.1, -7.3, 9.9), 0.4), ((2, 2, 2), 1.0)]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(photograph_explainer.FLAGS)
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory) -> Iterator:
    """A page in English, and what it asked for and complained of."""
    page = browser.new_page(viewport={"width": 800, "height": 900}, color_scheme="light")
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    photograph_explainer.open_page(page, tmp_path_factory.mktemp("page"), "en")
    yield page, heard
    page.close()


@pytest.fixture
def page(opened):
    page = opened[0]
    choose(page, (1, 2, 0))
    page.locator("[data-name=target1]").check()
    return page


def choose(page, logits, temperature: float = 1.0) -> None:
    """Type three logits, move the slider of the temperature."""
    for i, logit in enumerate(logits):
        page.locator(f"[data-name=number{i}]").fill(str(logit))
    page.locator("[data-name=temperature]").fill(str(temperature))


def shown(page) -> dict[str, float]:
    """All numbers on the page by name, in full."""
    script = "all => all.map(e => [e.dataset.name, e.dataset.value])"
    found = dict(page.locator("[data-value]").evaluate_all(script))
    found.pop("z")
    return {name: float(value.replace("Infinity", "inf")) for name, value in found.items()}


def column(numbers: dict[str, float], name: str, dtype=np.float32) -> np.ndarray:
    return np.array([numbers[f"{name}{i}"] for i in range(3)], dtype)


def exact(function, values: np.ndarray) -> np.ndarray:
    """A function of float32 values, rounded once."""
    return function(values.astype(np.float64)).astype(np.float32)


def softmax_in_float32(z: np.ndarray) -> np.ndarray:
    e = exact(np.exp, z)
    return e / ((e[0] + e[1]) + e[2])


def library_log(z: np.ndarray) -> np.ndarray:
    shifted = z - z.max()
    e = exact(np.exp, shifted)
    return shifted - exact(np.log, (e[0] + e[1]) + e[2])


@pytest.mark.parametrize(("logits", "temperature"), SETTINGS)
def test_numbers_are_those_of_float64(page, logits, temperature):
    choose(page, logits, temperature)
    target = 2
    page.locator(f"[data-name=target{target}]").check()
    z = (np.array(logits) / temperature).reshape(3, 1, 1)
    p = s2d.softmax2d(z)
    found = s2d.segment(z, outputs=("labels", "confidence", "margin", "entropy"))
    numbers = shown(page)
    np.testing.assert_allclose(column(numbers, "p", float), p.ravel(), rtol=1e-14)
    for name in ("confidence", "margin", "entropy"):
        value = getattr(found, name).item()
        assert numbers[name] == pytest.approx(value, rel=1e-13, abs=1e-15), name
    assert numbers["label"] == found.labels.item()
    jacobian = [[numbers[f"jacobian{i}{j}"] for j in range(3)] for i in range(3)]
    ours = s2d.softmax2d_jacobian(p)[..., 0, 0]
    np.testing.assert_allclose(jacobian, ours, rtol=1e-12, atol=1e-16)
    p = p.ravel()
    truth = -np.outer(p, p)  # the diagonal without 1 - p, which loses what is small
    np.fill_diagonal(truth, [p[i] * np.delete(p, i).sum() for i in range(3)])
    np.testing.assert_allclose(jacobian, truth, rtol=1e-12)
    loss, grad = s2d.cross_entropy2d_with_grad(z, np.full((1, 1), target))
    assert numbers["loss"] == pytest.approx(float(loss), rel=1e-14)
    np.testing.assert_allclose(column(numbers, "gradient", float), grad.ravel(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow is what is shown
@pytest.mark.parametrize("case", CASES)
def test_float32_is_really_float32(page, case):
    page.locator(f"[data-name=case{case}]").click()
    assert page.locator(f"[data-name=case{case}]").get_attribute("aria-pressed") == "true"
    numbers = shown(page)
    z = np.array(CASES[case], np.float32)
    plain = softmax_in_float32(z)
    expected = {
        "plain": plain,
        "naive": exact(np.log, plain),
        "shifted": softmax_in_float32(z - z.max()),
        "library": library_log(z),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(column(numbers, name), values, err_msg=name)
    wide = z.astype(np.longdouble) - z.max()
    true = wide - np.log1p(np.exp(wide[1:]).sum())  # the first class is the largest
    assert_within(column(numbers, "truth", np.float64), true, 4)
    assert_within(column(numbers, "ours"), true, 4, "the script")
    assert_within(s2d.log_softmax2d(z.reshape(3, 1, 1)).ravel(), true, 4, "softmax2d")


def test_ours_is_right_everywhere(page):
    rng = np.random.default_rng(0)
    for logits in rng.normal(0, 12, (6, 3)).round(3):
        choose(page, logits, 1.3)
        z = (logits / 1.3).astype(np.float32)
        wide = z.astype(np.longdouble) - z.max()
        rest = np.exp(np.delete(wide, wide.argmax())).sum()
        assert_within(column(shown(page), "ours"), wide - np.log1p(rest), 4, str(logits))


def test_what_readme_says_is_seen(page):
    off = {}
    for case in (1, 2, 3):
        page.locator(f"[data-name=case{case}]").click()
        numbers = shown(page)
        off[case] = numbers["libraryOff0"]
        assert numbers["oursOff0"] < 1e-7
    assert off == pytest.approx({1: 4e-4, 2: 0.17, 3: 1}, rel=0.1)
    assert "keeps the tiny sum apart" in page.locator("[data-name=verdict]").text_content()
    page.locator("[data-name=case4]").click()
    assert "NaN" in page.locator("[data-name=verdict]").text_content()
    assert page.locator("[data-name=naive0]").text_content() == "NaN"
    page.locator("[data-name=case5]").click()
    assert page.locator("[data-name=naive1]").text_content() == "−∞"


def test_drag_keys_and_spoken_words(page):
    slider = page.locator("[data-name=slider2]")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=4)
    page.mouse.up()
    assert shown(page)["label"] == 2
    dragged = float(slider.input_value())
    assert dragged > 6
    assert page.locator("[data-name=number2]").input_value() == slider.input_value()
    page.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) == pytest.approx(dragged - 0.1)
    page.keyboard.press("Home")
    assert shown(page)["label"] == 1
    assert slider.get_attribute("aria-valuetext") == "−10.0"
    page.wait_for_function(
        "document.querySelector('[data-name=live]').textContent.includes('tree')"
    )
    unnamed = "all => all.filter(e => !e.labels?.length && !e.ariaLabel).length"
    assert page.locator("#softmax2d-explainer input").evaluate_all(unnamed) == 0


def test_half_typed_numbers_change_nothing(page):
    before = shown(page)
    for text in ("", "-"):
        page.locator("[data-name=number0]").focus()
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.type(text)
        assert shown(page) == before
    page.locator("[data-name=slider0]").focus()
    assert page.locator("[data-name=number0]").input_value() == "1"


def contrast(page, selector: str) -> float:
    """The contrast of WCAG between an element's text and the card below it."""
    script = """(e) => {
      const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).map((v) => v / 255)
          .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const card = getComputedStyle(e.closest('.s2x-card')).backgroundColor;
      const pair = [getComputedStyle(e).color, card].map(light);
      const [low, high] = pair.sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    }"""
    return page.locator(selector).first.evaluate(script)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_are_legible(page, theme):
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    for selector in (
        "h3",
        ".s2x-hint",
        ".s2x-name",
        ".s2x-good",
        "label",
        "[data-name=confidence]",
    ):
        assert contrast(page, f"#softmax2d-explainer {selector}") >= 4.5, selector
    card = page.locator(".s2x-card").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert (card == "rgb(255, 255, 255)") == (theme == "light")
    page.evaluate("delete document.documentElement.dataset.theme")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_fits_a_phone_in_both_languages(browser, tmp_path, language):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    photograph_explainer.open_page(page, tmp_path, language)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    text = page.locator("#softmax2d-explainer").inner_text()
    assert ("预测类别" in text, "Label" in text) == (language == "zh-CN", language == "en")
    assert "undefined" not in text
    page.close()


def test_nothing_is_complained_of_or_asked_for(opened):
    """The last: what was heard in all tests before."""
    _, heard = opened
    assert [url for url in heard if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("language", draw_picture.WORDS)
def test_drawings_are_those_of_the_script(language):
    for name, svg in draw_picture.draw(language).items():
        path = draw_picture.IMAGES / name
        assert path.read_text(encoding="utf-8") == svg, "run python tools/draw_picture.py"


def test_drawing_has_the_numbers_of_the_page():
    page = draw_picture.IMAGES.parent / "concepts" / "picture.md"
    examples = doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8"))
    namespace: dict = {}
    for example in examples:
        if example.source.startswith(("import", "sky", "tree", "road", "coarse =", "probs =")):
            exec(example.source, namespace)
    np.testing.assert_array_equal(namespace["coarse"], draw_picture.COARSE)
    svg = Path(draw_picture.IMAGES / "picture-pixel.svg").read_text(encoding="utf-8")
    for p in namespace["probs"][:, *draw_picture.PIXEL]:
        assert f">{p:.3f}</text>" in svg
