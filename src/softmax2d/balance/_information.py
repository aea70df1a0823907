"""What data say of the shares of their classes: Fisher information, and standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._ops.probs import fill_probs
from softmax2d.balance._em import ShareSums

UNKNOWN = 1e-6  # part of a labelled pixel's information below which there is none
_BITS = 14  # of each of two parts of a probability, whose products add up exactly in float64
_LEAST = 2.0**-20  # root mean square of a probability, below which its last bits are noise
_INVOLVED = 0.05  # entry of a direction of length 1, from which a class is named
_MOST = 0.5  # the largest standard deviation of a share
_BLOCK = 1 << 22  # probabilities at a time


@dataclass(frozen=True, eq=False)
class Products:
    """Σ q[c] q[d] over pixels, for each pair of classes, q the probabilities of a pixel.

    Each q is rounded to 2^-28 and split into two parts; sums of their products are whole numbers,
    and so the same for any order of pixels, tiles and threads.

    Attributes
    ----------
    parts : array, shape (3, C, C), int64
        Sums of high by high, high by low and low by low parts.
    """

    parts: Array

    def __add__(self, other: Self) -> Self:
        return type(self)(self.parts + other.parts)

    @property
    def sums(self) -> Array:
        """The sums, shape (C, C), float64."""
        high, mixed, low = self.parts.astype(np.float64) * 2.0 ** -(2 * _BITS)
        return np.asarray(high + (mixed + mixed.T) * 2.0**-_BITS + low * 2.0 ** -(2 * _BITS))


def products(source: Logits, *_: Any) -> Products:
    """The products of the probabilities of the source, of pixels that have some.

    Reads each logit once and holds some 4 million probabilities at a time, with a grid those of the
    tile.
    """
    parts = np.zeros((3, source.classes, source.classes), np.int64)
    for block in _blocks(source):
        q = np.moveaxis(fill_probs("estimate_prior", block, False), source.axis, 0)
        q = q.reshape(source.classes, -1).astype(np.float64)
        q = np.ldexp(q[:, ~np.isnan(q).any(0)], _BITS)
        high = np.floor(q)
        low = np.rint(np.ldexp(q - high, _BITS))
        pairs = ((high, high), (high, low), (low, low))
        parts += np.stack([(a @ b.T).astype(np.int64) for a, b in pairs])
    return Products(parts)


def _blocks(source: Logits) -> Iterator[Logits]:
    """The source in pieces along its longest axis of pixels; whole where it has a grid."""
    if source.empty:
        return
    if source.tables is not None:
        yield source
        return
    longest = int(np.argmax(source.shape))
    length = source.shape[longest]
    each = source.classes * int(np.prod(source.shape)) // length
    step = max(1, _BLOCK // each)
    place = longest + (longest >= source.axis)
    for start in range(0, length, step):
        cut = slice(start, min(start + step, length))
        shape = list(source.shape)
        shape[longest] = cut.stop - cut.start
        array = source.array[(*(slice(None),) * place, cut)]
        yield source._replace(array=array, shape=tuple(shape))


def explained(found: Products, sums: ShareSums) -> float:
    """The share of the variance of the labels that the probabilities explain, were they right.

    Σ Var p[c] / (Σ Var p[c] + Σ E p[c] (1 - p[c])) over the pixels: 0 where all pixels have the
    same probabilities, 1 where each has a class for sure; NaN where that is the same one.
    """
    squares = float(np.trace(found.sums)) / sums.pixels
    of_mean = float((sums.shares**2).sum())
    total = 1 - of_mean
    return max(0.0, squares - of_mean) / total if total > UNKNOWN else float("nan")


def in_proportion(found: Products, sums: ShareSums, part: float) -> Array:
    """Classes whose probabilities are a fixed combination of others' at all pixels, shape (C,).

    Of the cosines between the classes an eigenvalue below ``part`` is one too many. Whatever the
    shares, the data cannot tell such classes apart.
    """
    gram, chosen = found.sums, np.zeros(len(found.sums), bool)
    size = np.sqrt(np.diag(gram))
    some = size > _LEAST * np.sqrt(max(1, sums.pixels))
    values, vectors = np.linalg.eigh(gram[np.ix_(some, some)] / np.outer(size[some], size[some]))
    chosen[some] = (np.abs(vectors[:, values < part]) > _INVOLVED).any(1)
    return chosen


class Known(NamedTuple):
    """How far data determine the shares of their classes.

    Attributes
    ----------
    standard_error : array, shape (C,), float64
        Infinite for classes among which nothing decides; 0 for those without a share in the source.
    images : int
        Images that they are taken from; 0 or 1 where pixels alone are.
    undetermined : array, shape (C,), bool
        Classes of infinite standard error.
    rate : float
        The share of what labels would say that is missing in the direction least determined, but
        for what is not determined at all: the rate at which EM ends.
    direction : array, shape (C,), float64
        That direction: which classes gain, which lose.
    """

    standard_error: Array
    images: int
    undetermined: Array
    rate: float
    direction: Array


def judge(
    found: Products,
    sums: ShareSums,
    each: Iterable[ShareSums],
    prior: Array,
    seen: Array,
    present: Array,
    same: Array,
) -> Known:
    """How far the data determine an estimate.

    With q the probabilities under the estimate π, the information of the shares is Σ q q' / (π π')
    over the pixels, the negative second derivative of their likelihood. Seen in δ / √π its
    eigenvalues, but for the one along √π that shares which add up to 1 cannot take, lie between 0
    and N: what labels of all pixels would say. Its inverse gives standard errors where pixels are
    independent. Those of an image are not: the scores of whole images, which are, give the
    "sandwich" of their scatter between two inverses [1]_. The larger of the two is taken.

    Classes that are the ``same`` (:func:`in_proportion`) have infinite errors, those not ``seen``
    in the source none. A class that is not ``present`` is at the end of what it can be: its share
    or, if larger, the share at which the likelihood has fallen by a factor of e stands for a
    standard error, which the others have besides in proportion to theirs.

    References
    ----------
    .. [1] K.-Y. Liang, S. L. Zeger, "Longitudinal data analysis using generalized linear models",
       Biometrika, 1986.
    """
    pixels, root = sums.pixels, np.sqrt(prior[present])
    scaled = found.sums[np.ix_(present, present)] / (pixels * np.outer(root, root))
    unit = root / np.linalg.norm(root)
    beside = np.eye(len(unit)) - np.outer(unit, unit)
    values, vectors = np.linalg.eigh(beside @ scaled @ beside + 2 * np.outer(unit, unit))
    values, vectors = values[:-1], vectors[:, :-1]  # that of √π, which is 2, is the last
    known = values > UNKNOWN
    inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
    variance = np.diag(inverse) / pixels
    scatter, images = _scatter(each, sums, present, root, beside)
    if images > 1:
        by_image = np.diag(inverse @ scatter @ inverse) / pixels**2 * images / (images - 1)
        variance = np.maximum(variance, by_image)
    error = np.where(seen, _ends(found, sums, prior), 0.0)
    lent = prior[present] * error[~present].sum()  # what the others may have of theirs
    error[present] = np.sqrt(root**2 * variance + lent**2)
    error = np.minimum(error, _MOST)
    undetermined = same & seen
    undetermined[present] |= (np.abs(vectors[:, ~known]) > _INVOLVED).any(1)
    error[undetermined] = np.inf
    direction = np.zeros(len(prior))
    rate = 0.0
    if known.any():
        least = int(np.flatnonzero(known)[0])
        rate = float(1 - values[least])
        direction[present] = root * vectors[:, least]
    return Known(error, images, undetermined, max(0.0, rate), direction)


def _scatter(
    each: Iterable[ShareSums], whole: ShareSums, present: Array, root: Array, beside: Array
) -> tuple[Array, int]:
    """The sum of the products of the images' scores, and how many images have pixels.

    The mean score is taken off, which is 0 where EM has converged.
    """
    total, images = np.zeros((len(root), len(root))), 0
    for sums in each:
        if sums.pixels:
            score = beside @ ((sums.shares - whole.shares)[present] * sums.pixels / root)
            total += np.outer(score, score)
            images += 1
    return total, images


def _ends(found: Products, sums: ShareSums, prior: Array) -> Array:
    """The share by which the likelihood falls by a factor of e, or the estimate if that is more.

    By slope or by curvature, whichever falls faster.
    """
    slope, bend = _fall(found, sums, prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.fmin(
            np.where(slope > 0, 1 / slope, np.inf), np.where(bend > 0, bend**-0.5, np.inf)
        )
    return np.where(np.isfinite(steps), np.maximum(prior, steps), prior)


def _fall(found: Products, sums: ShareSums, prior: Array) -> tuple[Array, Array]:
    """How the likelihood falls where a class gains at the cost of all: slope and curvature, (C,).

    With x = q / π - 1 of the class they are -Σ x and Σ x² over the pixels.
    """
    some, pixels = prior > 0, sums.pixels
    share = np.divide(sums.shares, prior, where=some, out=np.zeros(len(prior)))
    squares = np.divide(np.diag(found.sums), prior**2, where=some, out=np.zeros(len(prior)))
    return pixels * (1 - share), squares - pixels * (2 * share - 1)


def inside(found: Products, sums: ShareSums, prior: Array) -> Array:
    """Classes whose share, however small, is no end: the likelihood falls towards 0, shape (C,).

    By a parabola its top lies at more than half the share. ``found`` is under the estimate.
    """
    slope, bend = _fall(found, sums, prior)
    return np.asarray((prior > _LEAST) & (slope < bend * prior / 2))
