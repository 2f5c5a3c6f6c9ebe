"""Parameter space of a sweep: ranges of values, and the choice of combinations to run."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping

__all__ = ["PARAMETERS", "SAMPLERS", "RangeError", "sample", "size", "values_of"]

PARAMETERS = ("x", "y", "z", "processes", "steps")
SAMPLERS = ("random", "grid", "lhs")
MOST_VALUES = 100_000


class RangeError(ValueError):
    """A range or a number of jobs is invalid. The message says which one, and what was expected."""


def values_of(text: str) -> tuple[int, ...]:
    """Return the values of a range: ``8``, ``4,8,16``, ``3:9`` (9 included), ``2:16:2``, or several, with commas.

    Raises
    ------
    RangeError
        If the text is something else, or a value is below 1.
    """
    values: list[int] = []
    for part in text.split(","):
        numbers = [int(number) for number in part.split(":") if number.strip().isdecimal() and len(number) < 10]
        if len(numbers) != part.count(":") + 1 or len(numbers) > 3 or min(numbers) < 1:
            raise RangeError(
                f"{text!r} is not a range: expected whole numbers from 1 such as 8, 4,8,16, 3:9 (9 included) or 2:16:2"
            )
        first, last, step = (numbers + numbers + [1])[:3] if len(numbers) == 1 else (*numbers, 1)[:3]
        found = range(first, last + 1, step)
        if not found or len(values) + len(found) > MOST_VALUES:
            raise RangeError(f"{text!r} has {len(found) or 'no'} values: expected 1 to {MOST_VALUES}")
        values += found
    return tuple(dict.fromkeys(values))


def size(values: Mapping[str, tuple[int, ...]]) -> int:
    """Return the number of combinations."""
    return math.prod(map(len, values.values()))


def sample(values: Mapping[str, tuple[int, ...]], how: str, iters: int | None, seed: int) -> list[dict[str, int]]:
    """Choose combinations of values.

    Parameters
    ----------
    values
        Parameter to its values.
    how
        ``random``: random combinations. No one repeats before all were chosen, and a longer list begins with a shorter
        one. ``grid``: the first `iters` combinations in order. ``lhs``: a Latin hypercube, in which every parameter
        takes its values evenly.
    iters
        Number of combinations; None for the whole grid.
    seed
        Seed of ``random`` and ``lhs``.

    Raises
    ------
    RangeError
        If `iters` is required and missing, or larger than the grid.
    """
    if how == "grid":
        total = size(values)
        if iters is not None and iters > total:
            raise RangeError(f"--iters {iters} is more than the {total} combinations of the grid")
        chosen = itertools.islice(itertools.product(*values.values()), iters)
        return [{name: each[place] for place, name in enumerate(values)} for each in chosen]
    if iters is None:
        raise RangeError(f"--iters is missing: expected the number of combinations to choose ({how})")
    if how == "lhs":
        return _latin_hypercube(values, iters, seed)
    return list(itertools.islice(_random(values, seed), iters))


def _random(values: Mapping[str, tuple[int, ...]], seed: int) -> Iterator[dict[str, int]]:
    draw = random.Random(seed)
    seen: set[tuple[int, ...]] = set()
    while True:
        point = {name: draw.choice(options) for name, options in values.items()}
        each = tuple(point.values())
        if each not in seen:
            seen.add(each)
            yield point
        if len(seen) == size(values):
            seen.clear()


def _latin_hypercube(values: Mapping[str, tuple[int, ...]], iters: int, seed: int) -> list[dict[str, int]]:
    from scipy.stats import qmc

    places = qmc.LatinHypercube(len(values), rng=seed).random(iters)
    return [
        {name: options[int(row[column] * len(options))] for column, (name, options) in enumerate(values.items())}
        for row in places
    ]
