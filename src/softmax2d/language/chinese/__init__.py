"""The Chinese texts: by the English ones, and by patterns for the sentences that click makes."""

from __future__ import annotations

from softmax2d.language.chinese import _demo, _general, _options, _scores, _truth
from softmax2d.language.chinese._usage import CLICK, METAVARS, USAGE

__all__ = ["CATALOGUES", "METAVARS", "TEXTS", "USAGE"]

CATALOGUES = (
    *(_general.APP, _general.INFO, _general.DEMO),
    *(_scores.SEGMENT, _scores.PROBS, _scores.PREDICT),
    *(_truth.EVALUATE, _truth.CALIBRATE, _truth.COUNTS, _truth.WEIGHTS, _truth.TUNE),
    *(_options.OPTIONS, _demo.LINES, CLICK),
)
TEXTS = {english: chinese for texts in CATALOGUES for english, chinese in texts.items()}
