"""Fit the polynomials of ``cpp/impl/math/exp.h`` and ``cpp/impl/math/log.h`` and print them as C++.

    python tools/fit_exp.py            # prints the constants and their largest relative error

Two functions are fitted, each for float32 and float64:

* ``Q`` with exp(r) = 1 + r Q(r) on [-ln2/2, ln2/2] (a hair more: the reduction rounds),
* ``R`` with log(1 + f) = 2 s + s w R(w), s = f / (2 + f), w = s^2, for
  sqrt(1/2) - 1 <= f <= sqrt(2) - 1.

Method: least squares at Chebyshev points in 60 digits is within a small factor of the minimax
polynomial; the coefficients are then rounded to the target format from the constant term up, each
time fitting the remaining ones again, so that the rounding of one is absorbed by the next.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
BITS = {"float": 24, "double": 53}


def round_to(value: mp.mpf, bits: int) -> mp.mpf:
    """Round ``value`` to ``bits`` significant bits, ties to even."""
    if value == 0:
        return mp.mpf(0)
    exponent = mp.floor(mp.log(abs(value), 2)) + 1
    step = mp.mpf(2) ** (exponent - bits)
    return mp.nint(value / step) * step


def chebyshev(low: mp.mpf, high: mp.mpf, count: int) -> list[mp.mpf]:
    """The ``count`` Chebyshev points of [low, high]."""
    half, middle = (high - low) / 2, (high + low) / 2
    return [middle + half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def fit(function: Callable, low: mp.mpf, high: mp.mpf, degree: int, bits: int) -> list[mp.mpf]:
    """Coefficients, constant term first, each rounded to ``bits`` bits."""
    fixed: list[mp.mpf] = []
    for first in range(degree + 1):
        points = chebyshev(low, high, 4 * (degree + 1))
        matrix = mp.matrix([[x**j for j in range(first, degree + 1)] for x in points])
        right = mp.matrix(
            [function(x) - sum(c * x**j for j, c in enumerate(fixed)) for x in points]
        )
        fixed.append(round_to(mp.qr_solve(matrix, right)[0][0], bits))
    return fixed


def polynomial(coefficients: list[mp.mpf], x: mp.mpf) -> mp.mpf:
    """The value at ``x``."""
    return mp.polyval(coefficients[::-1], x)


def largest_error(approximate: Callable, true: Callable, low: mp.mpf, high: mp.mpf) -> mp.mpf:
    """Largest relative error on a grid of [low, high]."""
    count = 4001
    grid = [low + (high - low) * i / (count - 1) for i in range(count)]
    return max(abs(approximate(x) / true(x) - 1) for x in grid if true(x) != 0)


def show(name: str, coefficients: list[mp.mpf], kind: str, error: mp.mpf) -> None:
    """Print one table as C++ hexadecimal literals."""
    suffix = "f" if kind == "float" else ""
    values = ", ".join(f"{float(c).hex()}{suffix}" for c in coefficients)
    print(f"{name}<{kind}>, relative error {mp.nstr(error, 3)} = 2^{mp.nstr(mp.log(error, 2), 4)}")
    print(f"    {{{values}}};\n")


def expm1_over_r(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1) / r, continued at 0."""
    return mp.expm1(r) / r if r != 0 else mp.mpf(1)


def log_tail(w: mp.mpf) -> mp.mpf:
    """(log((1+s)/(1-s)) - 2 s) / s^3 with s = sqrt(w), continued at 0."""
    if w == 0:
        return mp.mpf(2) / 3
    s = mp.sqrt(w)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def main() -> None:
    """Fit and print everything."""
    for kind, exp_degree, log_degree, ln2_bits in (("float", 5, 3, 14), ("double", 10, 6, 40)):
        bits = BITS[kind]
        edge = mp.log(2) / 2 * mp.mpf("1.001")
        q = fit(expm1_over_r, -edge, edge, exp_degree, bits)
        error = largest_error(lambda r, q=q: 1 + r * polynomial(q, r), mp.exp, -edge, edge)
        show("exp Q", q, kind, error)

        top = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
        tail = fit(log_tail, mp.mpf(0), top, log_degree, bits)

        def approximate_log(s: mp.mpf, tail: list[mp.mpf] = tail) -> mp.mpf:
            return 2 * s + s**3 * polynomial(tail, s * s)

        error = largest_error(
            approximate_log, lambda s: 2 * mp.atanh(s), mp.mpf("1e-9"), mp.sqrt(top)
        )
        show("log R", tail, kind, error)

        high = mp.floor(mp.log(2) * 2**ln2_bits) / 2**ln2_bits
        low = round_to(mp.log(2) - high, bits)
        show("ln2 high, low", [high, low], kind, abs((high + low) / mp.log(2) - 1))
        show("1/ln2", [round_to(1 / mp.log(2), bits)], kind, mp.mpf(2) ** -bits)


if __name__ == "__main__":
    main()
