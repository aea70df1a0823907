"""What ``tune_bias`` returns of what it found, and what it warns of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from softmax2d._report.text import quantity
from softmax2d._statistics.student import FEW_IMAGES
from softmax2d.balance._choice import Choice, Start
from softmax2d.balance._folds import Estimate
from softmax2d.balance._goal import Goal
from softmax2d.balance._images import Images
from softmax2d.balance._measured import Candidate

_WHERE = "tune_bias"


def verdict(
    start: Start, goal: Goal, choice: Choice, how: tuple[bool, bool, bool]
) -> tuple[Candidate, Candidate | None, list[str]]:
    """The candidate to return, the one that was found where that is another, and warnings.

    ``how``: whether tau alone was searched, what was found is taken by force, and a margin or
    confidence was asked for.
    """
    plain, force, asked = how
    before, best = start.candidate, choice.best
    if np.array_equal(best.bias, before.bias):
        best = replace(before, tau=0.0 if plain else None)
    _check_bound(goal, best, before, choice, asked)
    warnings = []
    if not goal.keeps_with_margin(best):
        warnings.append(
            f"accuracy, {best.accuracy:.4f}, keeps its bound, {goal.bound:g}, on these images, but "
            f"not with confidence {goal.confidence:g}, its standard error over images being "
            f"{best.error:.4f}: on others it may fall below"
        )
    estimate = choice.estimate
    if estimate is None:
        return best, None, warnings
    if estimate.gain <= 0:
        says = said(goal, before, best, estimate)
        if not force and goal.rank(before)[0] >= goal.rank(best)[0]:
            warnings.append(
                f"the start is returned: what was found gives {says}; force=True (--force) takes it"
            )
            return replace(before, tau=0.0 if plain else None), best, warnings
        warnings.append(f"what was found is no gain by cross-validation: {says}")
    elif estimate.gain <= 2 * estimate.gain_error:
        gain, error = 100 * estimate.gain, 100 * estimate.gain_error
        warnings.append(
            f"the gain estimated on other images, {gain:+.2f} ± {error:.2f} points, is within two "
            "standard errors: choosing images explains as much"
        )
    if (
        goal.bound is not None
        and before.accuracy + estimate.accuracy < goal.bound <= before.accuracy
    ):
        warnings.append(
            f"cross-validation puts accuracy at {before.accuracy + estimate.accuracy:.4f} "
            f"± {estimate.accuracy_error:.4f}, below the bound {goal.bound:g}"
        )
    return best, None, warnings


def _check_bound(
    goal: Goal, best: Candidate, before: Candidate, choice: Choice, asked: bool
) -> None:
    """Refuse a bound that nothing keeps, or not by the margin that was asked for."""
    if not goal.keeps_bound(best):
        raise ValueError(
            f"{_WHERE}: at_least_accuracy, {goal.bound}, is kept by nothing that was tried; the "
            f"best accuracy was {max(c.accuracy for c in (before, best, *choice.curve)):.6g}."
        )
    if asked and not goal.keeps_with_margin(best):
        least = max(goal.lower(c) for c in (before, best, *choice.curve))
        words = "margin" if goal.confidence is None else "confidence"
        raise ValueError(
            f"{_WHERE}: at_least_accuracy, {goal.bound}, is kept with that {words} by nothing that "
            f"was tried; the most was {least:.6g}. Lower {words} (--{words}) or the bound."
        )


def said(goal: Goal, before: Candidate, found: Candidate, estimate: Estimate | None) -> str:
    """The gain on the images it was chosen on and, where it was estimated, on others."""
    gain = 100 * (goal.score(found) - goal.score(before))
    text = f"{gain:+.2f} points on the images it was chosen on"
    if estimate is None:
        return text
    error = "" if np.isnan(estimate.gain_error) else f" ± {100 * estimate.gain_error:.2f}"
    return f"{text}, {100 * estimate.gain:+.2f}{error} estimated on others"


def unjudged(goal: Goal, images: Images, names: list[str]) -> list[str]:
    """A warning of the classes that the images cannot judge."""
    if goal.judged is None:
        return []
    classes = [c for c in range(len(names)) if c not in goal.judged]
    occurs, count = (images.truth > 0).sum(0), int(images.counted.sum())
    held = ", ".join(f"{names[c]} in {occurs[c]}" for c in classes)
    noun = "class" if len(classes) == 1 else "classes"
    where = f"in too few of {count} images to be judged ({images.needed} needed)"
    if count == 1:
        where, held = "not in the one image", ", ".join(names[c] for c in classes)
    return [
        f"{noun} {where}: {held}. Their bias stays at the start, no other class rises above its "
        "own, and the goal leaves them out"
    ]


def thin(
    goal: Goal, images: Images, names: list[str], candidates: tuple[Candidate, Candidate]
) -> list[str]:
    """A warning of classes that lose recall by the word of few images."""
    before, after = candidates
    occurs = (images.truth > 0).sum(0)
    few = (occurs < FEW_IMAGES) & (after.recall < before.recall)
    judged = range(len(names)) if goal.judged is None else goal.judged
    lost = ", ".join(
        f"{names[c]} {before.recall[c]:.3f} -> {after.recall[c]:.3f} (in {occurs[c]} images)"
        for c in judged
        if few[c]
    )
    if int(images.counted.sum()) < FEW_IMAGES or not lost:
        return []
    return [
        f"recall falls for classes in fewer than {FEW_IMAGES} images, which say little of it: "
        + lost
    ]


def few(images: Images, folds: Any, goal: Goal) -> list[str]:
    """A warning where nothing says how the choice holds on other images."""
    count = int(images.counted.sum())
    if count > 2 and (folds is not None or count >= FEW_IMAGES):
        return []
    if count > 1 and folds:
        return [f"chosen on {count} images: what folds estimate of so few says little"]
    bound, way = "", f"give {FEW_IMAGES} images or more, or folds= (--folds)"
    if count == 1:
        way = "give more images"
        if goal.bound is not None:
            bound = ", and the bound on accuracy is kept on it alone"
    says = f"nothing says how the choice holds on other images{bound}"
    return [f"chosen on {quantity(count, 'image')}: {says}; {way}"]
