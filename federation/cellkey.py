"""Cell-key perturbation: a count is moved by chance, and the chance is in the persons counted, so it stays the same.

Each person has a record key that only the node can compute; a cell's key is the sum of the keys of the persons in it.
So the same persons give the same figure in every table, period and answer, and nothing is averaged away; one person
more gives another key, hence noise of its own. A table says by the key what is told of a count:

* nobody stays nobody, and nothing is ever told to be 1 to minimum-1 persons;
* no figure is further from its count than the bound, which is the minimum;
* the mean of what is told is the count (no bias), its variance `variance_of(minimum)` or, of counts so small that it
  cannot be had, the nearest that can; among all such rows the one of greatest entropy.

Each cell is moved by itself: parts do not add up to their totals any more. The method is that of the statistical
offices of Australia and the European Union (Fraser and Wooton 2005; cellKey by destatis); no code of theirs is here.
"""

import hashlib
import hmac
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

MODULUS = 1 << 64  # of keys
_NEARLY = 1e-9
_STEPS = 200
Row = tuple[tuple[int, float], ...]  # what may be told of a count, and how likely


def record_key(secret: bytes, person: str) -> int:
    """Return a person's key; whoever lacks the secret cannot tell it from chance."""
    return int.from_bytes(hmac.new(secret, person.encode(), hashlib.sha256).digest()[:8], "big")


def bound_of(minimum: int) -> int:
    """Return how far from its count a figure may be: far enough that each below the minimum may be nobody."""
    return minimum


def variance_of(minimum: int) -> int:
    """Return the variance: the least with which 1 to minimum-1 persons can be told as nobody or as the minimum."""
    return (minimum // 2) * (minimum - minimum // 2)


def perturb(count: int, key: int, minimum: int) -> int:
    """Return what is told of a count whose cell has this key."""
    values, limits = _limits(min(count, 2 * minimum), minimum)
    return values[bisect_right(limits, key % MODULUS)] + max(count - 2 * minimum, 0)


def possible_counts(told: int, minimum: int) -> tuple[int, int]:
    """Return between which counts the truth lies, for everybody who reads a figure."""
    bound = bound_of(minimum)
    return (max(told - bound, 1), told + bound) if told else (0, bound)


@cache
def table_row(count: int, minimum: int) -> Row:
    """Return the row of the perturbation table for a count up to twice the minimum; larger ones are moved like that."""
    if not count:
        return ((0, 1.0),)
    bound = bound_of(minimum)
    support = [told for told in range(max(count - bound, 0), count + bound + 1) if not 0 < told < minimum]
    below = max((told for told in support if told <= count), default=0)
    above = min((told for told in support if told >= count), default=0)
    least, most = (count - below) * (above - count), (count - support[0]) * (support[-1] - count)
    wanted = variance_of(minimum)
    if wanted <= least + _NEARLY:
        return _two_points(below, above, count)
    if wanted >= most - _NEARLY:
        return _two_points(support[0], support[-1], count)
    return tuple(zip(support, _most_even([told - count for told in support], wanted), strict=True))


@cache
def _limits(count: int, minimum: int) -> tuple[Sequence[int], Sequence[int]]:
    row = table_row(count, minimum)
    sums = list(accumulate(chance for _, chance in row))
    return [told for told, _ in row], [round(part / sums[-1] * MODULUS) for part in sums[:-1]]


def _two_points(low: int, high: int, mean: int) -> Row:
    share = (mean - low) / (high - low)
    return (low, 1 - share), (high, share)


def _most_even(moves: Sequence[int], variance: float) -> list[float]:
    """Return the chances of greatest entropy with mean 0 and this variance: exp(a d + b d²), by Newton's method."""
    a = b = 0.0
    for _ in range(_STEPS):
        chances = _chances(moves, a, b)
        m1, m2, m3, m4 = (sum(p * d**k for p, d in zip(chances, moves, strict=True)) for k in (1, 2, 3, 4))
        off, over = m1, m2 - variance
        if abs(off) + abs(over) < _NEARLY / 1000:
            break
        h11, h12, h22 = m2 - m1 * m1, m3 - m1 * m2, m4 - m2 * m2
        det = h11 * h22 - h12 * h12
        step_a, step_b = (h22 * off - h12 * over) / det, (h11 * over - h12 * off) / det
        size, now = 1.0, _dual(moves, variance, a, b)
        while size > _NEARLY and _dual(moves, variance, a - size * step_a, b - size * step_b) > now:
            size /= 2
        a, b = a - size * step_a, b - size * step_b
    return _chances(moves, a, b)


def _chances(moves: Sequence[int], a: float, b: float) -> list[float]:
    exponents = [a * d + b * d * d for d in moves]
    top = max(exponents)
    weights = [math.exp(e - top) for e in exponents]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _dual(moves: Sequence[int], variance: float, a: float, b: float) -> float:
    exponents = [a * d + b * d * d for d in moves]
    top = max(exponents)
    return top + math.log(sum(math.exp(e - top) for e in exponents)) - b * variance
