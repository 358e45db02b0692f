"""Chance that repeats: every draw of a world is made here, the same on every Python and every machine.

Python promises an unchanging sequence for `random()` after `seed()`, and for nothing else of the module.
So all draws are multiplications of `random()`: no choices() or shuffle(), no powers or logarithms (their last
bit differs between C libraries), no hash(), no clock, no order of a set.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

__all__ = ["IdSeries", "draw_codes", "pick", "spread", "stream", "take_round"]

T = TypeVar("T")


def stream(world: str, name: str) -> Random:
    """A source of its own for one part of the world, so that parts do not disturb each other."""
    return Random(f"{world}/{name}")


def pick(rng: Random, values: Sequence[T]) -> T:
    return values[int(rng.random() * len(values))]


def take_round(rng: Random, values: Sequence[T], count: int) -> Iterator[T]:
    """`count` values as they follow each other from a random place, round the end: no early repeats."""
    start = int(rng.random() * len(values))
    return (values[(start + step) % len(values)] for step in range(count))


def draw_codes(rng: Random, weights: Sequence[int], count: int) -> list[int]:
    """`count` places in `weights`, each as likely as its weight."""
    sums = list(accumulate(weights))
    total, random = sums[-1], rng.random
    return [bisect(sums, int(random() * total)) for _ in range(count)]


def spread(rng: Random, weights: Sequence[int], count: int) -> bytearray:
    """As `draw_codes`, but each code has its full share, so that rare ones occur in every large world."""
    total = sum(weights)
    column = bytearray(b"".join(bytes([code]) * (count * weight // total) for code, weight in enumerate(weights)))
    column += bytes(draw_codes(rng, weights, count - len(column)))
    random = rng.random
    for last in range(len(column) - 1, 0, -1):
        other = int(random() * (last + 1))
        column[last], column[other] = column[other], column[last]
    return column


class IdSeries:
    """Ids of everything but tickets: fourteen digits or more, ascending, unique over all kinds, exact as a double."""

    def __init__(self, rng: Random, beyond: int = 21_000_000_000_000) -> None:
        self._rng = rng
        self._last = beyond + int(rng.random() * 40_000_000_000_000)

    def __next__(self) -> int:
        self._last += 32 + int(self._rng.random() * 200_000)
        return self._last
