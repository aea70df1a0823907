"""Draw the pictures of docs/concepts/picture.md: one pixel through softmax, and from coarse logits.

    python tools/draw_picture.py            # writes docs/images/picture-*.svg
    python tools/draw_picture.py --check    # complains where a file is not what would be written

Plain SVG on a ground of its own, so that it is legible on white and on dark pages. The scores are
those of the page's code block; every other number is computed from them.
"""

import argparse
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np

import softmax2d as s2d
from softmax2d import reference

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COARSE = np.array(
    [
        [[4, 3, 4, 5], [3, 0, 1, 3], [-2, -3, -3, -2]],  # sky
        [[-1, 1, -1, -2], [0, 3, 1, -1], [-1, 3, -1, -2]],  # tree
        [[-3, -2, -3, -3], [0, 1, 0, 1], [4, 2, 4, 5]],  # road
    ],
    np.float32,
)
SIZE = (6, 8)
PIXEL = (2, 3)  # row, column
COLOURS = ("#2c7fb8", "#2e8b57", "#b8652a")
INK, SOFT, GROUND, CARD, MARK = "#1d2433", "#525d70", "#f7f8fb", "#ffffff", "#c2185b"
FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', "
    "'Microsoft YaHei', 'WenQuanYi Zen Hei', sans-serif"
)
WORDS = {
    "en": {
        "classes": ("sky", "tree", "road"),
        "pixel": "A stack of score maps, and one pixel's softmax",
        "stack": "Scores (C, H, W)",
        "stack_of": "one map per class",
        "logits": "logits z",
        "powers": "eᶻ",
        "probs": "probabilities p",
        "sum": "sum",
        "label": "Labels (H, W)",
        "label_of": "the class with the largest p",
        "confidence": "Confidence (H, W)",
        "confidence_of": "that largest p",
        "one": "one pixel: h = {}, w = {}",
        "network": "From a photograph to the scores of every pixel",
        "photo": "Photograph",
        "layers": "Network",
        "layers_of": "FCN, DeepLab, …",
        "coarse": "Coarse logits",
        "coarse_of": "3 classes × 3 × 4",
        "up": "Upsampling: the map of “tree”, 3 × 4 → 6 × 8",
        "weights": "weights",
        "fine": "then softmax at each pixel",
    },
    "zh": {
        "classes": ("天空", "树木", "道路"),
        "pixel": "一叠得分图，以及其中一个像素的 softmax",
        "stack": "得分 (C, H, W)",
        "stack_of": "每个类别一张图",
        "logits": "logits z",
        "powers": "eᶻ",
        "probs": "概率 p",
        "sum": "总和",
        "label": "预测类别 (H, W)",
        "label_of": "p 最大的类别",
        "confidence": "置信度 (H, W)",
        "confidence_of": "这个最大的 p",
        "one": "一个像素：h = {}，w = {}",
        "network": "从照片到每个像素的得分",
        "photo": "照片",
        "layers": "网络",
        "layers_of": "FCN、DeepLab 等",
        "coarse": "低分辨率 logits",
        "coarse_of": "3 个类别 × 3 × 4",
        "up": "上采样：“树木”的得分图，3 × 4 → 6 × 8",
        "weights": "权重",
        "fine": "然后对每个像素做 softmax",
    },
}


def number(value: float, digits: int = 2) -> str:
    """Format with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def mix(colour: str, share: float) -> str:
    """Return ``colour`` with so much white that ``share`` of it is left."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)


def shade(score: float, colour: str) -> str:
    """Return the colour of a score between -3 and 5."""
    return mix(colour, 0.06 + 0.84 * (score + 3) / 8)


def text(x: float, y: float, words: str, **style: object) -> str:
    """Return a line of text; ``style`` as attributes, with - for _."""
    style = {"font_size": 17, "fill": INK, **style}
    attributes = " ".join(f'{k.replace("_", "-")}="{v}"' for k, v in style.items())
    return f'<text x="{x:g}" y="{y:g}" {attributes}>{escape(words)}</text>'


def rectangle(x: float, y: float, width: float, height: float, **style: object) -> str:
    """Return a rectangle; ``style`` as attributes, with - for _."""
    attributes = " ".join(f'{k.replace("_", "-")}="{v}"' for k, v in style.items())
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {attributes}/>'


def arrow(x0: float, y0: float, x1: float, y1: float, colour: str = SOFT) -> str:
    """Return a straight arrow."""
    return (
        f'<path d="M{x0:g} {y0:g}L{x1:g} {y1:g}" stroke="{colour}" stroke-width="2" fill="none" '
        f'marker-end="url(#tip)"/>'
    )


def grid(x: float, y: float, cell: float, colours: Iterable[Iterable[str]]) -> Iterable[str]:
    """Yield the squares of a map, from rows of colours."""
    for h, row in enumerate(colours):
        for w, colour in enumerate(row):
            box = (x + w * cell, y + h * cell, cell, cell)
            yield rectangle(*box, fill=colour, stroke=CARD, stroke_width=1)


def plane(x: float, y: float, scores: np.ndarray, colour: str) -> Iterable[str]:
    """Yield a leaning map with the picked pixel in a frame."""
    width, height, lean = 27, 19, 10

    def corner(h: int, w: int) -> str:
        return f"{x + w * width + (len(scores) - h) * lean:g} {y + h * height:g}"

    def cell(h: int, w: int, style: str) -> str:
        corners = (corner(h, w), corner(h, w + 1), corner(h + 1, w + 1), corner(h + 1, w))
        return f'<path d="M{"L".join(corners)}Z" {style}/>'

    for h, row in enumerate(scores):
        for w, score in enumerate(row):
            yield cell(h, w, f'fill="{shade(score, colour)}" stroke="{CARD}"')
    yield cell(*PIXEL, f'fill="none" stroke="{MARK}" stroke-width="3.5" stroke-linejoin="round"')


def page(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return the whole file."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="{FONT}">',
            f"<title>{escape(title)}</title>",
            f'<defs><marker id="tip" viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="6" '
            f'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8Z" fill="{SOFT}"/>'
            "</marker></defs>",
            rectangle(0, 0, width, height, rx=14, fill=GROUND),
            *parts,
            "</svg>\n",
        ]
    )


def draw_stack(logits: np.ndarray, words: dict) -> Iterable[str]:
    """Yield the leaning maps, their axes, and the line through the picked pixel."""
    yield text(28, 42, words["stack"], font_weight=700, font_size=20)
    yield text(28, 64, words["stack_of"], fill=SOFT)
    for c, (name, colour) in enumerate(zip(words["classes"], COLOURS, strict=True)):
        y = 96 + 142 * c
        yield text(24, y + 24, f"{c}", font_size=15, fill=SOFT)
        yield text(24, y + 44, name, font_weight=700, fill=colour)
        yield from plane(62, y, logits[c], colour)
    h, w = PIXEL
    x, y = 62 + (w + 0.5) * 27 + (SIZE[0] - h - 0.5) * 10, 96 + (h + 0.5) * 19
    yield (
        f'<path d="M{x:g} {y - 70:g}V{y + 2 * 142 + 92:g}" stroke="{MARK}" stroke-width="2" '
        f'stroke-dasharray="5 5"/>'
    )
    yield text(x, y + 2 * 142 + 112, words["one"].format(*PIXEL), fill=MARK, text_anchor="middle")
    low = 96 + 2 * 142 + 6 * 19
    yield f'<path d="M14 110V{low:g}" stroke="{SOFT}" stroke-width="2" marker-end="url(#tip)"/>'
    yield text(9, low + 24, "C", font_weight=700, fill=SOFT)
    yield arrow(62, low + 9, 140, low + 9) + text(146, low + 15, "W", font_weight=700, fill=SOFT)
    yield arrow(323, low - 58, 297, low - 8) + text(284, low + 15, "H", font_weight=700, fill=SOFT)
    for c in range(len(COLOURS)):
        yield arrow(x + 20, y + 142 * c, 384, y + 142 * c)


def draw_softmax(logits: np.ndarray, probs: np.ndarray, words: dict) -> Iterable[str]:
    """Yield the picked pixel's scores, their exponentials and probabilities."""
    z, p = logits[:, *PIXEL], probs[:, *PIXEL]
    powers = np.exp(z.astype(float))
    heads = ((418, words["logits"]), (508, words["powers"]), (560, words["probs"]))
    for x, head in heads:
        anchor = "start" if x == 560 else "middle"
        yield text(x, 64, head, font_weight=700, text_anchor=anchor)
    for c, colour in enumerate(COLOURS):
        y = 96 + 142 * c + 2.5 * 19
        yield rectangle(390, y - 22, 56, 44, rx=8, fill=CARD, stroke=MARK, stroke_width=2.5)
        yield text(418, y + 7, number(z[c], 0), font_size=21, text_anchor="middle")
        yield arrow(450, y, 472, y)
        yield text(508, y + 6, number(powers[c]), font_size=19, text_anchor="middle")
        yield rectangle(560, y - 22, 172, 44, rx=8, fill=mix(colour, 0.15))
        yield rectangle(560, y - 22, 172 * float(p[c]), 44, rx=8, fill=colour)
        inside = p[c] > 0.5
        ink, at = (CARD, 572) if inside else (INK, 568 + 172 * float(p[c]))
        yield text(at, y + 7, number(p[c], 3), font_size=19, font_weight=700, fill=ink)
    y = 96 + 2 * 142 + 92
    yield f'<path d="M474 {y}H732" stroke="{SOFT}" stroke-width="1.5"/>'
    yield text(462, y + 27, words["sum"], fill=SOFT, text_anchor="end")
    yield text(508, y + 27, number(powers.sum()), font_size=19, text_anchor="middle")
    yield text(568, y + 27, number(p.sum(), 3), font_size=19, font_weight=700)


def draw_maps(result: s2d.Segmentation, words: dict) -> Iterable[str]:
    """Yield the label map and the map of the confidence."""
    y, cell = 630, 40
    h, w = PIXEL
    labels, confidence = result.labels, result.confidence
    maps = (
        (30, "label", [[mix(COLOURS[c], 0.85) for c in row] for row in labels]),
        (412, "confidence", [[mix("#4a3f8f", (v - 1 / 3) * 1.35) for v in r] for r in confidence]),
    )
    values = (f"{labels[PIXEL]}", number(confidence[PIXEL]))
    for (x, key, colours), value in zip(maps, values, strict=True):
        yield text(x, y - 38, words[key], font_weight=700, font_size=20)
        yield text(x, y - 14, words[f"{key}_of"], fill=SOFT)
        yield from grid(x, y, cell, colours)
        box = (x + w * cell, y + h * cell, cell, cell)
        yield rectangle(*box, fill=CARD, stroke=MARK, stroke_width=3.5, rx=3)
        middle = (x + (w + 0.5) * cell, y + (h + 0.5) * cell + 6)
        yield text(*middle, value, font_size=16, font_weight=700, text_anchor="middle")
    at = {c: np.argwhere(labels == c) for c in range(len(COLOURS))}
    for c, name in enumerate(words["classes"]):
        row, column = {0: (0, 5), 1: (3, 3), 2: (5, 1)}[c]
        assert [row, column] in at[c].tolist(), "the name would stand on another class"
        centre = (30 + (column + 0.5) * cell, y + (row + 0.5) * cell + 6)
        yield text(*centre, name, fill=CARD, font_weight=700, text_anchor="middle")


def draw_photo(x: float, y: float) -> str:
    """Return a small landscape."""
    sky, leaves, ground = (mix(colour, 0.75) for colour in COLOURS)
    return (
        rectangle(x, y, 176, 132, rx=6, fill=sky)
        + f'<circle cx="{x + 146}" cy="{y + 28}" r="13" fill="#ffd54f"/>'
        + f'<path d="M{x} {y + 84}Q{x + 90} {y + 72} {x + 176} {y + 84}V{y + 126}q0 6 -6 6'
        + f'H{x + 6}q-6 0 -6 -6Z" fill="{ground}"/>'
        + rectangle(x + 64, y + 66, 11, 46, fill="#6b4a2b")
        + f'<circle cx="{x + 70}" cy="{y + 54}" r="27" fill="{leaves}"/>'
        + f'<circle cx="{x + 52}" cy="{y + 66}" r="17" fill="{leaves}"/>'
        + f'<circle cx="{x + 89}" cy="{y + 65}" r="18" fill="{leaves}"/>'
    )


def draw_network(words: dict) -> Iterable[str]:
    """Yield photograph, network, and the coarse maps of all classes."""
    for x, key in ((30, "photo"), (262, "layers"), (498, "coarse")):
        yield text(x, 42, words[key], font_weight=700, font_size=20)
    yield text(262, 64, words["layers_of"], fill=SOFT) + text(
        498, 64, words["coarse_of"], fill=SOFT
    )
    yield draw_photo(30, 84)
    yield arrow(214, 150, 250, 150)
    for i, height in enumerate((132, 104, 76, 56, 56)):
        box = (262 + 36 * i, 150 - height / 2, 26, height)
        yield rectangle(*box, rx=5, fill=mix("#4a3f8f", 0.35 + 0.13 * i))
    yield arrow(440, 150, 480, 150)
    for c, name in reversed(list(enumerate(words["classes"]))):
        x, y = 498 + 34 * c, 84 + 34 * c
        yield rectangle(x - 3, y - 3, 142, 108, fill=CARD, stroke=mix(COLOURS[c], 0.5), rx=3)
        colours = [[shade(v, COLOURS[c]) for v in row] for row in COARSE[c]]
        yield from grid(x, y, 34, colours)
        style = {"font_size": 16, "font_weight": 700, "fill": COLOURS[c], "text_anchor": "end"}
        yield text(x - 9, y + 98, name, **style)


def draw_upsampling(logits: np.ndarray, words: dict) -> Iterable[str]:
    """Yield the coarse and the fine map of one class, and the four weights of the picked pixel."""
    c, y, cell = 1, 336, 44
    h, w = PIXEL
    yield text(30, y - 26, words["up"], font_weight=700, font_size=20)
    yield from grid(30, y, 2 * 34, [[shade(v, COLOURS[c]) for v in row] for row in COARSE[c]])
    weights = {(0, 1): 3, (0, 2): 1, (1, 1): 9, (1, 2): 3}
    total = sum(k * COARSE[c][at] for at, k in weights.items()) / 16
    assert total == logits[c, h, w], "the weights are those of another pixel"
    for (i, j), value in np.ndenumerate(COARSE[c]):
        at = (30 + 68 * j + 34, y + 68 * i + (32 if (i, j) in weights else 41))
        yield text(*at, number(value, 0), font_size=21, text_anchor="middle")
        if (i, j) in weights:
            part = f"× {weights[i, j]}/16"
            below = (30 + 68 * j + 34, y + 68 * i + 54)
            yield text(*below, part, font_size=15, text_anchor="middle")
    frame = (30 + 68, y, 136, 136)
    yield rectangle(*frame, fill="none", stroke=MARK, stroke_width=3.5, rx=4)
    yield arrow(310, y + 102, 352, y + 102)
    x = 370
    yield from grid(x, y - 10, cell, [[shade(v, COLOURS[c]) for v in row] for row in logits[c]])
    for (i, j), value in np.ndenumerate(logits[c]):
        at = (x + (j + 0.5) * cell, y - 10 + (i + 0.5) * cell + 5)
        if (i, j) != PIXEL:
            yield text(*at, number(value, 1), font_size=14, text_anchor="middle")
    box = (x + w * cell, y - 10 + h * cell, cell, cell)
    yield rectangle(*box, fill=CARD, stroke=MARK, stroke_width=3.5, rx=3)
    at = (x + (w + 0.5) * cell, y - 10 + (h + 0.5) * cell + 7)
    yield text(*at, number(logits[c, h, w], 0), font_size=21, font_weight=700, text_anchor="middle")
    terms = " + ".join(
        f"{k}·({number(COARSE[c][at], 0)})" if COARSE[c][at] < 0 else f"{k}·{COARSE[c][at]:.0f}"
        for at, k in weights.items()
    )
    yield text(30, y + 238, f"({terms}) / 16 = {number(total, 0)}", fill=MARK, font_size=18)
    yield text(30, y + 264, words["one"].format(*PIXEL), fill=MARK)
    yield text(x + 8 * cell, y + 282, words["fine"], fill=SOFT, text_anchor="end")


def draw(language: str) -> dict[str, str]:
    """Return the text of each file of a language."""
    words = WORDS[language]
    logits = reference.interpolate(COARSE, SIZE).astype(np.float32)
    probs = s2d.softmax2d(logits)
    result = s2d.segment(logits, outputs=("labels", "confidence"))
    pixel = [*draw_stack(logits, words), *draw_softmax(logits, probs, words)]
    network = [*draw_network(words), *draw_upsampling(logits, words)]
    ending = "" if language == "en" else f".{language}"
    return {
        f"picture-pixel{ending}.svg": page(
            760, 894, words["pixel"], [*pixel, *draw_maps(result, words)]
        ),
        f"picture-network{ending}.svg": page(760, 640, words["network"], network),
    }


def main() -> None:
    """Write the files, or look whether they are what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    for language in WORDS:
        for name, svg in draw(language).items():
            path = IMAGES / name
            if not check:
                path.write_text(svg, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != svg:
                sys.exit(f"{name} is old: run python tools/draw_picture.py")


if __name__ == "__main__":
    main()
